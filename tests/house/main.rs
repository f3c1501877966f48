//! The orchestrator as a whole, on fakes below it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod access;
mod archives;
mod audit;
mod backends;
mod border;
mod browser;
mod changes;
mod chromium;
mod dashboard;
mod deliveries;
mod disk;
mod engine;
mod fake_forge;
mod fakes;
mod forge;
mod forge_api;
mod forks;
mod git;
mod harness;
mod intake;
mod jobs;
mod names;
mod outsiders;
mod rest;
mod secrets;
mod seen;
mod services;
mod sift;
mod visitors;
mod walls;

use drey::domain::environment::{Outcome, Phase};
use drey::domain::event::EventKind;
use drey::domain::observed::ContainerState;
use drey::domain::route::Answer;
use harness::{branch, document, eventually, in_house, sha};
use serde_json::json;

#[tokio::test]
async fn a_pushed_branch_becomes_ready_and_is_routed() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let submitted = house.push("feature/x").await;
        assert_eq!(submitted.action, "deploying");
        let environment = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(environment.running_commit, Some(sha('b')));
        assert!(environment.serving && environment.had_own_commit);
        assert!(matches!(house.answer("feature-x").await, Some(Answer::Proxy(_))));
        assert_eq!(house.push("feature/x").await.action, "unchanged");
    })
    .await;
}

#[tokio::test]
async fn a_merge_archives_and_leaves_nothing() {
    in_house(|house| async move {
        house.begin().await;
        house.commit('b', "main", &['a'], document());
        house.push_main('a').await;
        house.reaches("feature/x", Phase::Archived).await;
        assert_eq!(house.things_on_the_engine(), 0);
        let archives = house.world.with(|inside| inside.archives.clone());
        assert_eq!(archives.len(), 1);
        let (id, manifest) = archives.iter().next().unwrap();
        assert_eq!(manifest["archive"]["outcome"], json!("merged"));
        let kept = house.world.with(|inside| inside.kept_commits.clone());
        assert_eq!(kept.get(id), Some(&sha('b')), "the commit outlives its branch");
        assert!(
            matches!(house.answer("feature-x").await, Some(Answer::Page(page)) if page.phase == Phase::Archived)
        );
    })
    .await;
}

#[tokio::test]
async fn a_fast_forward_that_overtakes_the_deployment_is_still_a_merge() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        house.commit('b', "main", &['a'], document());
        house.push_main('a').await;
        drop(closed);
        house.reaches("feature/x", Phase::Archived).await;
    })
    .await;
}

#[tokio::test]
async fn a_branch_without_commits_of_its_own_is_not_taken_for_merged() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('a', "feature/new", &[], document());
        house.push("feature/new").await;
        house.reaches("feature/new", Phase::Ready).await;
        house.commit('c', "main", &['a'], document());
        house.push_main('a').await;
        eventually("the judgement is done", || async {
            house.orchestrator.house().store.pending_events().await.unwrap().is_empty()
        })
        .await;
        let environment = house.reaches("feature/new", Phase::Ready).await;
        assert_eq!(environment.ending, None);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_branch_ends_and_a_kept_one_outlives_its_merge() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        for (name, branch) in [('b', "feature/x"), ('c', "develop")] {
            house.commit(name, branch, &['a'], document());
            house.push(branch).await;
            house.reaches(branch, Phase::Ready).await;
        }
        house.commit('c', "main", &['a'], document());
        house.push_main('a').await;
        house.world.with(|inside| inside.tips.remove(&branch("feature/x")));
        house.tell(EventKind::BranchDeleted { branch: branch("feature/x"), before: Some(sha('b')) }).await;
        house.reaches("feature/x", Phase::Archived).await;
        assert_eq!(house.reaches("develop", Phase::Ready).await.ending, None);
        let manifests = house.world.with(|inside| inside.archives.clone());
        assert_eq!(manifests.values().next().unwrap()["archive"]["outcome"], json!(Outcome::Deleted.word()));
    })
    .await;
}

#[tokio::test]
async fn a_failed_first_deployment_leaves_volumes_only_and_the_next_push_mends_it() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        house.world.with(|inside| inside.up_fails = Some("dependency failed to start".into()));
        house.push("feature/x").await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        assert!(failed.reason.unwrap().contains("dependency failed to start"));
        assert_eq!(house.things_on_the_engine(), 1, "the volume stays");
        house.world.with(|inside| inside.up_fails = None);
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!((ready.reason, ready.running_commit), (None, Some(sha('c'))));
    })
    .await;
}

#[tokio::test]
async fn a_broken_update_leaves_what_runs_alone() {
    in_house(|house| async move {
        house.begin().await;
        let mut broken = document();
        broken["x-broken"] = json!("compose.yaml: services.web.depends_on: no service is named worker");
        house.commit('c', "feature/x", &['b'], broken);
        house.push("feature/x").await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        assert!(failed.serving);
        assert_eq!(failed.running_commit, Some(sha('b')));
        assert!(matches!(house.answer("feature-x").await, Some(Answer::Proxy(_))));
    })
    .await;
}

