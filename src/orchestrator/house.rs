//! What the orchestrator works with: the ports, the store, the settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::domain::disk::Watermarks;
use crate::domain::event::{Event, EventState};
use crate::domain::leftovers;
use crate::domain::names::{BranchName, CommitSha, RepoName, Slug};
use crate::domain::policy::Permissions;
use crate::domain::pull_request::{PullRequest, PullRules, Subject};
use crate::domain::rewrite::EnvironmentLimits;
use crate::domain::sift::PathFilter;
use crate::domain::verdict::Superseded;
use crate::domain::visitors::Access;
use crate::domain::{places, rest, retention, walls};
use crate::ports::{
    AccessLog, Ancestry, Archives, Builder, Catalogue, Cgroups, Changes, Clock, Confinements, Disks, Engine,
    EngineWatch, Firewall, Folders, ForgeApi, Git, Jobs, KeptCommits, Logs, PortError, PortResult, Power,
    Prober, Programs, Redactor, Remote, RoutePublisher, Stacks, Stock, TreeLimits, Vault, Visitors,
    Workspace, meters,
};
use crate::store::{EventFilter, Store, StoreError, StoredRoute};
use crate::supervisor::Supervisor;

use super::absence::Absence;
use super::enclosure::Enclosure;
use super::gauge::Room;
use super::remotes::Remotes;

/// How long a remote may take to tell its branches; longer than the adapter waits for one that is slow.
const ASK_LIMIT: Duration = Duration::from_secs(90);
/// Events of a branch that are looked through at most.
const RECENT_EVENTS: u32 = 50;

/// Everything outside, behind its port.
#[derive(Clone)]
pub struct Ports {
    pub engine: Arc<dyn Engine>,
    pub power: Arc<dyn Power>,
    pub watch: Arc<dyn EngineWatch>,
    pub confinements: Arc<dyn Confinements>,
    pub catalogue: Arc<dyn Catalogue>,
    pub jobs: Arc<dyn Jobs>,
    pub stacks: Arc<dyn Stacks>,
    pub builder: Arc<dyn Builder>,
    pub git: Arc<dyn Git>,
    pub changes: Arc<dyn Changes>,
    pub commits: Arc<dyn KeptCommits>,
    pub ancestry: Arc<dyn Ancestry>,
    pub workspace: Arc<dyn Workspace>,
    pub logs: Arc<dyn Logs>,
    pub access_log: Arc<dyn AccessLog>,
    pub archives: Arc<dyn Archives>,
    pub routes: Arc<dyn RoutePublisher>,
    pub visitors: Arc<dyn Visitors>,
    pub prober: Arc<dyn Prober>,
    pub disks: Arc<dyn Disks>,
    pub stock: Arc<dyn Stock>,
    pub folders: Arc<dyn Folders>,
    pub programs: Arc<dyn Programs>,
    pub firewall: Arc<dyn Firewall>,
    pub cgroups: Arc<dyn Cgroups>,
    pub vault: Arc<dyn Vault>,
    /// Keeps secrets out of what is told.
    pub redactor: Arc<Redactor>,
    pub clock: Arc<dyn Clock>,
}

/// The whole house: what every part of the orchestrator is given.
pub struct House {
    pub store: Store,
    pub ports: Ports,
    pub supervisor: Supervisor,
    /// Whether the repositories' remotes answer.
    pub remotes: Remotes,
    pub room: Room,
    pub(super) absence: Absence,
    pub(super) enclosure: Enclosure,
    settings: ArcSwap<Settings>,
}

impl House {
    pub fn new(store: Store, ports: Ports, settings: Settings, supervisor: Supervisor) -> Self {
        Self {
            store,
            ports,
            supervisor,
            remotes: Remotes::default(),
            room: Room::default(),
            absence: Absence::default(),
            enclosure: Enclosure::default(),
            settings: ArcSwap::from_pointee(settings),
        }
    }

