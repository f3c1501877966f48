//! The whole orchestrator on fakes, with a real database and real folders; ends with a check that nothing is left.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drey::adapters::logs::{FileAccessLog, FileLogs};
use drey::adapters::room::EnvironmentFolders;
use drey::adapters::vault::AgeVault;
use drey::adapters::workspace::DiskWorkspace;
use drey::domain::disk::Watermarks;
use drey::domain::environment::{Environment, Phase};
use drey::domain::event::{EventKind, EventSource, NewEvent};
use drey::domain::leftovers;
use drey::domain::names::{BranchName, CommitSha, RepoName};
use drey::domain::rewrite::EnvironmentLimits;
use drey::domain::route::Answer;
use drey::domain::sift::PathFilter;
use drey::domain::verdict::Superseded;
use drey::domain::walls;
use drey::orchestrator::{
    AddressSettings, BranchRules, House, Limits, Orchestrator, Ports, Repository, Settings, Submitted,
};
use drey::ports::{ForgeApi, Redactor, Remote, TreeLimits};
use drey::store::Store;
use drey::supervisor::Supervisor;
use serde_json::{Value, json};

use crate::fakes::World;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct TestHouse {
    pub world: World,
    pub orchestrator: Orchestrator,
    pub supervisor: Supervisor,
    pub(crate) folder: Arc<tempfile::TempDir>,
    newest: Newest,
}

/// The life that runs now: after a restart another one than at the beginning.
type Newest = Arc<std::sync::Mutex<Option<(Orchestrator, Supervisor)>>>;

struct Rules {
    keep: Vec<String>,
}

impl BranchRules for Rules {
    fn wants(&self, branch: &BranchName) -> Result<(), &'static str> {
        if branch.as_str() == "main" { Err("it is the main branch") } else { Ok(()) }
    }

    fn keeps(&self, branch: &BranchName) -> bool {
        self.keep.iter().any(|kept| kept == branch.as_str())
    }
}

