//! The normalised fact that a delivery, timer, command or engine message became.

use serde::{Deserialize, Serialize};

use super::environment::RemovalReason;
use super::forge::Forge;
use super::names::{BranchName, CommitSha, RepoName};
use super::pull_request::PullRequest;
use super::time::Timestamp;

/// Row id of an event; rises in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub i64);

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSource {
    /// `hooks/post-receive` or `hooks/post-merge`.
    Git,
    Github,
    Gitlab,
    Gitea,
    Forgejo,
    Bitbucket,
    /// A timer of the daemon: something became due.
    Timer,
    /// A command on the socket.
    Cli,
    /// The first look at a repository: when the daemon starts, or when it is added or changed.
    Start,
    /// The container engine said something.
    Engine,
    /// Somebody opened an address.
    Visit,
    /// A remote was asked for its branches, and nobody had told of what it said.
    Poll,
}

impl EventSource {
    /// The word used in the table, the API and the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::Bitbucket => "bitbucket",
            Self::Timer => "timer",
            Self::Cli => "cli",
            Self::Start => "start",
            Self::Engine => "engine",
            Self::Visit => "visit",
            Self::Poll => "poll",
        }
    }
}

impl From<Forge> for EventSource {
    fn from(forge: Forge) -> Self {
        match forge {
            Forge::Github => Self::Github,
            Forge::Gitlab => Self::Gitlab,
            Forge::Gitea => Self::Gitea,
            Forge::Forgejo => Self::Forgejo,
            Forge::Bitbucket => Self::Bitbucket,
        }
    }
}

/// What became of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullChange {
    Opened,
    /// New commits, another target, or what decides about its environment.
    Updated,
    Reopened,
    /// Without a merge.
    Closed,
    Merged,
    /// Its words: title, reviewers.
    Described,
    /// Labels, or whether it is a draft: counts where that decides about environments.
    Marked,
}

/// What happened, or what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// A branch is there that was not. `commit` is a hint, and not every forge gives it: git at the remote is the truth.
    BranchCreated {
        branch: BranchName,
        commit: Option<CommitSha>,
    },
    /// A branch moved, forward or not.
    BranchPushed {
        branch: BranchName,
        before: CommitSha,
        commit: CommitSha,
    },
    /// A branch is gone.
    BranchDeleted {
        branch: BranchName,
        before: Option<CommitSha>,
    },
    /// A forge told of a pull request.
    PullRequest {
        change: PullChange,
        pull: Box<PullRequest>,
    },
    /// Somebody asks for a look at git: compare all refs with what is known.
    Look,
    /// A person or script asks for a deployment of the branch as it is now.
    DeployRequested {
        branch: BranchName,
        rebuild: bool,
        pull: bool,
    },
    /// A person asks to make an environment out of an archive. Without a free place of its own, the branch is called
    /// `<branch>@<archive>`.
    RestoreRequested {
        branch: BranchName,
        archive: String,
        commit: CommitSha,
    },
    /// A person asks to end the environment; `archive` says whether something is kept.
    EndRequested {
        branch: BranchName,
        archive: bool,
    },
    /// The grace of a merged or deleted branch is over.
    EndDue {
        branch: BranchName,
    },
    /// The environment's containers are not as they were left: they are put right.
    Drifted {
        branch: BranchName,
    },
    /// It is to be stopped and kept; `why` is told while it sleeps.
    SleepRequested {
        branch: BranchName,
        why: String,
        /// Whoever came before anything was stopped keeps it awake.
        #[serde(default)]
        gives_way: bool,
    },
    /// Somebody wants to see what sleeps.
    WakeRequested {
        branch: BranchName,
    },
    /// Nobody wanted it for too long, or it has to make room: it is archived.
    Expired {
        branch: BranchName,
        why: String,
    },
    /// An archive of the branch is to go.
    ArchiveRemoval {
        branch: BranchName,
        archive: String,
        reason: RemovalReason,
    },
    /// A forge tries its webhook.
    Ping,
    TagCreated {
        tag: String,
    },
    TagDeleted {
        tag: String,
    },
    /// Known to be of no interest: a note, a review.
    Ignored {
        reference: String,
    },
}

