//! What is counted, what a reload changes, and what a daemon that ends still does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::domain::names::RepoName;
use drey::orchestrator::{Repository, Settings};
use drey::ports::Remote;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::harness::{branch, document, eventually, in_house, sha};

/// Value of the series, written as in the text; `None` when it is not there.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn what_happens_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // Of this thread alone, on which the whole house runs.
    let _counting = metrics::set_default_local_recorder(&recorder);
    in_house(|house| async move {
        house.begin().await;
        house.world.with(|inside| inside.up_fails = Some("dependency failed to start".into()));
        house.commit('c', "feature/y", &['a'], document());
        house.push("feature/y").await;
        house.reaches("feature/y", Phase::Failed).await;
        house.world.with(|inside| inside.up_fails = None);
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: false }).await;
        house.reaches("feature/x", Phase::Destroyed).await;
    })
    .await;
    let text = handle.render();
    for (series, expected) in [
        ("drey_events_received_total{kind=\"branch_pushed\",source=\"git\"}", 2.0),
        ("drey_events_received_total{kind=\"look\",source=\"start\"}", 1.0),
        ("drey_events_settled_total{kind=\"branch_pushed\",state=\"done\"}", 2.0),
        ("drey_events_settled_total{kind=\"end_requested\",state=\"done\"}", 1.0),
        ("drey_deployments_total{repo=\"shop\",intent=\"run\",outcome=\"succeeded\"}", 1.0),
        ("drey_deployments_total{repo=\"shop\",intent=\"run\",outcome=\"failed\"}", 1.0),
        ("drey_deployments_total{repo=\"shop\",intent=\"end\",outcome=\"succeeded\"}", 1.0),
        ("drey_deployment_duration_seconds_count{intent=\"run\",outcome=\"failed\"}", 1.0),
        ("drey_step_duration_seconds_count{plan=\"deploy\",step=\"up\"}", 2.0),
        ("drey_step_duration_seconds_count{plan=\"end\",step=\"release\"}", 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    assert!(!text.contains("feature"), "no label holds the name of a branch\n{text}");
}

#[tokio::test]
async fn when_it_ends_nothing_begins_and_the_next_start_takes_it_up() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        house.supervisor.drain();
        house.push("feature/x").await;
        let waiting = house.environment("feature/x").await.unwrap();
        assert!(waiting.has_work());
        let house = house.restart().await;
        let store = house.orchestrator.house().store.clone();
        house.reaches("feature/x", Phase::Ready).await;
        let runs = store.deployments(waiting.id).await.unwrap();
        assert_eq!(runs.len(), 1, "none was begun by the daemon that ended: {runs:?}");
    })
    .await;
}

#[tokio::test]
async fn what_runs_may_finish() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        let store = house.orchestrator.house().store.clone();
        eventually("it runs", || async { store.figures().await.unwrap().deployments_running == 1 }).await;
        house.supervisor.drain();
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(closed);
        assert!(house.supervisor.finish(Duration::from_secs(20)).await);
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

/// The settings as they are, with the repository under this name too.
fn with_another(settings: &Settings, name: &RepoName) -> Settings {
    let (_, shop) = settings.repositories.iter().next().unwrap();
    let other = Repository {
        remote: Remote { repo: name.clone(), url: "/srv/git/other.git".into() },
        main: shop.main.clone(),
        files: shop.files.clone(),
        starter: shop.starter.clone(),
        profiles: shop.profiles.clone(),
        variables: BTreeMap::from([("NEW".to_owned(), "yes".to_owned())]),
        merge_grace: shop.merge_grace,
        poll_every: shop.poll_every,
        superseded: shop.superseded,
        rest: shop.rest,
        permissions: shop.permissions.clone(),
        builder: None,
        branches: shop.branches.clone(),
        pulls: shop.pulls.clone(),
        paths: shop.paths.clone(),
        subject: shop.subject,
        access: shop.access.clone(),
        forge: None,
    };
    let mut settings = settings.clone();
    settings.repositories.insert(name.clone(), Arc::new(other));
    settings
}

#[tokio::test]
async fn a_reload_serves_a_new_repository_and_no_longer_one_that_is_gone() {
    in_house(|house| async move {
        house.begin().await;
        let store = house.orchestrator.house().store.clone();
        let before = house.orchestrator.house().settings();
        let other = RepoName::parse("other").unwrap();
        let of_other = || async {
            let found = store.latest_environment(&other, &branch("feature/x")).await.unwrap();
            found.is_some_and(|found| found.phase == Phase::Ready)
        };
        let runs = store.deployments(house.environment("feature/x").await.unwrap().id).await.unwrap().len();
        house.orchestrator.reload(with_another(&before, &other), std::slice::from_ref(&other)).await.unwrap();
        eventually("the branches of the new repository are taken in", of_other).await;
        let after = store.deployments(house.environment("feature/x").await.unwrap().id).await.unwrap().len();
        assert_eq!(after, runs, "the repository that did not change is left alone");

        let mut without = (*before).clone();
        without.repositories.clear();
        house.orchestrator.reload(without, &[]).await.unwrap();
        house.commit('d', "feature/y", &['a'], document());
        assert_eq!(house.push("feature/y").await.action, "ignored");
        assert_eq!(house.environment("feature/x").await.unwrap().running_commit, Some(sha('b')), "it stays");
        house.orchestrator.reload((*before).clone(), &[]).await.unwrap();
        assert_eq!(house.push("feature/y").await.action, "deploying");
        house.reaches("feature/y", Phase::Ready).await;
    })
    .await;
}
