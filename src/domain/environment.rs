//! The environment: what is wanted of it, and where it stands.

use serde::{Deserialize, Serialize};

use super::names::{BranchName, CommitSha, EnvironmentId, Generation, ProjectName, RepoName, Slug};
use super::time::Timestamp;

/// Where an environment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Queued,
    Preparing,
    Building,
    Starting,
    Ready,
    Updating,
    Failed,
    Blocked,
    Asleep,
    Waking,
    Archiving,
    Archived,
    Destroying,
    Destroyed,
}

impl Phase {
    pub const ALL: [Self; 14] = [
        Self::Queued,
        Self::Preparing,
        Self::Building,
        Self::Starting,
        Self::Ready,
        Self::Updating,
        Self::Failed,
        Self::Blocked,
        Self::Asleep,
        Self::Waking,
        Self::Archiving,
        Self::Archived,
        Self::Destroying,
        Self::Destroyed,
    ];

    /// The word used in the table, the API, the log and on pages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Building => "building",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Updating => "updating",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Asleep => "asleep",
            Self::Waking => "waking",
            Self::Archiving => "archiving",
            Self::Archived => "archived",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }

    /// Over and gone: nothing of it is left on the engine, its slug may be claimed by its branch again.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Archived | Self::Destroyed)
    }

    /// Nothing happens until somebody or something asks: where `deploy --wait` and tests stop waiting.
    pub const fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Ready | Self::Failed | Self::Blocked | Self::Asleep | Self::Archived | Self::Destroyed
        )
    }
}

/// How a branch's life ended; what the archive says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Merged,
    Deleted,
    Expired,
    Manual,
}

impl Outcome {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Manual => "manual",
        }
    }
}

/// What is wanted of an environment now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Intent {
    /// Run the branch. `commit` is where it was said to be; the remote's ref at the time of the fetch decides.
    Run { commit: Option<CommitSha>, rebuild: bool, pull: bool },
    /// Start again what sleeps, as it was: neither git nor a build is needed.
    Wake,
    /// Put right what was touched from outside, from the stack that runs.
    Repair,
    /// Stop the containers; data, networks and images stay. `why` is told while it sleeps.
    Sleep {
        why: String,
        /// Whoever came before anything was stopped keeps it awake.
        #[serde(default)]
        gives_way: bool,
    },
    /// Take it down. With `archive` its history is kept, without nothing is.
    End { outcome: Outcome, archive: bool },
}

impl Intent {
    /// The word used in the log and in figures.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Sleep { .. } => "sleep",
            Self::Wake => "wake",
            Self::Repair => "repair",
            Self::End { .. } => "end",
        }
    }

    /// Containers are to run.
    pub const fn runs(&self) -> bool {
        matches!(self, Self::Run { .. } | Self::Wake | Self::Repair)
    }

    pub const fn ends(&self) -> bool {
        matches!(self, Self::End { .. })
    }

    /// What is being done for it, in a word for who asked.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Run { .. } => "deploying",
            Self::Wake => "waking",
            Self::Repair => "repairing",
            Self::Sleep { .. } => "sleeping",
            Self::End { .. } => "ending",
        }
    }
}

/// An end that comes when its grace is over, unless the branch moves before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub outcome: Outcome,
    pub due_at: Timestamp,
}

/// How an environment hangs on the archive it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Id of the archive.
    pub archive: String,
    /// Its volumes hold what the archive has; before that, they are made anew at each try.
    pub is_filled: bool,
    /// A push to the branch came after the restore: from then on it lives like every other. Before that it stays at
    /// the archive's commit, and no merge and no deletion of the branch ends it.
    pub follows_branch: bool,
}

/// The nest: one branch of one repository and all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub id: EnvironmentId,
    pub repo: RepoName,
    pub branch: BranchName,
    pub slug: Slug,
    pub project: ProjectName,
    pub intent: Intent,
    pub generation: Generation,
    /// The generation of the newest wish to run.
    pub run_generation: Generation,
    /// The newest generation whose work came to an end, well or not. Equal to `generation`: nothing to do.
    pub settled_generation: Generation,
    pub phase: Phase,
    pub reason: Option<String>,
    /// Requests reach the branch's own containers.
    pub serving: bool,
    /// The tip that was last seen at the remote.
    pub commit: Option<CommitSha>,
    /// The commit whose containers run.
    pub running_commit: Option<CommitSha>,
    /// The branch once had a tip outside main: only then can it be merged.
    pub had_own_commit: bool,
    pub ending: Option<Ending>,
    /// Made from an archive.
    #[serde(default)]
    pub restored: Option<Restored>,
    pub pinned: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_visited_at: Option<Timestamp>,
    /// The last push, deployment asked for or waking; when it came up, once it did.
    pub active_at: Timestamp,
    /// Rises with each write of the row; a write names the version it read.
    pub version: i64,
}

impl Environment {
    /// `REPO/BRANCH`, the name used on the command line and in logs.
    pub fn name(&self) -> String {
        format!("{}/{}", self.repo, self.branch)
    }