    /// Why the engine is taken to be away; none while it answers.
    pub fn engine_away(&self) -> Option<String> {
        self.absence.why()
    }

    /// Returns when the engine answers; at once where it does.
    pub async fn engine_back(&self) {
        self.absence.is_over().await;
    }

    /// As they are now. Whoever does something in several steps keeps what it began with.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Says how far an event has come, and counts it.
    pub(super) async fn settle_event(
        &self,
        event: &Event,
        state: EventState,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let reason = reason.map(|reason| self.ports.redactor.text(reason));
        self.store.settle_event(event.id, state, reason.as_deref()).await?;
        meters::event_settled(event.kind.word(), state.word());
        Ok(())
    }

    /// Events of a branch, the newest first: as many as a question about what was told lately needs.
    pub(super) async fn recent_events(
        &self,
        repo: &RepoName,
        branch: &BranchName,
    ) -> Result<Vec<Event>, StoreError> {
        let filter = EventFilter {
            repo: Some(repo.clone()),
            branch: Some(branch.clone()),
            before: None,
            limit: RECENT_EVENTS,
        };
        self.store.events(&filter).await
    }

    /// From now on these.
    pub fn replace_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Asks the remote for its branches, and remembers whether it answered.
    ///
    /// # Errors
    /// As the port, and transient when it takes too long.
    pub async fn branches(&self, repository: &Repository) -> PortResult<BTreeMap<BranchName, CommitSha>> {
        let (repo, every) = (&repository.remote.repo, repository.poll_every);
        let asked = tokio::time::timeout(ASK_LIMIT, self.ports.git.branches(&repository.remote)).await;
        let said = asked.unwrap_or_else(|_slow| {
            let seconds = ASK_LIMIT.as_secs();
            Err(PortError::Transient(format!("the remote of {repo} said nothing for {seconds} s")))
        });
        let answer = said.as_ref().map(|_| ());
        let is_back = self.remotes.answered(repo, answer, every, self.ports.clock.now());
        match &said {
            Err(error) => tracing::warn!(%repo, %error, "the remote does not tell its branches"),
            Ok(_) if is_back => tracing::info!(%repo, "the remote answers again"),
            Ok(tips) if !tips.contains_key(&repository.main) => {
                let main = &repository.main;
                self.remotes.complain(
                    repo,
                    format!("it has no branch {main}: `main` names the branch that others are merged into"),
                );
            }
            Ok(_) => {}
        }
        said
    }

    /// Fetches the branch. A failure that may pass is the remote's when that does not tell its branches either: then it is
    /// known to be away.
    ///
    /// # Errors
    /// As the port.
    pub async fn fetch(&self, repository: &Repository, branch: &BranchName) -> PortResult<Option<CommitSha>> {
        let fetched = self.ports.git.fetch(&repository.remote, branch).await;
        if fetched.as_ref().is_err_and(PortError::is_transient) {
            self.branches(repository).await?;
        }
        fetched
    }

    /// Fetches the head of a pull request, which the remote has under this ref. A failure as in [`House::fetch`].
    ///
    /// # Errors
    /// As the port.
    pub async fn fetch_pull(
        &self,
        repository: &Repository,
        reference: &str,
        branch: &BranchName,
    ) -> PortResult<Option<CommitSha>> {
        let fetched = self.ports.changes.fetch_pull(&repository.remote, reference, branch).await;
        if fetched.as_ref().is_err_and(PortError::is_transient) {
            self.branches(repository).await?;
        }
        fetched
    }
}

/// What the configuration says, in the orchestrator's words.
#[derive(Clone)]
pub struct Settings {
    pub address: AddressSettings,
    /// CIDR from which each network gets its subnet.
    pub subnets: String,
    pub walls: walls::Rules,
    pub limits: Limits,
    /// How many environments may be awake.
    pub places: places::Rules,
    pub retention: retention::Rules,
    pub watermarks: Watermarks,
    pub leftovers: leftovers::Rules,
    /// How often what is not needed any more is looked for.
    pub collect_every: Duration,
    /// The images that drey built go into archives.
    pub archive_images: bool,
    pub repositories: BTreeMap<RepoName, Arc<Repository>>,
}