#[tokio::test]
async fn the_logs_of_each_replaced_container_are_kept() {
    in_house(|house| async move {
        house.begin().await;
        let id = house.environment("feature/x").await.unwrap().id;
        for (name, parent, command) in [('c', 'b', "second"), ('d', 'c', "third")] {
            let mut changed = document();
            changed["services"]["web"]["command"] = json!([command]);
            house.commit(name, "feature/x", &[parent], changed);
            house.push("feature/x").await;
            house.reaches("feature/x", Phase::Ready).await;
        }
        let saved = || async {
            let files = house.orchestrator.house().ports.logs.files(id).await.unwrap();
            let containers = files.into_iter().filter(|(name, _)| name.starts_with("logs/containers/"));
            containers.map(|(_, path)| std::fs::read_to_string(path).unwrap()).collect::<Vec<String>>()
        };
        eventually("both have their last words", || async {
            let saved = saved().await;
            saved.len() == 2
                && saved.iter().all(|text| text.contains("began") && text.contains("was stopped"))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_long_log_waits_until_the_update_is_done() {
    in_house(|house| async move {
        house.begin().await;
        let id = house.environment("feature/x").await.unwrap().id;
        let gate = house.world.with(|inside| {
            inside.log_lines = 5000;
            inside.gate.clone()
        });
        let closed = gate.acquire_many(100).await.unwrap();
        let mut changed = document();
        changed["services"]["web"]["command"] = json!(["second"]);
        house.commit('c', "feature/x", &['b'], changed);
        house.push("feature/x").await;
        let saved = || async {
            let files = house.orchestrator.house().ports.logs.files(id).await.unwrap();
            let container = files.into_iter().find(|(name, _)| name.starts_with("logs/containers/"));
            container.map_or(String::new(), |(_, path)| std::fs::read_to_string(path).unwrap())
        };
        eventually("its beginning is saved", || async { saved().await.lines().count() > 500 }).await;
        assert!(saved().await.lines().count() < 5000, "the rest can wait");
        drop(closed);
        house.reaches("feature/x", Phase::Ready).await;
        eventually("its end is saved too", || async { saved().await.contains("was stopped") }).await;
        assert_eq!(saved().await.lines().count(), 5002);
    })
    .await;
}

#[tokio::test]
async fn going_back_to_the_former_commit_replaces_what_a_failed_update_left() {
    in_house(|house| async move {
        house.begin().await;
        let mut silent = document();
        silent["services"]["web"]["command"] = json!(["nobody-listens"]);
        silent["services"]["web"]["labels"] = json!({"drey.ready.within": "1s"});
        house.commit('c', "feature/x", &['b'], silent);
        house.world.with(|inside| inside.answers = None);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Failed).await;
        house.world.with(|inside| inside.answers = Some(200));
        house.commit('b', "feature/x", &['a'], document());
        house.push("feature/x").await;
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.running_commit, Some(sha('b')));
        assert_eq!(house.world.with(|inside| inside.ups), 3, "the containers of the failed commit went");
    })
    .await;
}

#[tokio::test]
async fn a_cut_start_leaves_nothing_when_the_next_push_cannot_start_at_all() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        eventually("the network is there", || async { house.things_on_the_engine() == 2 }).await;
        let mut broken = document();
        broken["x-broken"] = json!("compose.yaml: no");
        house.commit('c', "feature/x", &['b'], broken);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Failed).await;
        assert_eq!(house.things_on_the_engine(), 1, "the volume stays");
        drop(closed);
    })
    .await;
}

#[tokio::test]
async fn what_is_blocked_before_anything_was_touched_goes_on_being_served() {
    in_house(|house| async move {
        house.begin().await;
        let mut changed = document();
        changed["volumes"]["data"]["driver_opts"] = json!({"type": "tmpfs", "device": "tmpfs"});
        changed["services"]["worker"] = json!({"image": "redis:7", "networks": {"default": null}});
        changed["services"]["web"]["depends_on"] = json!({"worker": {"condition": "service_started"}});
        house.commit('c', "feature/x", &['b'], changed);
        house.push("feature/x").await;
        let blocked = house.reaches("feature/x", Phase::Blocked).await;
        assert!(blocked.serving && blocked.reason.unwrap().contains("volumes.data"));
        assert!(matches!(house.answer("feature-x").await, Some(Answer::Proxy(_))));
    })
    .await;
}

#[tokio::test]
async fn what_crashes_just_after_it_was_ready_is_told() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        let mut two = document();
        two["services"]["worker"] = json!({"image": "redis:7", "networks": {"default": null}});
        house.commit('b', "feature/x", &['a'], two);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        house.world.with(|inside| {
            let containers = inside.projects.values_mut().flat_map(|it| &mut it.containers);
            let workers = containers.filter(|it| it.service == "worker");
            workers.for_each(|it| it.state = ContainerState::Restarting);
        });
        let failed = house.reaches("feature/x", Phase::Failed).await;
        assert!(failed.reason.unwrap().contains("worker"), "the reason names the service");
        assert!(failed.serving, "the page itself is sound");
    })
    .await;
}