    /// Names the archive of the present life: the same however often the end is tried, another one when the branch
    /// was wanted again in between.
    pub fn archive_id(&self) -> String {
        format!("{}-{}-{}", self.slug, self.id, self.run_generation.0)
    }

    /// Git says where it is and when it ends.
    pub fn follows_branch(&self) -> bool {
        self.restored.as_ref().is_none_or(|restored| restored.follows_branch)
    }

    /// The archive from which its volumes are still to be filled.
    pub fn to_fill(&self) -> Option<&str> {
        self.restored
            .as_ref()
            .filter(|restored| !restored.is_filled)
            .map(|restored| restored.archive.as_str())
    }

    /// The archive that it cannot do without: its commit, and until it is filled its data too.
    pub fn needs_archive(&self) -> Option<&str> {
        let needing =
            self.restored.as_ref().filter(|restored| !(restored.is_filled && restored.follows_branch));
        needing.map(|restored| restored.archive.as_str())
    }

    /// When somebody last visited it, pushed, or asked for it.
    pub fn last_wanted_at(&self) -> Timestamp {
        self.last_visited_at.map_or(self.active_at, |visited| visited.max(self.active_at))
    }

    /// What was deployed or woken comes up with this phase: from now on its time without visitors counts. What is only put
    /// right was up all the time.
    pub fn comes_up(&self, next: Phase) -> bool {
        let is_asked_for = matches!(self.intent, Intent::Run { .. } | Intent::Wake);
        is_asked_for && next == Phase::Ready && self.phase != Phase::Ready
    }

    /// It failed, and a version from before is served.
    pub fn fell_back(&self) -> bool {
        matches!(self.phase, Phase::Failed | Phase::Blocked) && self.serving
    }

    pub fn has_work(&self) -> bool {
        self.settled_generation < self.generation
    }
}

/// One run of a plan for a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: i64,
    pub environment: EnvironmentId,
    pub generation: Generation,
    pub commit: Option<CommitSha>,
    pub state: DeploymentState,
    /// The printed plans, one step a line with its reason.
    pub plan: String,
    pub reason: Option<String>,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// How a deployment went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    Running,
    Succeeded,
    Failed,
    /// A newer generation took its place, or the daemon ended.
    Superseded,
    /// Something outside was away; it is tried again when that is back.
    Deferred,
}

impl DeploymentState {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Deferred => "deferred",
        }
    }
}

/// What is known of an archive; the file lies in `DATA_DIR/archives/<id>.tar.zst`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// As [`Environment::archive_id`] makes it.
    pub id: String,
    pub environment: EnvironmentId,
    pub repo: RepoName,
    pub branch: BranchName,
    pub slug: Slug,
    pub commit: Option<CommitSha>,
    pub outcome: Outcome,
    pub created_at: Timestamp,
    pub size_bytes: u64,
    /// When it was last read back and found whole; none when it was found damaged since.
    pub verified_at: Option<Timestamp>,
    /// Of the file, in lower-case hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Neither age nor the sum of all removes it.
    #[serde(default)]
    pub pinned: bool,
    /// Since when it is gone: the row stays, the file does not.
    #[serde(default)]
    pub removed_at: Option<Timestamp>,
    #[serde(default)]
    pub removed_reason: Option<RemovalReason>,
}

/// Why an archive is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// Somebody wants it gone.
    Asked,
    /// It is older than archives are kept.
    Expired,
    /// All together are larger than they may be, and this is the oldest.
    OverBudget,
}

impl RemovalReason {
    /// As part of a sentence: `archive x is removed: …`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Asked => "somebody asked for it",
            Self::Expired => "it is older than [archive] keep",
            Self::OverBudget => "archives were larger than [archive] max_size, and it was the oldest",
        }
    }
}

/// An environment that ran once, for tests.
#[cfg(test)]
pub(crate) fn sample(branch: &str) -> Environment {
    use super::names::InstanceId;

    let parsed = "a name of the tests parses";
    let slug = Slug::parse("a").ok().unwrap_or_else(|| unreachable!("{parsed}"));
    let commit = CommitSha::parse(&"a".repeat(40)).ok();
    let origin = Timestamp::from_millis(0);
    Environment {
        id: EnvironmentId(1),
        repo: RepoName::parse("shop").ok().unwrap_or_else(|| unreachable!("{parsed}")),
        branch: BranchName::parse(branch).ok().unwrap_or_else(|| unreachable!("{parsed}")),
        project: ProjectName::new(&InstanceId("abc234".into()), EnvironmentId(1), &slug),
        slug,
        intent: Intent::Run { commit: commit.clone(), rebuild: false, pull: false },
        generation: Generation(1),
        run_generation: Generation(1),
        settled_generation: Generation(1),
        phase: Phase::Ready,
        reason: None,
        serving: true,
        commit: commit.clone(),
        running_commit: commit,
        had_own_commit: true,
        ending: None,
        restored: None,
        pinned: false,
        created_at: origin,
        updated_at: origin,
        last_visited_at: None,
        active_at: origin,
        version: 1,
    }
}
