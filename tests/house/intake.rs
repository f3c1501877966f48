//! Many at the door at once, and pushes that wait for a deployment.

use drey::domain::environment::Phase;
use drey::domain::event::{EventKind, EventSource, EventState, NewEvent};
use drey::store::{EventFilter, NewDelivery};

use crate::harness::{TestHouse, branch, document, eventually, in_house, repo, sha};

/// Transactions in the database's log that were committed: SQLite marks the last frame of each (file format, section 4.1).
fn commits(house: &TestHouse) -> usize {
    let log = std::fs::read(house.database().with_extension("db-wal")).unwrap();
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let page = usize::try_from(number(&log[8..12])).unwrap();
    // Frames of a round before have another salt.
    let frames = log[32..].chunks_exact(24 + page).filter(|frame| frame[8..16] == log[16..24]);
    frames.filter(|frame| number(&frame[4..8]) > 0).count()
}

async fn deliver(house: &TestHouse, id: &str, kinds: Vec<EventKind>) -> Vec<&'static str> {
    let event =
        |kind| NewEvent { source: EventSource::Git, repo: repo(), kind, delivery_id: None, skip: false };
    let events: Vec<NewEvent> = kinds.into_iter().map(event).collect();
    let delivery = NewDelivery {
        repo: repo(),
        source: EventSource::Git,
        delivery_id: id.to_owned(),
        body: id.as_bytes().to_vec(),
        received_at: house.orchestrator.house().ports.clock.now(),
    };
    let submitted = house.orchestrator.submit(Some(delivery), &events).await.unwrap();
    submitted.into_iter().map(|one| one.action).collect()
}

fn tag(name: &str) -> EventKind {
    EventKind::Ignored { reference: format!("refs/tags/{name}") }
}

/// Waits until a deployment of the branch has come to its `up`, and stands there.
async fn is_starting(house: &TestHouse) {
    eventually("it is being started", || async {
        house.environment("feature/x").await.is_some_and(|it| it.phase == Phase::Starting)
    })
    .await;
}

#[tokio::test]
async fn deliveries_that_come_together_are_committed_together() {
    const SENDERS: usize = 100;
    in_house(|house| async move {
        eventually("the first look is done", || async {
            house.orchestrator.house().store.pending_events().await.unwrap().is_empty()
        })
        .await;
        let before = commits(&house);
        let ids: Vec<String> = (0..SENDERS).map(|number| number.to_string()).collect();
        // Each comes twice, as from a sender that was not answered in time.
        let calls = ids.iter().chain(&ids).map(|id| deliver(&house, id, vec![tag(id)]));
        futures_util::future::join_all(calls).await;
        let filter = EventFilter { limit: 1000, ..Default::default() };
        let events = house.orchestrator.house().store.events(&filter).await.unwrap();
        assert_eq!(events.iter().filter(|event| event.delivery_id.is_some()).count(), SENDERS);
        let done = commits(&house) - before;
        assert!((1..=SENDERS / 5).contains(&done), "{done} commits for {SENDERS} deliveries");
    })
    .await;
}

#[tokio::test]
async fn an_event_is_stored_together_with_what_follows_from_it() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        let push = EventKind::BranchCreated { branch: branch("feature/x"), commit: Some(sha('b')) };
        assert_eq!(deliver(&house, "1", vec![push, tag("v1")]).await, ["deploying", "unchanged"]);
        let environment = house.environment("feature/x").await.unwrap();
        assert_eq!(environment.commit, Some(sha('b')));
        let filter = EventFilter { branch: Some(branch("feature/x")), ..Default::default() };
        let events = house.orchestrator.house().store.events(&filter).await.unwrap();
        assert_eq!(events[0].state, EventState::Done);
        drop(closed);
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn where_pushes_wait_the_newest_is_deployed_after_the_one_that_runs() {
    in_house(|house| async move {
        house.pushes_wait();
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        is_starting(&house).await;
        for (name, before) in [('c', 'b'), ('d', 'c')] {
            house.commit(name, "feature/x", &[before], document());
            let submitted = house.push("feature/x").await;
            assert_eq!(submitted.action, "queued", "{submitted:?}");
        }
        let running = house.environment("feature/x").await.unwrap();
        assert_eq!((running.generation.0, running.commit), (1, Some(sha('b'))), "nothing is cut");
        drop(closed);
        eventually("the newest runs", || async {
            house.environment("feature/x").await.is_some_and(|it| it.running_commit == Some(sha('d')))
        })
        .await;
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.generation.0, 2, "the one between was never deployed");
        let filter = EventFilter { branch: Some(branch("feature/x")), ..Default::default() };
        let events = house.orchestrator.house().store.events(&filter).await.unwrap();
        let of_c = events.iter().find(|event| event.kind.commit() == Some(sha('c'))).unwrap();
        assert!(of_c.reason.as_deref().unwrap().contains("something newer"), "{of_c:?}");
    })
    .await;
}

#[tokio::test]
async fn an_end_waits_for_no_deployment_and_takes_the_place_of_what_waits() {
    in_house(|house| async move {
        house.pushes_wait();
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        is_starting(&house).await;
        house.commit('c', "feature/x", &['b'], document());
        assert_eq!(house.push("feature/x").await.action, "queued");
        let end = EventKind::EndRequested { branch: branch("feature/x"), archive: false };
        assert_eq!(house.tell(end).await.action, "ending");
        house.reaches("feature/x", Phase::Destroyed).await;
        drop(closed);
        let store = &house.orchestrator.house().store;
        assert_eq!(store.pending_events().await.unwrap(), [], "nothing waits any more");
        assert_eq!(house.environment("feature/x").await.unwrap().phase, Phase::Destroyed);
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_not_forgotten_over_a_restart() {
    in_house(|house| async move {
        house.pushes_wait();
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        is_starting(&house).await;
        house.commit('c', "feature/x", &['b'], document());
        assert_eq!(house.push("feature/x").await.action, "queued");
        let house = house.restart().await;
        drop(closed);
        eventually("the newest runs", || async {
            house.environment("feature/x").await.is_some_and(|it| it.running_commit == Some(sha('c')))
        })
        .await;
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}
