//! Fakes below the level under test: an engine in memory, a git of named commits, a compose that reads JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use drey::domain::audit::{Confinement, LogFact, NameSpaces};
use drey::domain::directory::{Listed, Port};
use drey::domain::disk::Disk;
use drey::domain::environment::ArchiveRecord;
use drey::domain::images::{BuildInputs, BuildSources};
use drey::domain::leftovers::BuiltImage;
use drey::domain::names::{BranchName, CommitSha, EnvironmentId, InstanceId, ProjectName, RepoName};
use drey::domain::observed::{
    Container, ContainerState, Glance, Health, ImageFacts, Network, Observed, Volume,
};
use drey::domain::orphans::Claim;
use drey::domain::policy::{CheckoutFacts, PathFact, paths_used};
use drey::domain::presence::Presence;
use drey::domain::pull_request::{PullRules, Subject};
use drey::domain::retention::Rules;
use drey::domain::route::{RouteTable, Upstream};
use drey::domain::time::Timestamp;
use drey::domain::visitors::{Access, KnownTokens};
use drey::domain::walls::{self, Walls};
use drey::domain::{places, rest};
use drey::ports::{
    Ancestry, ArchiveParts, Archives, BuildGroup, BuildRequest, Builder, Catalogue, Cgroups, Clock,
    Confinements, Disks, Engine, EngineWatch, Firewall, ForgeApi, Git, JobEnd, KeptCommits, LogLine,
    LogRange, LogSink, NetworkRequest, Outgoing, PortError, PortResult, Power, ProbeUrl, Prober, Programs,
    Remote, RenderRequest, Rendered, Resource, Restoring, RoutePublisher, Stacks, Stock, TreeLimits,
    TreeNotes, UpRequest, Visitors, VolumeRequest,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::changes::Told;

pub(crate) type Shared<T> = Arc<Mutex<T>>;

/// The whole outside, in memory. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct World(pub Shared<Inside>);

pub(crate) struct Inside {
    pub projects: BTreeMap<ProjectName, Observed>,
    pub images: BTreeSet<String>,
    pub built: Vec<String>,
    /// Branch → tip, at the remote.
    pub tips: BTreeMap<BranchName, CommitSha>,
    /// Commit → its parents and its compose document.
    pub commits: BTreeMap<CommitSha, (Vec<CommitSha>, Value)>,
    /// How often the remote was asked for its branches.
    pub asked: usize,
    pub poll_every: Duration,
    /// Branches that outlive their merge.
    pub keep: Vec<String>,
    pub pulls: PullRules,
    pub paths: Vec<String>,
    pub subject: Subject,
    pub access: Access,
    /// What the remote says instead of answering.
    pub remote_fails: Option<String>,
    pub ups: usize,
    /// What was brought up last, by project: a container is confined as its document says.
    pub documents: BTreeMap<ProjectName, Value>,
    /// The engine gives every container all privileges.
    pub privileges: bool,
    /// What `up` does: error text, or none.
    pub up_fails: Option<String>,
    /// Status that probes see; none: nobody answers.
    pub answers: Option<u16>,
    pub archives: BTreeMap<String, Value>,
    /// Project and key of each volume that was filled from an archive.
    pub filled: Vec<(ProjectName, String)>,
    /// Archive → the commit that is kept for it.
    pub kept_commits: BTreeMap<String, CommitSha>,
    pub archive_fails: bool,
    pub retention: Rules,
    pub rest: rest::Rules,
    pub places: places::Rules,
    pub wakes_per_hour: Option<usize>,
    /// What the engine says instead of starting a container.
    pub start_fails: Option<String>,
    /// Containers that were started one by one.
    pub starts: usize,
    pub presence: Presence,
    /// How often what was open had to end.
    pub cuts: u32,
    /// The engine does not answer.
    pub is_away: bool,
    /// How many lines each container wrote.
    pub log_lines: usize,
    pub table: RouteTable,
    pub known: KnownTokens,
    pub now: i64,
    /// How full the disk is, in percent, and the bytes that are free.
    pub disk: (u8, u64),
    /// A checkout finds no room so many times.
    pub no_room: usize,
    /// What was asked of the build cache: seconds unused, bytes to keep.
    pub cache_pruned: Vec<(u64, u64)>,
    /// How much of that is a step of the clock, not time that passed.
    pub stepped: i64,
    /// Jobs that ran, `<service>: <command>`.
    pub jobs: Vec<String>,
    /// What a job that holds this text ends with, instead of exit code 0; it says so on its output.
    pub job_ends: BTreeMap<String, JobEnd>,
    /// A place in it is needed for each job.
    pub job_gate: Arc<Semaphore>,
    /// Who listens for what happens on the engine.
    pub drifts: Option<mpsc::Sender<ProjectName>>,
    pub claims: Vec<Claim>,
    /// A place in it is needed for each `up`: a test that takes them all stops the world there.
    pub gate: Arc<Semaphore>,
    /// What environments have written.
    pub written: BTreeMap<EnvironmentId, u64>,
    pub walls: Walls,
    pub walls_mode: walls::Mode,
    pub firewall_fails: Option<String>,
    /// Environments whose control group was removed.
    pub groups_removed: Vec<EnvironmentId>,
    /// How often somebody asked for the services of a project.
    pub listings: usize,
    pub changes: Told,
    /// Where what becomes of environments is told.
    pub forge: Option<Arc<dyn ForgeApi>>,
    /// Containers that drey did not start.
    pub others: crate::outsiders::Others,
}

impl Default for Inside {
    fn default() -> Self {
        Self {
            projects: BTreeMap::new(),
            images: BTreeSet::from(["redis:7".to_owned()]),
            built: Vec::new(),
            tips: BTreeMap::new(),
            commits: BTreeMap::new(),
            asked: 0,
            poll_every: Duration::ZERO,
            keep: vec!["develop".to_owned()],
            pulls: PullRules::default(),
            paths: Vec::new(),
            subject: Subject::default(),
            access: Access::default(),
            remote_fails: None,
            ups: 0,
            documents: BTreeMap::new(),
            privileges: false,
            up_fails: None,
            answers: Some(200),
            archives: BTreeMap::new(),
            filled: Vec::new(),
            kept_commits: BTreeMap::new(),
            archive_fails: false,
            retention: Rules { keep: None, max_bytes: None, image_bytes: 0 },
            rest: rest::Rules::default(),
            places: places::Rules::default(),
            wakes_per_hour: None,
            start_fails: None,
            starts: 0,
            presence: Presence::default(),
            cuts: 0,
            is_away: false,
            log_lines: 0,
            table: RouteTable::default(),
            known: KnownTokens::new(),
            now: 1_700_000_000_000,
            disk: (10, 1 << 40),
            no_room: 0,
            cache_pruned: Vec::new(),
            stepped: 0,
            jobs: Vec::new(),
            job_ends: BTreeMap::new(),
            drifts: None,
            claims: Vec::new(),
            job_gate: Arc::new(Semaphore::new(100)),
            gate: Arc::new(Semaphore::new(100)),
            written: BTreeMap::new(),
            walls: Walls::default(),
            walls_mode: walls::Mode::On,
            firewall_fails: None,
            groups_removed: Vec::new(),
            listings: 0,
            changes: Told::default(),
            forge: None,
            others: Default::default(),
        }
    }
}

impl Inside {
    fn has_container(&self, id: &str) -> bool {
        self.projects.values().flat_map(|observed| &observed.containers).any(|container| container.id == id)
    }
}

impl World {
    /// Does something to a project behind drey's back; the engine tells of it.
    pub(crate) async fn harm(&self, project: &ProjectName, work: impl FnOnce(&mut Observed)) {
        self.with(|inside| work(inside.projects.get_mut(project).unwrap()));
        // A life that has just begun may not listen yet.
        loop {
            if let Some(told) = self.with(|inside| inside.drifts.clone())
                && told.send(project.clone()).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    pub(crate) fn answer_of_the_remote(&self) -> PortResult<()> {
        self.with(|inside| inside.remote_fails.clone()).map_or(Ok(()), |said| Err(PortError::Transient(said)))
    }

    pub(crate) fn ancestors(&self, commit: &CommitSha) -> BTreeSet<CommitSha> {
        self.with(|inside| {
            let mut seen = BTreeSet::new();
            let mut open = vec![commit.clone()];
            while let Some(next) = open.pop() {
                if seen.insert(next.clone())
                    && let Some((parents, _)) = inside.commits.get(&next)
                {
                    open.extend(parents.iter().cloned());
                }
            }
            seen
        })
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.with(|inside| {
            inside.now += 1;
            Timestamp::from_millis(inside.now)
        })
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.with(|inside| inside.now - inside.stepped).unsigned_abs())
    }
}

#[async_trait]
impl Power for World {
    async fn start(&self, container: &str) -> PortResult<()> {
        if let Some(error) = self.with(|inside| inside.start_fails.clone()) {
            return Err(PortError::Permanent(error));
        }
        self.with(|inside| inside.starts += 1);
        self.turn(container, |_| Some(ContainerState::Running));
        Ok(())
    }

    async fn pause(&self, container: &str) -> PortResult<()> {
        self.turn(container, |state| (state == ContainerState::Running).then_some(ContainerState::Paused));
        Ok(())
    }

    async fn unpause(&self, container: &str) -> PortResult<()> {
        self.turn(container, |state| (state == ContainerState::Paused).then_some(ContainerState::Running));
        Ok(())
    }
}

impl World {
    fn turn(&self, id: &str, to: impl Fn(ContainerState) -> Option<ContainerState>) {
        self.with(|inside| {
            let containers = inside.projects.values_mut().flat_map(|it| &mut it.containers);
            for container in containers.filter(|container| container.id == id) {
                container.state = to(container.state).unwrap_or(container.state);
            }
        });
    }
}

#[async_trait]
impl Visitors for World {
    fn take_visits(&self) -> Vec<(EnvironmentId, Timestamp)> {
        Vec::new()
    }

    fn presence(&self, _: EnvironmentId) -> Presence {
        self.with(|inside| inside.presence)
    }

    async fn dismiss(&self, _: EnvironmentId) {
        self.with(|inside| inside.presence.tunnels = 0);
    }

    fn cut(&self, _: EnvironmentId) {
        self.with(|inside| inside.cuts += 1);
    }
}

impl RoutePublisher for World {
    fn publish(&self, table: RouteTable) {
        self.with(|inside| inside.table = table);
    }

    fn know(&self, tokens: KnownTokens) {
        self.with(|inside| inside.known = tokens);
    }
}

#[async_trait]
impl Prober for World {
    async fn probe(&self, _: &Upstream, _: &ProbeUrl, _: Duration) -> PortResult<Option<u16>> {
        let answers = self.with(|inside| inside.answers);
        answers.map(Some).ok_or_else(|| PortError::Transient("connection refused".into()))
    }
}

#[async_trait]
impl Programs for World {
    async fn gone(&self, _: Duration) -> usize {
        0
    }
}

#[async_trait]
impl Engine for World {
    async fn ping(&self) -> PortResult<String> {
        if self.with(|inside| inside.is_away) { Err(gone()) } else { Ok("fake".into()) }
    }

    async fn observe(&self, project: &ProjectName) -> PortResult<Observed> {
        if self.with(|inside| inside.is_away) {
            return Err(gone());
        }
        Ok(self.with(|inside| inside.projects.get(project).cloned().unwrap_or_default()))
    }

    async fn image(&self, reference: &str) -> PortResult<Option<ImageFacts>> {
        let there = self.with(|inside| inside.images.contains(reference));
        Ok(there.then(|| ImageFacts {
            id: reference.into(),
            exposed_ports: vec![80],
            size_bytes: 10,
            ..ImageFacts::default()
        }))
    }

    async fn pull(&self, reference: &str, _: &dyn LogSink) -> PortResult<()> {
        self.with(|inside| inside.images.insert(reference.to_owned()));
        Ok(())
    }

    async fn create_network(&self, request: &NetworkRequest) -> PortResult<()> {
        let project = project_of(&request.labels);
        let definition = request.labels.get("drey.definition").cloned();
        let network = Network { name: request.name.clone(), id: request.name.clone(), definition };
        self.with(|inside| inside.projects.entry(project).or_default().networks.push(network));
        Ok(())
    }

    async fn create_volume(&self, request: &VolumeRequest) -> PortResult<()> {
        let project = project_of(&request.labels);
        let definition = request.labels.get("drey.definition").cloned();
        let volume = Volume { name: request.name.clone(), definition };
        self.with(|inside| inside.projects.entry(project).or_default().volumes.push(volume));
        Ok(())
    }

    async fn remove(&self, resource: &Resource) -> PortResult<()> {
        self.with(|inside| {
            for observed in inside.projects.values_mut() {
                observed
                    .containers
                    .retain(|container| *resource != Resource::Container(container.id.clone()));
                observed.networks.retain(|network| *resource != Resource::Network(network.name.clone()));
                observed.volumes.retain(|volume| *resource != Resource::Volume(volume.name.clone()));
            }
            if let Resource::Image(tag) = resource {
                inside.images.remove(tag);
            }
        });
        Ok(())
    }

    async fn logs(&self, container: &str, range: LogRange, log: &dyn LogSink) -> PortResult<()> {
        let line = |text: &str| LogLine { source: "fake".into(), text: text.to_owned() };
        log.line(line(&format!("2026-01-01T00:00:00Z {container} began")));
        for number in 0..self.with(|inside| inside.log_lines) {
            log.line(line(&format!("2026-01-01T00:00:00Z line {number}")));
            tokio::task::yield_now().await;
        }
        if range == LogRange::UntilItStops {
            while self.with(|inside| inside.has_container(container)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            log.line(line(&format!("2026-01-01T00:00:01Z {container} was stopped")));
        }
        Ok(())
    }
}

#[async_trait]
impl Confinements for World {
    async fn confinements(&self, project: &ProjectName) -> PortResult<Vec<Confinement>> {
        Ok(self.with(|inside| {
            let document = inside.documents.get(project).cloned().unwrap_or_default();
            let containers = inside.projects.get(project).map(|it| it.containers.clone()).unwrap_or_default();
            let privileged = inside.privileges;
            let confined = |it: &Container| Confinement { privileged, ..confinement(it, project, &document) };
            containers.iter().map(confined).collect()
        }))
    }
}

/// As the engine would tell it of a container that was made from this document.
fn confinement(container: &Container, project: &ProjectName, document: &Value) -> Confinement {
    let service = &document["services"][&container.service];
    let texts =
        |key: &str| -> Vec<String> { serde_json::from_value(service[key].clone()).unwrap_or_default() };
    Confinement {
        id: container.id.clone(),
        name: container.name.clone(),
        service: container.service.clone(),
        // As compose reads the document.
        labels: labels_of(service),
        cap_add: texts("cap_add"),
        cap_drop: texts("cap_drop"),
        security_opt: texts("security_opt"),
        cgroup_parent: service["cgroup_parent"].as_str().unwrap_or_default().to_owned(),
        hides_kernel: true,
        name_spaces: NameSpaces {
            network: format!("{project}_default"),
            cgroup: service["cgroup"].as_str().unwrap_or_default().to_owned(),
            ..NameSpaces::default()
        },
        memory_bytes: service["mem_limit"].as_i64().unwrap_or_default(),
        cpus_limited: service["cpus"].as_f64().is_some_and(|cpus| cpus > 0.0),
        pids: service["pids_limit"].as_i64().unwrap_or_default(),
        log: LogFact {
            driver: service["logging"]["driver"].as_str().unwrap_or_default().to_owned(),
            is_limited: service["logging"]["options"]["max-size"].is_string(),
        },
        ..Confinement::default()
    }
}

fn project_of(labels: &BTreeMap<String, String>) -> ProjectName {
    ProjectName::from_stored(labels.get("com.docker.compose.project").cloned().unwrap_or_default())
}

#[async_trait]
impl Disks for World {
    async fn measure(&self) -> Vec<Disk> {
        let (used_percent, free_bytes) = self.with(|inside| inside.disk);
        let path = "/data".to_owned();
        vec![Disk { path, has_data: true, used_percent, by_files: false, free_bytes, total_bytes: 1 << 41 }]
    }
}

#[async_trait]
impl Stock for World {
    async fn built_images(&self, _: &InstanceId) -> PortResult<Vec<BuiltImage>> {
        let image = |tag: &String| BuiltImage {
            id: tag.clone(),
            tags: vec![tag.clone()],
            created_at: Timestamp::from_millis(0),
            size_bytes: 1,
        };
        Ok(self.with(|inside| inside.images.iter().map(image).collect()))
    }

    async fn written(&self, _: &InstanceId) -> PortResult<BTreeMap<EnvironmentId, u64>> {
        Ok(self.with(|inside| inside.written.clone()))
    }

    async fn prune_build_cache(&self, unused: Duration, keep_bytes: u64) -> PortResult<u64> {
        self.with(|inside| inside.cache_pruned.push((unused.as_secs(), keep_bytes)));
        Ok(0)
    }
}

#[async_trait]
impl Catalogue for World {
    async fn listed(&self, project: &ProjectName) -> PortResult<Vec<Listed>> {
        self.with(|inside| inside.listings += 1);
        let observed = self.observe(project).await?;
        let listed = |container: Container| Listed {
            container,
            ports: vec![Port { port: 80, protocol: "tcp".to_owned() }],
            since: Some(Timestamp::from_millis(0)),
            labels: BTreeMap::new(),
        };
        Ok(observed.containers.into_iter().map(listed).collect())
    }
}

#[async_trait]
impl EngineWatch for World {
    async fn subnets(&self) -> PortResult<Vec<String>> {
        Ok(Vec::new())
    }

    async fn drifts(&self, _: &str, told: mpsc::Sender<ProjectName>) -> PortResult<()> {
        self.with(|inside| inside.drifts = Some(told));
        std::future::pending().await
    }

    async fn glance(&self) -> PortResult<Glance> {
        self.with(|inside| {
            if inside.is_away {
                return Err(gone());
            }
            let mut glance = Glance::default();
            for (project, observed) in &inside.projects {
                glance.add(project.clone(), format!("{observed:?}"));
            }
            Ok(glance)
        })
    }

    async fn claims(&self) -> PortResult<Vec<Claim>> {
        Ok(self.with(|inside| inside.claims.clone()))
    }
}

#[async_trait]
impl Stacks for World {
    fn services(&self, _: &Path, _: &[PathBuf]) -> PortResult<Vec<String>> {
        Ok(vec!["web".into()])
    }

    async fn render(&self, request: &RenderRequest) -> PortResult<Rendered> {
        let text = std::fs::read_to_string(request.checkout.join("compose.json")).unwrap();
        let text = text.replace("/checkout/", &format!("{}/", request.checkout.display()));
        let document: Value = serde_json::from_str(&text).unwrap();
        if let Some(error) = document.get("x-broken") {
            return Err(PortError::Permanent(error.as_str().unwrap_or_default().to_owned()));
        }
        let fact = |path: PathBuf| {
            let is_file = path.ends_with("Dockerfile");
            (path, if is_file { PathFact::File } else { PathFact::Directory })
        };
        let paths = paths_used(&document).into_iter().map(fact).collect();
        Ok(Rendered {
            document,
            files: vec![PathBuf::from("compose.json")],
            facts: CheckoutFacts { root: request.checkout.clone(), paths },
            remarks: Vec::new(),
            sources: Default::default(),
        })
    }

    async fn up(&self, request: &UpRequest, _: &dyn LogSink) -> PortResult<()> {
        let gate = self.with(|inside| inside.gate.clone());
        let _place = gate.acquire().await.unwrap();
        if let Some(error) = self.with(|inside| inside.up_fails.clone()) {
            return Err(PortError::Permanent(error));
        }
        self.with(|inside| {
            inside.ups += 1;
            inside.documents.insert(request.project.clone(), request.stack.document.clone());
            let observed = inside.projects.entry(request.project.clone()).or_default();
            observed.containers = request
                .stack
                .services
                .iter()
                .flat_map(|(name, service)| {
                    let network = &request.stack.networks[0].name;
                    let (project, up) = (&request.project, inside.ups);
                    (1..=service.replicas)
                        .map(move |number| container(project, (name, number), &service.image, network, up))
                })
                .collect();
        });
        Ok(())
    }

    async fn stop(&self, project: &ProjectName, _: u32, _: &dyn LogSink) -> PortResult<()> {
        self.with(|inside| {
            for container in inside.projects.get_mut(project).into_iter().flat_map(|it| &mut it.containers) {
                container.state = ContainerState::Exited(0);
            }
        });
        Ok(())
    }

    fn overlay(&self, _: &Value) -> PortResult<Value> {
        Ok(json!({}))
    }

    fn starter(&self, name: &str, _: &Path) -> PortResult<Vec<PathBuf>> {
        Err(PortError::NotFound(name.to_owned()))
    }
}

fn gone() -> PortError {
    PortError::Transient("connection refused".to_owned())
}

fn container(
    project: &ProjectName,
    (service, number): (&str, u32),
    image: &str,
    network: &str,
    up: usize,
) -> Container {
    let name = format!("{project}-{service}-{number}");
    Container {
        id: format!("{up:02}-{name}"),
        name,
        service: service.to_owned(),
        image: image.to_owned(),
        state: ContainerState::Running,
        health: Health::None,
        addresses: BTreeMap::from([(network.to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST))]),
        restarts: 0,
        last_exit: None,
        oneoff: false,
    }
}

#[async_trait]
impl Builder for World {
    async fn build(&self, request: &BuildRequest, _: &dyn LogSink) -> PortResult<()> {
        self.with(|inside| {
            inside.images.insert(request.tag.clone());
            inside.built.push(request.tag.clone());
        });
        Ok(())
    }
}

#[async_trait]
impl Git for World {
    async fn branches(&self, _: &Remote) -> PortResult<BTreeMap<BranchName, CommitSha>> {
        self.with(|inside| inside.asked += 1);
        self.answer_of_the_remote()?;
        Ok(self.with(|inside| inside.tips.clone()))
    }

    async fn fetch(&self, _: &Remote, branch: &BranchName) -> PortResult<Option<CommitSha>> {
        self.answer_of_the_remote()?;
        Ok(self.with(|inside| inside.tips.get(branch).cloned()))
    }

    async fn write_tree(
        &self,
        _: &RepoName,
        commit: &CommitSha,
        to: &Path,
        _: TreeLimits,
    ) -> PortResult<TreeNotes> {
        let document = self.with(|inside| inside.commits[commit].1.clone());
        let left = self.with(|inside| {
            let left = inside.no_room;
            inside.no_room = left.saturating_sub(1);
            left
        });
        if left > 0 {
            return Err(PortError::NoRoom("no room for the checkout: No space left on device".into()));
        }
        std::fs::create_dir_all(to).unwrap();
        std::fs::write(to.join("compose.json"), document.to_string()).unwrap();
        Ok(TreeNotes::default())
    }

    async fn content_ids(
        &self,
        _: &RepoName,
        _: &CommitSha,
        _: &[PathBuf],
    ) -> PortResult<BTreeMap<PathBuf, String>> {
        Ok(BTreeMap::new())
    }

    async fn build_inputs(
        &self,
        _: &RepoName,
        commit: &CommitSha,
        _: &BuildSources,
    ) -> PortResult<BuildInputs> {
        let dockerfile = Some(format!("FROM scratch\n# {commit}\n").into_bytes());
        Ok(BuildInputs { dockerfile, ..BuildInputs::default() })
    }

    async fn is_own_commit(&self, _: &RepoName, commit: &CommitSha, main: &CommitSha) -> PortResult<bool> {
        Ok(!self.ancestors(main).contains(commit))
    }

    async fn is_merged(&self, _: &RepoName, tip: &CommitSha, main: &CommitSha) -> PortResult<bool> {
        Ok(self.ancestors(main).contains(tip))
    }

    async fn forget(&self, _: &RepoName, _: &BranchName) -> PortResult<()> {
        Ok(())
    }
}

#[async_trait]
impl Ancestry for World {
    async fn behind(&self, _: &RepoName, commit: &CommitSha, target: &BranchName) -> PortResult<Option<u64>> {
        let Some(tip) = self.with(|inside| inside.tips.get(target).cloned()) else { return Ok(None) };
        let ours = self.ancestors(commit);
        Ok(Some(self.ancestors(&tip).difference(&ours).count() as u64))
    }
}

#[async_trait]
impl KeptCommits for World {
    async fn keep_commit(&self, repo: &RepoName, archive: &str, commit: &CommitSha) -> PortResult<()> {
        if !self.has_commit(repo, commit).await? {
            return Err(PortError::NotFound(commit.to_string()));
        }
        self.with(|inside| inside.kept_commits.insert(archive.to_owned(), commit.clone()));
        Ok(())
    }

    async fn release_commit(&self, _: &RepoName, archive: &str) -> PortResult<()> {
        self.with(|inside| inside.kept_commits.remove(archive));
        Ok(())
    }

    async fn kept_commits(&self, _: &RepoName) -> PortResult<Vec<String>> {
        Ok(self.with(|inside| inside.kept_commits.keys().cloned().collect()))
    }

    async fn has_commit(&self, _: &RepoName, commit: &CommitSha) -> PortResult<bool> {
        Ok(self.with(|inside| inside.commits.contains_key(commit)))
    }
}

#[async_trait]
impl Archives for World {
    async fn write(&self, parts: ArchiveParts) -> PortResult<ArchiveRecord> {
        if self.with(|inside| inside.archive_fails) {
            return Err(PortError::Permanent("no space left on the disk".into()));
        }
        self.with(|inside| inside.archives.insert(parts.record.id.clone(), parts.manifest));
        Ok(ArchiveRecord { size_bytes: 1, verified_at: Some(parts.record.created_at), ..parts.record })
    }

    async fn manifest(&self, id: &str) -> PortResult<Value> {
        self.with(|inside| inside.archives.get(id).cloned()).ok_or_else(|| PortError::NotFound(id.to_owned()))
    }

    async fn verify(&self, id: &str) -> PortResult<()> {
        self.manifest(id).await.map(|_| ())
    }

    async fn check(&self, record: &ArchiveRecord) -> PortResult<()> {
        self.verify(&record.id).await
    }

    async fn restore(&self, _: &str, what: Restoring<'_>) -> PortResult<()> {
        let Restoring::Volumes { project, volumes } = what else { return Ok(()) };
        let filled = volumes.iter().map(|volume| (project.clone(), volume.key.clone()));
        self.with(|inside| inside.filled.extend(filled));
        Ok(())
    }

    async fn extract(&self, id: &str, _: &str, _: Outgoing) -> PortResult<()> {
        self.verify(id).await
    }

    async fn remove(&self, id: &str) -> PortResult<()> {
        if self.with(|inside| inside.archive_fails) {
            return Err(PortError::Transient("the disk does not answer".into()));
        }
        self.with(|inside| inside.archives.remove(id));
        Ok(())
    }

    async fn ids(&self) -> PortResult<Vec<String>> {
        Ok(self.with(|inside| inside.archives.keys().cloned().collect()))
    }
}

#[async_trait]
impl Firewall for World {
    async fn apply(&self, walls: &Walls) -> PortResult<()> {
        self.with(|inside| match inside.firewall_fails.clone() {
            Some(reason) => Err(PortError::Permanent(reason)),
            None => {
                inside.walls = walls.clone();
                Ok(())
            }
        })
    }
}

fn labels_of(service: &Value) -> BTreeMap<String, String> {
    let labels: BTreeMap<String, String> =
        serde_json::from_value(service["labels"].clone()).unwrap_or_default();
    labels.into_iter().map(|(name, value)| (name, drey::domain::dollars::unescaped(&value))).collect()
}

#[async_trait]
impl Cgroups for World {
    async fn parent(&self, id: EnvironmentId) -> PortResult<Option<String>> {
        Ok(Some(format!("/drey-test-{id}")))
    }

    async fn builds(&self, _: u64) -> PortResult<BuildGroup> {
        Ok(BuildGroup { parent: Some("/drey-test-builds".to_owned()), held: None })
    }

    async fn remove(&self, id: EnvironmentId) -> PortResult<()> {
        self.with(|inside| inside.groups_removed.push(id));
        Ok(())
    }
}