/// Runs a scenario in a house of its own, then checks that nothing is left: no unsettled event, no work, no panic.
pub(crate) async fn in_house<F: Future<Output = ()>>(scenario: impl FnOnce(TestHouse) -> F) {
    let newest = Newest::default();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    scenario(TestHouse::open(World::default(), folder.clone(), newest.clone()).await).await;
    let (orchestrator, supervisor) = newest.lock().unwrap().take().unwrap();
    let store = orchestrator.house().store.clone();
    eventually("every event is settled", || async { store.pending_events().await.unwrap().is_empty() }).await;
    eventually("no environment has work left", || async {
        store.environments(true).await.unwrap().iter().all(|environment| !environment.has_work())
    })
    .await;
    assert!(supervisor.finish(LIMIT).await, "a task did not end, or panicked");
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let begin = std::time::Instant::now();
    while !check().await {
        assert!(begin.elapsed() < LIMIT, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl TestHouse {
    pub(crate) async fn open(world: World, folder: Arc<tempfile::TempDir>, newest: Newest) -> Self {
        let store = Store::open(&folder.path().join("drey.db")).await.unwrap();
        let supervisor = Supervisor::new();
        let shared = Arc::new(world.clone());
        let redactor = Arc::new(Redactor::default());
        let environments = folder.path().join("environments");
        let front = world.with(|inside| inside.front.clone());
        let (routes, provider) = front.unwrap_or_else(|| (shared.clone(), Arc::new(drey::ports::Embedded)));
        let ports = Ports {
            engine: shared.clone(),
            watch: shared.clone(),
            confinements: shared.clone(),
            catalogue: shared.clone(),
            outsiders: shared.clone(),
            jobs: shared.clone(),
            stacks: shared.clone(),
            builder: shared.clone(),
            git: shared.clone(),
            changes: shared.clone(),
            commits: shared.clone(),
            ancestry: shared.clone(),
            workspace: Arc::new(DiskWorkspace::new(environments.clone())),
            archives: shared.clone(),
            routes,
            visitors: shared.clone(),
            provider,
            power: shared.clone(),
            prober: shared.clone(),
            disks: shared.clone(),
            stock: shared.clone(),
            folders: Arc::new(EnvironmentFolders::new(environments.clone(), shared.clone())),
            access_log: Arc::new(FileAccessLog::new(environments.clone(), redactor.clone()).0),
            logs: Arc::new(FileLogs::new(environments, shared.clone(), redactor.clone())),
            vault: Arc::new(AgeVault::new(folder.path(), &folder.path().join("run"), store.instance())),
            redactor,
            programs: shared.clone(),
            firewall: shared.clone(),
            cgroups: shared.clone(),
            clock: shared,
        };
        let house = House::new(store, ports, settings(&world, Superseded::Replace), supervisor.clone());
        let orchestrator = Orchestrator::new(house);
        orchestrator.start().await.unwrap();
        *newest.lock().unwrap() = Some((orchestrator.clone(), supervisor.clone()));
        Self { world, orchestrator, supervisor, folder, newest }
    }

    /// From now on a push waits for the deployment that runs.
    pub(crate) fn pushes_wait(&self) {
        self.orchestrator.house().replace_settings(settings(&self.world, Superseded::Queue));
    }

    /// The configuration is read again: what the world has of it counts from now on.
    pub(crate) fn configure(&self) {
        self.orchestrator.house().replace_settings(settings(&self.world, Superseded::Replace));
    }

    /// From now on what becomes of environments is told there.
    pub(crate) fn reports_to(&self, forge: Arc<dyn ForgeApi>) {
        self.world.with(|inside| inside.forge = Some(forge));
        self.configure();
    }

    /// The same after the configuration was read anew.
    pub(crate) async fn reports_anew_to(&self, forge: Arc<dyn ForgeApi>) {
        self.world.with(|inside| inside.forge = Some(forge));
        let settings = settings(&self.world, Superseded::Replace);
        self.orchestrator.reload(settings, &[repo()]).await.unwrap();
    }

    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("drey.db")
    }

    /// Dies without a word and comes back on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.supervisor.finish(Duration::ZERO).await;
        self.orchestrator.house().store.close().await;
        let (world, folder, newest) = (self.world.clone(), self.folder.clone(), self.newest.clone());
        drop(self);
        Self::open(world, folder, newest).await
    }

    /// The same house, which asks its remote so often.
    pub(crate) async fn polling(self, every: Duration) -> Self {
        self.world.with(|inside| inside.poll_every = every);
        self.restart().await
    }

    /// How most stories begin: main at `a`, `feature/x` at `b`, pushed and ready.
    pub(crate) async fn begin(&self) {
        self.commit('a', "main", &[], document());
        self.commit('b', "feature/x", &['a'], document());
        self.push("feature/x").await;
        self.reaches("feature/x", Phase::Ready).await;
    }

    /// Puts a commit at the remote's branch; says nothing to drey.
    pub(crate) fn commit(&self, name: char, branch: &str, parents: &[char], document: Value) {
        self.world.with(|inside| {
            inside.commits.insert(sha(name), (parents.iter().map(|parent| sha(*parent)).collect(), document));
            inside.tips.insert(self::branch(branch), sha(name));
        });
    }

    /// Tells drey where the branch is now, as a hook would.
    pub(crate) async fn push(&self, branch: &str) -> Submitted {
        let branch = self::branch(branch);
        let tip = self.world.with(|inside| inside.tips[&branch].clone());
        self.tell(EventKind::BranchPushed { branch, before: sha('0'), commit: tip }).await
    }

    pub(crate) async fn push_main(&self, before: char) -> Submitted {
        let tip = self.world.with(|inside| inside.tips[&branch("main")].clone());
        self.tell(EventKind::BranchPushed { branch: branch("main"), before: sha(before), commit: tip }).await
    }

    pub(crate) async fn tell(&self, kind: EventKind) -> Submitted {
        let event = NewEvent { source: EventSource::Git, repo: repo(), kind, delivery_id: None, skip: false };
        self.orchestrator.submit(None, &[event]).await.unwrap().remove(0)
    }

    pub(crate) async fn environment(&self, branch: &str) -> Option<Environment> {
        self.orchestrator.house().store.latest_environment(&repo(), &self::branch(branch)).await.unwrap()
    }

    /// Waits until the branch's environment stands there, its work done.
    pub(crate) async fn reaches(&self, branch: &str, phase: Phase) -> Environment {
        eventually(&format!("{branch} is {}", phase.word()), || async {
            let environment = self.environment(branch).await;
            environment.is_some_and(|environment| environment.phase == phase && !environment.has_work())
        })
        .await;
        self.environment(branch).await.unwrap()
    }

    /// How the proxy answers for the branch, once that is more than a page that passes.
    pub(crate) async fn answer(&self, slug: &str) -> Option<Answer> {
        let host = format!("{slug}.qa.example");
        let now =
            || self.world.with(|inside| inside.table.hosts.get(&host).map(|route| route.answer.clone()));
        let passes = |answer: &Option<Answer>| match answer {
            Some(Answer::Page(page)) => !page.phase.is_settled(),
            Some(Answer::Replacing(_)) => true,
            Some(Answer::Proxy(_)) | None => false,
        };
        eventually("the route stands", || async { !passes(&now()) }).await;
        now()
    }

    /// Containers, networks and volumes on the engine, in all.
    pub(crate) fn things_on_the_engine(&self) -> usize {
        self.world.with(|inside| {
            inside
                .projects
                .values()
                .map(|it| it.containers.len() + it.networks.len() + it.volumes.len())
                .sum()
        })
    }
}

fn settings(world: &World, superseded: Superseded) -> Settings {
    let repository = Repository {
        remote: Remote { repo: repo(), url: "/srv/git/shop.git".into() },
        main: branch("main"),
        files: Vec::new(),
        starter: None,
        profiles: Vec::new(),
        variables: BTreeMap::new(),
        merge_grace: Duration::ZERO,
        rest: world.with(|inside| inside.rest),
        poll_every: world.with(|inside| inside.poll_every),
        superseded,
        permissions: Default::default(),
        builder: None,
        branches: Arc::new(Rules { keep: world.with(|inside| inside.keep.clone()) }),
        pulls: world.with(|inside| inside.pulls.clone()),
        paths: PathFilter::parse(world.with(|inside| inside.paths.clone())).unwrap(),
        subject: world.with(|inside| inside.subject),
        forge: world.with(|inside| inside.forge.clone()),
        access: world.with(|inside| inside.access.clone()),
    };
    Settings {
        address: AddressSettings { domain: "qa.example".into(), proto: "https".into(), port: None },
        subnets: "10.213.0.0/16".into(),
        walls: walls::Rules { mode: world.with(|inside| inside.walls_mode), ..walls::Rules::default() },
        limits: Limits {
            builds: 2,
            build_memory: 1 << 30,
            build_time: Duration::from_secs(60),
            checkout: TreeLimits { bytes: 1 << 20, files: 100, file_bytes: 1 << 20 },
            memory_bytes: 1 << 30,
            cpus: 1.0,
            pids: 100,
            environment: EnvironmentLimits::default(),
            wakes_per_hour: world.with(|inside| inside.wakes_per_hour),
        },
        places: world.with(|inside| inside.places.clone()),
        retention: world.with(|inside| inside.retention),
        watermarks: Watermarks { warn: Some(80), stop: Some(90), evict: Some(95) },
        leftovers: leftovers::Rules {
            build_cache: Some(20),
            build_cache_unused: Duration::from_secs(7 * 86_400),
            logs_keep: None,
            logs_size: None,
            deliveries_keep: None,
            mirrors_keep: None,
        },
        collect_every: Duration::from_secs(3600),
        archive_images: false,
        discovery: world.with(|inside| inside.others.rules.clone()),
        repositories: BTreeMap::from([(repo(), Arc::new(repository))]),
    }
}

pub(crate) fn repo() -> RepoName {
    RepoName::parse("shop").unwrap()
}

pub(crate) fn branch(name: &str) -> BranchName {
    BranchName::parse_any(name).unwrap()
}

pub(crate) fn sha(name: char) -> CommitSha {
    CommitSha::parse(&name.to_string().repeat(40)).unwrap()
}

/// A compose document as Compose renders it: one web service from a registry, one volume.
pub(crate) fn document() -> Value {
    json!({
        "name": "x",
        "services": {"web": {
            "image": "redis:7", "networks": {"default": null},
            "ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}],
            "volumes": [{"type": "volume", "source": "data", "target": "/data", "volume": {}}]
        }},
        "networks": {"default": {"name": "x_default", "ipam": {}}},
        "volumes": {"data": {"name": "x_data"}}
    })
}
