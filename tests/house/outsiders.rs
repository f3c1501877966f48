//! Containers that drey did not start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use drey::domain::environment::Phase;
use drey::domain::outsiders::{Allowed, Outsider, is_outside};
use drey::domain::route::{Answer, Route};
use drey::orchestrator::DiscoveryRules;
use drey::ports::{Outsiders, PortError, PortResult};
use tokio::sync::mpsc;

use crate::fakes::World;
use crate::harness::{TestHouse, eventually, in_house};

/// What else runs on the engine, and who listens.
#[derive(Default)]
pub(crate) struct Others {
    pub running: Vec<Outsider>,
    pub rules: Option<DiscoveryRules>,
    pub told: Option<mpsc::Sender<()>>,
    /// How often somebody looked.
    pub looks: usize,
}

#[async_trait]
impl Outsiders for World {
    async fn outsiders(&self) -> PortResult<Vec<Outsider>> {
        self.with(|inside| {
            inside.others.looks += 1;
            if inside.is_away {
                return Err(PortError::Transient("the engine is away".into()));
            }
            Ok(inside.others.running.clone())
        })
    }

    async fn stirs(&self, told: mpsc::Sender<()>) -> PortResult<()> {
        self.with(|inside| inside.others.told = Some(told));
        std::future::pending().await
    }
}

fn container(name: &str, host: &str) -> Outsider {
    Outsider {
        id: format!("id-{name}"),
        name: name.to_owned(),
        labels: BTreeMap::from([("drey.host".to_owned(), host.to_owned())]),
        addresses: BTreeMap::from([("bridge".to_owned(), IpAddr::from([172, 17, 0, 2]))]),
        ports: vec![80],
        is_healthy: true,
        ..Outsider::default()
    }
}

impl TestHouse {
    /// The same house, which looks for containers of others, by events (all but never) or so often.
    async fn discovering(self, poll_every: Duration) -> Self {
        let patterns = vec!["*.qa.example".to_owned()];
        let allowed = Allowed { patterns, domain: "qa.example".to_owned() };
        self.world.with(|inside| inside.others.rules = Some(DiscoveryRules { allowed, poll_every }));
        self.restart().await
    }

    fn starts(&self, container: Outsider) {
        self.world.with(|inside| {
            inside.others.running.push(container);
            inside.others.told.as_ref().map(|told| told.try_send(()))
        });
    }

    fn stops(&self, name: &str) {
        self.world.with(|inside| {
            inside.others.running.retain(|container| container.name != name);
            inside.others.told.as_ref().map(|told| told.try_send(()))
        });
    }

    fn route(&self, host: &str) -> Option<Route> {
        self.world.with(|inside| inside.table.hosts.get(host).cloned())
    }

    async fn is_routed(&self, host: &str, to: &str) {
        eventually(&format!("{host} leads to {to}"), || async {
            self.route(host)
                .is_some_and(|route| route.service == to && matches!(route.answer, Answer::Proxy(_)))
        })
        .await;
    }
}

const NEVER: Duration = Duration::from_secs(100_000);

#[tokio::test]
async fn what_starts_is_routed_and_what_stops_is_not() {
    in_house(|house| async move {
        house.world.with(|inside| inside.others.running.push(container("first", "first")));
        let house = house.discovering(NEVER).await;
        house.is_routed("first.qa.example", "first").await;
        assert!(is_outside(house.route("first.qa.example").unwrap().environment));
        house.starts(container("second", "second"));
        house.is_routed("second.qa.example", "second").await;
        house.stops("first");
        eventually("the first is gone", || async { house.route("first.qa.example").is_none() }).await;
        let state = house.orchestrator.discovered();
        assert!(state.enabled && state.looked_at.is_some());
        assert_eq!(state.routes.iter().map(|it| it.host.as_str()).collect::<Vec<_>>(), ["second.qa.example"]);
    })
    .await;
}

#[tokio::test]
async fn lost_events_are_made_up_for_and_an_engine_that_is_away_takes_nothing_away() {
    in_house(|house| async move {
        let house = house.discovering(Duration::from_millis(20)).await;
        house.world.with(|inside| inside.others.running.push(container("quiet", "quiet")));
        house.is_routed("quiet.qa.example", "quiet").await;
        house.world.with(|inside| inside.is_away = true);
        eventually("it is told", || async { house.orchestrator.discovered().away.is_some() }).await;
        assert!(house.route("quiet.qa.example").is_some());
        house.world.with(|inside| inside.is_away = false);
        eventually("it is back", || async { house.orchestrator.discovered().away.is_none() }).await;
    })
    .await;
}

#[tokio::test]
async fn environments_keep_their_names_and_those_of_their_services() {
    in_house(|house| async move {
        let house = house.discovering(NEVER).await;
        house.begin().await;
        house.starts(container("thief", "feature-x"));
        house.starts(container("sly", "feature-x--api"));
        house.starts(container("honest", "mine"));
        house.is_routed("mine.qa.example", "honest").await;
        let own = house.environment("feature/x").await.unwrap();
        assert_eq!(house.route("feature-x.qa.example").unwrap().environment, own.id);
        assert_eq!(house.route("feature-x--api.qa.example"), None);
        let faults = house.orchestrator.discovered().faults;
        let told: Vec<&str> = faults.iter().map(|fault| fault.container.as_str()).collect();
        assert_eq!(told, ["sly", "thief"]);
        assert!(faults[0].reason.contains("belongs to an environment"), "{faults:?}");

        // The other way round: the branch comes later, and takes its name.
        house.starts(container("early", "feature-y"));
        house.is_routed("feature-y.qa.example", "early").await;
        house.commit('c', "feature/y", &['a'], crate::harness::document());
        house.push("feature/y").await;
        let late = house.reaches("feature/y", Phase::Ready).await;
        assert_eq!(house.route("feature-y.qa.example").unwrap().environment, late.id);
    })
    .await;
}

#[tokio::test]
async fn a_fault_is_told_of_its_container_and_nothing_is_looked_for_unasked() {
    in_house(|house| async move {
        house.world.with(|inside| inside.others.running.push(container("bad", "evil.example")));
        assert!(!house.orchestrator.discovered().enabled);
        assert_eq!(house.world.with(|inside| inside.others.looks), 0);
        let house = house.discovering(NEVER).await;
        eventually("the fault is told", || async { !house.orchestrator.discovered().faults.is_empty() })
            .await;
        let fault = house.orchestrator.discovered().faults.remove(0);
        assert_eq!((fault.container.as_str(), fault.key.as_str()), ("bad", "labels.drey.host"));
        assert!(fault.reason.contains("discovery.domains"), "{}", fault.reason);
    })
    .await;
}
