//! A Traefik in front of a whole house: it asks for its routes, and what ends waits for it.

use std::sync::Arc;
use std::time::Duration;

use drey::adapters::routes::{
    Actor, Applier, Disk, Frame, Pace, Publisher, Shown, Status, Traefik, TraefikSettings,
};
use drey::config::TraefikSyntax;
use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::domain::provider::ProviderState;
use drey::ports::Provider;
use drey::supervisor::Supervisor;
use serde_json::Value;
use tokio::sync::watch;

use crate::access::Doors;
use crate::harness::{TestHouse, branch, eventually, in_house};

const PATH: &str = "/api/v1/providers/traefik";
const HOST: &str = "feature-x.qa.example";

/// What of Traefik matters here: it asks with a token, and routes by what it was told last.
struct FakeTraefik {
    doors: Doors,
    token: String,
}

impl FakeTraefik {
    async fn asks(&self) -> Value {
        let (status, told) = self.doors.by_tcp("GET", PATH, Some(&self.token)).await;
        assert_eq!(status, 200, "{told}");
        told
    }
}

/// Where this configuration leads a host: by the router of the highest priority whose rule has it.
fn leads(told: &Value, host: &str) -> String {
    let rules = told["http"]["routers"].as_object().unwrap().values();
    let has = |rule: &str| rule == format!("Host(`{host}`)") || rule.starts_with("HostRegexp(`^[a-z0-9-]+");
    let mut found: Vec<&Value> = rules.filter(|router| has(router["rule"].as_str().unwrap())).collect();
    found.retain(|router| router["entryPoints"][0] == "websecure");
    found.sort_by_key(|router| router["priority"].as_u64());
    let service = found.last().unwrap()["service"].as_str().unwrap();
    let servers = &told["http"]["services"][service]["loadBalancer"]["servers"];
    servers[0]["url"].as_str().unwrap().to_owned()
}

const GATE: &str = "http://127.0.0.1:8421";

fn frame() -> Frame {
    let second = Duration::from_secs(1);
    Frame {
        domain: "qa.example".to_owned(),
        https: Some("0.0.0.0:443".parse().unwrap()),
        http: None,
        gate: "127.0.0.1:8421".parse().unwrap(),
        direct: true,
        sleepers: Default::default(),
        certificates: Vec::new(),
        policies: Default::default(),
        authority: None,
        hsts: None,
        robots_by_app: true,
        trusted: Vec::new(),
        header_timeout: second,
        idle_timeout: second,
        connect_timeout: second,
        upstream_timeout: None,
    }
}

/// What drives the Traefik.
struct Front {
    shown: Arc<Shown>,
    driving: Supervisor,
    _told: watch::Sender<Arc<Frame>>,
}

/// The same house with Traefik in front, and what drives that.
async fn behind_traefik(house: TestHouse) -> (TestHouse, Front) {
    let settings = TraefikSettings {
        syntax: TraefikSyntax::V3,
        gate: None,
        entry_points: vec!["websecure".to_owned()],
        redirected: vec!["web".to_owned()],
        resolver: None,
        file: None,
        api: None,
        polls_every: Duration::from_secs(60),
        applies_within: Duration::ZERO,
    };
    let disk = Disk::new(house.folder.path().join("traefik"));
    let proxy = Arc::new(Applier::new(Arc::new(Traefik::new(disk.clone(), settings)), disk));
    let world = Arc::new(house.world.clone());
    let (publisher, tables) = Publisher::new(world.clone());
    let (told, frames) = watch::channel(Arc::new(frame()));
    let (status, supervisor) = (Status::new("traefik"), Supervisor::new());
    let actor = Actor {
        tables: tables.clone(),
        frames: frames.clone(),
        proxy: proxy.clone(),
        status: status.clone(),
        clock: world,
        pace: Pace::default(),
    };
    supervisor.spawn("provider", actor.run(supervisor.draining()));
    let shown = Arc::new(Shown { tables, frames, proxy, status });
    let front = (Arc::new(publisher) as Arc<_>, shown.clone() as Arc<_>);
    house.world.with(|inside| inside.front = Some(front));
    (house.restart().await, Front { shown, driving: supervisor, _told: told })
}

#[tokio::test]
async fn traefik_asks_for_its_routes_and_what_ends_waits_until_it_did() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let token = doors.token("qa").await;
        let (status, told) = doors.by_tcp("GET", PATH, None).await;
        assert_eq!(status, 401, "{told}");
        let (status, told) = doors.by_tcp("GET", PATH, Some(&token)).await;
        assert!(status == 409 && told.to_string().contains("provider = "), "{told}");

        let (house, Front { shown, driving, _told }) = behind_traefik(house).await;
        // The door of the former life.
        std::fs::remove_file(house.folder.path().join("drey.sock")).unwrap();
        let traefik = FakeTraefik { doors: Doors::open(&house).await, token };
        let file = house.folder.path().join("traefik/current/traefik.json");
        eventually("the first is written", || async { file.exists() }).await;
        house.begin().await;
        eventually("it leads to the container", || async {
            leads(&traefik.asks().await, HOST).starts_with("http://127.0.0.1:")
                && leads(&traefik.asks().await, HOST) != GATE
        })
        .await;
        let serves = || shown.status().state == ProviderState::Serving && shown.status().direct == 1;
        eventually("it is known to have them", || async { serves() }).await;
        assert_eq!(leads(&traefik.asks().await, "nobody.qa.example"), GATE);

        let asleep =
            EventKind::SleepRequested { branch: branch("feature/x"), why: "asked".into(), gives_way: false };
        house.tell(asleep).await;
        // It is written, and Traefik did not come for it yet.
        let written =
            || async { leads(&serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap(), HOST) };
        eventually("the newest is written", || async { written().await == GATE }).await;
        let before = house.environment("feature/x").await.unwrap();
        assert!(before.has_work(), "its containers may not be stopped yet: {before:?}");
        assert_eq!(leads(&traefik.asks().await, HOST), GATE);
        house.reaches("feature/x", Phase::Asleep).await;
        driving.draining().cancel();
        assert!(driving.finish(Duration::from_secs(5)).await);
    })
    .await;
}