impl Settings {
    /// Who may look at environments of the repository: at those of one that is not served any more, nobody but programs
    /// with a token.
    pub fn access(&self, repo: &RepoName) -> Access {
        self.repositories.get(repo).map_or(Access::Token, |repository| repository.access.clone())
    }
}

/// How the addresses of environments are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSettings {
    pub domain: String,
    /// `https`, or `http` where TLS is off.
    pub proto: String,
    /// Only where it is not the protocol's own.
    pub port: Option<u16>,
}

impl AddressSettings {
    /// Host with its port, as a browser sends it.
    pub fn authority(&self, host: &str) -> String {
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Address of a hostname.
    pub fn url(&self, host: &str) -> String {
        format!("{}://{}", self.proto, self.authority(host))
    }

    /// Address of a service: its hostname, and its path where it shares that with others.
    pub fn url_of(&self, stored: &StoredRoute) -> String {
        let path = &stored.route.path;
        self.url(&stored.host) + if path.is_root() { "" } else { path.as_str() }
    }

    /// Hostname of the primary service.
    pub fn primary_host(&self, slug: &Slug) -> String {
        crate::domain::slug::hostname(slug, "", &self.domain)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Builds at once.
    pub builds: usize,
    /// Of all builds together.
    pub build_memory: u64,
    /// Of one build.
    pub build_time: Duration,
    pub checkout: TreeLimits,
    /// Of one service.
    pub memory_bytes: u64,
    /// Of one service.
    pub cpus: f64,
    /// Of one service.
    pub pids: u64,
    /// Of all services of an environment together.
    pub environment: EnvironmentLimits,
    /// How often visits wake one environment within an hour.
    pub wakes_per_hour: Option<usize>,
}

/// A configured repository.
pub struct Repository {
    pub remote: Remote,
    pub main: BranchName,
    /// Compose files; empty: as Compose finds them.
    pub files: Vec<PathBuf>,
    /// Starter stack for checkouts without a compose file.
    pub starter: Option<String>,
    pub profiles: Vec<String>,
    /// Values for `${…}`.
    pub variables: BTreeMap<String, String>,
    pub merge_grace: Duration,
    /// Zero: never.
    pub rest: rest::Rules,
    /// How often the remote is asked for its branches; zero: never.
    pub poll_every: Duration,
    pub superseded: Superseded,
    pub permissions: Permissions,
    /// A builder that the operator made for it; none: the engine's own.
    pub builder: Option<String>,
    pub branches: Arc<dyn BranchRules>,
    /// Which pull requests make environments.
    pub pulls: PullRules,
    /// A push that changes nothing of this is passed over.
    pub paths: PathFilter,
    pub subject: Subject,
    /// Where it is told what becomes of its environments; none without a token.
    pub forge: Option<Arc<dyn ForgeApi>>,
    /// Who may look at its environments.
    pub access: Access,
}

impl Repository {
    /// Whether the branch gets an environment by itself, else why not.
    ///
    /// # Errors
    /// The reason, for the one who pushed.
    pub fn wants(&self, branch: &BranchName, pulls: &[PullRequest]) -> Result<(), String> {
        // What the globs say is about branches of the repository itself.
        if branch.pull_number().is_none() {
            self.branches.wants(branch)?;
        }
        self.pulls.wants(branch, pulls)
    }
}

/// Which branches get an environment, and which outlive a merge.
pub trait BranchRules: Send + Sync {
    /// Whether the branch gets an environment, else why not.
    fn wants(&self, branch: &BranchName) -> Result<(), &'static str>;
    /// Whether it stays after a merge.
    fn keeps(&self, branch: &BranchName) -> bool;
}