#[tokio::test]
async fn what_speaks_tcp_is_probed_and_not_routed() {
    in_house(|house| async move {
        let mut tcp = document();
        tcp["services"]["web"]["labels"] = json!({"drey.scheme": "tcp"});
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], tcp);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        assert!(
            matches!(house.answer("feature-x").await, Some(Answer::Page(page)) if page.phase == Phase::Ready)
        );
    })
    .await;
}

#[tokio::test]
async fn the_newest_push_wins_and_the_cut_one_is_superseded() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        for name in ['c', 'd', 'e'] {
            house.commit(name, "feature/x", &['b'], document());
            house.push("feature/x").await;
        }
        drop(closed);
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.running_commit, Some(sha('e')));
        assert!(house.world.with(|inside| inside.ups) <= 2);
    })
    .await;
}

#[tokio::test]
async fn until_a_branch_was_ready_its_services_hosts_wait_with_it() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        let family = || house.world.with(|inside| inside.table.families.get("feature-x.qa.example").cloned());
        eventually("its services' hosts wait", || async { family().is_some() }).await;
        assert!(matches!(family().unwrap().answer, Answer::Page(page) if !page.phase.is_settled()));
        drop(closed);
        house.reaches("feature/x", Phase::Ready).await;
        assert!(matches!(house.answer("feature-x").await, Some(Answer::Proxy(_))));
        assert!(family().is_none(), "now they are known");
    })
    .await;
}

#[tokio::test]
async fn killed_while_deploying_and_while_ending_it_goes_on_after_the_restart() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        eventually("it is starting", || async {
            house
                .environment("feature/x")
                .await
                .is_some_and(|environment| environment.phase == Phase::Starting)
        })
        .await;
        let house = house.restart().await;
        drop(closed);
        house.reaches("feature/x", Phase::Ready).await;

        house.world.with(|inside| inside.archive_fails = true);
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        let stuck = house.reaches("feature/x", Phase::Failed).await;
        assert!(stuck.reason.unwrap().contains("no space left"));
        assert!(house.things_on_the_engine() > 0, "nothing goes before it is archived");
        house.world.with(|inside| inside.archive_fails = false);
        // Tried again at the start, without anybody asking.
        let house = house.restart().await;
        house.reaches("feature/x", Phase::Archived).await;
        assert_eq!(house.things_on_the_engine(), 0);
    })
    .await;
}

#[tokio::test]
async fn branches_at_the_first_start_are_taken_in_and_ended_ones_are_not_revived() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let house = house.restart().await;
        house.reaches("feature/x", Phase::Ready).await;
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        house.reaches("feature/x", Phase::Archived).await;
        let house = house.restart().await;
        eventually("the look is done", || async {
            house.orchestrator.house().store.pending_events().await.unwrap().is_empty()
        })
        .await;
        assert_eq!(house.environment("feature/x").await.unwrap().phase, Phase::Archived);
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        let again = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(again.slug.as_str(), "feature-x");
    })
    .await;
}

#[tokio::test]
async fn a_stack_sets_its_own_grace_and_keeps_itself() {
    in_house(|house| async move {
        let with = |settings: serde_json::Value| {
            let mut document = document();
            document["x-drey"] = settings;
            document
        };
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(json!({ "merge_grace": "1h" })));
        house.commit('c', "feature/y", &['a'], with(json!({ "keep": ["feature/*"] })));
        for name in ["feature/x", "feature/y"] {
            house.push(name).await;
            house.reaches(name, Phase::Ready).await;
        }
        house.commit('d', "main", &['b', 'c'], document());
        house.push_main('a').await;
        eventually("an end is set", || async {
            house.environment("feature/x").await.unwrap().ending.is_some()
        })
        .await;
        let environment = house.environment("feature/x").await.unwrap();
        let left = environment.ending.unwrap().due_at.since(environment.updated_at);
        assert!(left.as_secs() > 3500, "{left:?}");
        assert_eq!(house.environment("feature/y").await.unwrap().ending, None);
    })
    .await;
}

#[tokio::test]
async fn a_setting_that_is_no_good_blocks_and_says_why() {
    in_house(|house| async move {
        let mut document = document();
        document["x-drey"] = json!({ "merge_grace": "soon" });
        house.commit('a', "main", &[], self::document());
        house.commit('b', "feature/x", &['a'], document);
        house.push("feature/x").await;
        let reason = house.reaches("feature/x", Phase::Blocked).await.reason.unwrap();
        assert!(reason.contains("x-drey.merge_grace: refused (SETTING)"), "{reason}");
    })
    .await;
}