impl EventKind {
    /// The word used in the table, the API and the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::BranchCreated { .. } => "branch_created",
            Self::BranchPushed { .. } => "branch_pushed",
            Self::BranchDeleted { .. } => "branch_deleted",
            Self::PullRequest { change, .. } => match change {
                PullChange::Opened => "pr_opened",
                PullChange::Updated => "pr_updated",
                PullChange::Reopened => "pr_reopened",
                PullChange::Closed => "pr_closed_unmerged",
                PullChange::Merged => "pr_merged",
                PullChange::Described | PullChange::Marked => "ignored",
            },
            Self::Look => "look",
            Self::DeployRequested { .. } => "deploy_requested",
            Self::RestoreRequested { .. } => "restore_requested",
            Self::EndRequested { .. } => "end_requested",
            Self::EndDue { .. } => "end_due",
            Self::Drifted { .. } => "drifted",
            Self::SleepRequested { .. } => "sleep_requested",
            Self::WakeRequested { .. } => "wake_requested",
            Self::Expired { .. } => "expired",
            Self::ArchiveRemoval { .. } => "archive_removal",
            Self::Ping => "ping",
            Self::TagCreated { .. } => "tag_created",
            Self::TagDeleted { .. } => "tag_deleted",
            Self::Ignored { .. } => "ignored",
        }
    }

    pub fn branch(&self) -> Option<&BranchName> {
        match self {
            Self::BranchCreated { branch, .. }
            | Self::BranchPushed { branch, .. }
            | Self::BranchDeleted { branch, .. }
            | Self::DeployRequested { branch, .. }
            | Self::RestoreRequested { branch, .. }
            | Self::EndRequested { branch, .. }
            | Self::EndDue { branch }
            | Self::Drifted { branch }
            | Self::SleepRequested { branch, .. }
            | Self::WakeRequested { branch }
            | Self::Expired { branch, .. }
            | Self::ArchiveRemoval { branch, .. } => Some(branch),
            Self::PullRequest { pull, .. } => Some(&pull.branch),
            Self::Look
            | Self::Ping
            | Self::TagCreated { .. }
            | Self::TagDeleted { .. }
            | Self::Ignored { .. } => None,
        }
    }

    /// The branch itself moved.
    pub const fn is_push(&self) -> bool {
        matches!(
            self,
            Self::BranchCreated { .. }
                | Self::BranchPushed { .. }
                | Self::PullRequest {
                    change: PullChange::Opened | PullChange::Updated | PullChange::Reopened,
                    ..
                }
        )
    }

    /// What a forge said of a pull request.
    pub fn pull(&self) -> Option<&PullRequest> {
        if let Self::PullRequest { pull, .. } = self { Some(pull) } else { None }
    }

    /// The id of the archive that it is about.
    pub fn archive(&self) -> Option<&str> {
        if let Self::ArchiveRemoval { archive, .. } = self { Some(archive) } else { None }
    }

    pub fn commit(&self) -> Option<CommitSha> {
        match self {
            Self::BranchPushed { commit, .. } | Self::RestoreRequested { commit, .. } => Some(commit.clone()),
            Self::BranchCreated { commit, .. } => commit.clone(),
            Self::PullRequest { pull, .. } => pull.head.as_ref()?.full(),
            Self::BranchDeleted { .. }
            | Self::Look
            | Self::DeployRequested { .. }
            | Self::EndRequested { .. }
            | Self::EndDue { .. }
            | Self::Drifted { .. }
            | Self::SleepRequested { .. }
            | Self::WakeRequested { .. }
            | Self::Expired { .. }
            | Self::ArchiveRemoval { .. }
            | Self::Ping
            | Self::TagCreated { .. }
            | Self::TagDeleted { .. }
            | Self::Ignored { .. } => None,
        }
    }
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    Pending,
    Done,
    Ignored,
    Failed,
}

impl EventState {
    /// The word used in the table, the API and the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// An event that is not stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub source: EventSource,
    pub repo: RepoName,
    pub kind: EventKind,
    /// Of the delivery that brought it: `(delivery_id, place in the body)` is unique per repository.
    pub delivery_id: Option<String>,
    /// `-o drey.skip`: taken down, but nothing follows.
    pub skip: bool,
}

/// An event as stored; also the object that the API and `drey event list` show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub source: EventSource,
    pub repo: RepoName,
    pub kind: EventKind,
    pub delivery_id: Option<String>,
    pub skip: bool,
    pub received_at: Timestamp,
    pub state: EventState,
    pub reason: Option<String>,
}
