//! Jobs of a stack, as they are run, remembered and never cut.

use async_trait::async_trait;
use drey::domain::environment::{DeploymentState, Phase};
use drey::domain::event::EventKind;
use drey::domain::route::Answer;
use drey::ports::{JobEnd, JobRequest, Jobs, LogLine, LogSink, PortResult};
use serde_json::{Value, json};

use crate::fakes::World;
use crate::harness::{TestHouse, branch, document, eventually, in_house, sha};

#[async_trait]
impl Jobs for World {
    async fn run(&self, request: &JobRequest, log: &dyn LogSink) -> PortResult<JobEnd> {
        let command = request.command.last().cloned().unwrap_or_default();
        let gate = self.with(|inside| {
            inside.jobs.push(format!("{}: {command}", request.service));
            inside.job_gate.clone()
        });
        let _place = gate.acquire().await.unwrap();
        log.line(LogLine { source: request.service.clone(), text: format!("output of {command}") });
        Ok(self.with(|inside| {
            let end = inside.job_ends.iter().find(|(text, _)| command.contains(*text));
            end.map_or(JobEnd::Exited(0), |(_, end)| *end)
        }))
    }
}

/// The usual stack with these jobs; `variant` makes stacks differ.
fn with(jobs: Value, variant: &str) -> Value {
    let mut document = document();
    document["services"]["web"]["command"] = json!([variant]);
    document["x-drey"] = jobs;
    document
}

fn seed_and_migrate() -> Value {
    json!({"after_start": [
        {"service": "web", "run": "seed", "once_per": "environment"},
        {"service": "web", "run": "migrate"},
    ]})
}

fn jobs(house: &TestHouse) -> Vec<String> {
    house.world.with(|inside| inside.jobs.clone())
}

async fn runs(house: &TestHouse, job: &str) {
    eventually(&format!("{job} runs"), || async { jobs(house).iter().any(|ran| ran == job) }).await;
}

async fn end(house: &TestHouse, archive: bool) {
    house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive }).await;
}

async fn log(house: &TestHouse) -> String {
    let environment = house.environment("feature/x").await.unwrap();
    let inner = house.orchestrator.house();
    let mut text = String::new();
    for deployment in inner.store.deployments(environment.id).await.unwrap() {
        text += &inner.ports.logs.read(environment.id, deployment.id).await.unwrap().join("\n");
    }
    text
}

#[tokio::test]
async fn nobody_is_let_in_before_the_jobs_have_run_and_the_seed_runs_once() {
    in_house(|house| async move {
        let gate = house.world.with(|inside| inside.job_gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(seed_and_migrate(), "1"));
        house.push("feature/x").await;
        runs(&house, "web: seed").await;
        let starting = house.environment("feature/x").await.unwrap();
        assert_eq!((starting.phase, starting.serving), (Phase::Starting, false));
        assert_eq!(jobs(&house), ["web: seed"], "one after the other");
        drop(closed);
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(jobs(&house), ["web: seed", "web: migrate"]);
        assert!(log(&house).await.contains("web | output of migrate"));

        let closed = gate.acquire_many(100).await.unwrap();
        house.commit('c', "feature/x", &['b'], with(seed_and_migrate(), "2"));
        house.push("feature/x").await;
        eventually("it migrates again", || async { jobs(&house).len() == 3 }).await;
        let now = house.world.with(|inside| inside.table.hosts["feature-x.qa.example"].answer.clone());
        assert!(matches!(now, Answer::Replacing(_)), "requests wait: {now:?}");
        drop(closed);
        house.reaches("feature/x", Phase::Ready).await;
        house.commit('d', "feature/x", &['c'], with(seed_and_migrate(), "2"));
        house.push("feature/x").await;
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.running_commit, Some(sha('d')));
        assert_eq!(jobs(&house)[2..], ["web: migrate"], "the same stack is not migrated again");
    })
    .await;
}

#[tokio::test]
async fn a_job_that_fails_is_told_with_its_output_and_the_next_push_mends_it() {
    in_house(|house| async move {
        house.world.with(|inside| inside.job_ends.insert("migrate".into(), JobEnd::Exited(3)));
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(seed_and_migrate(), "1"));
        house.push("feature/x").await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        let reason = failed.reason.unwrap();
        assert!(
            reason.starts_with("job web: migrate ended with exit code 3\n\noutput of migrate"),
            "{reason}"
        );
        assert_eq!(house.things_on_the_engine(), 1, "the volume stays, with what was seeded");
        house.world.with(|inside| inside.job_ends.clear());
        house.commit('c', "feature/x", &['b'], with(seed_and_migrate(), "2"));
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(jobs(&house), ["web: seed", "web: migrate", "web: migrate"]);

        house.world.with(|inside| inside.job_ends.insert("migrate".into(), JobEnd::Cut));
        house.commit('d', "feature/x", &['c'], with(seed_and_migrate(), "3"));
        house.push("feature/x").await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        assert!(failed.reason.unwrap().contains("longer than 300 s"));
        assert!(failed.serving, "what runs and is sound is served");
    })
    .await;
}

#[tokio::test]
async fn a_running_job_is_not_cut_by_a_newer_push() {
    in_house(|house| async move {
        let gate = house.world.with(|inside| inside.job_gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(seed_and_migrate(), "1"));
        house.push("feature/x").await;
        runs(&house, "web: seed").await;
        house.commit('c', "feature/x", &['b'], with(seed_and_migrate(), "2"));
        house.push("feature/x").await;
        eventually("the log says that the push waits", || async {
            log(&house).await.contains("waits until the job has ended")
        })
        .await;
        assert_eq!(house.world.with(|inside| inside.ups), 1);
        drop(closed);
        let ready = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(ready.running_commit, Some(sha('c')));
        assert_eq!(
            jobs(&house),
            ["web: seed", "web: migrate"],
            "the seed came to its end and is known as done"
        );
        let deployments = house.orchestrator.house().store.deployments(ready.id).await.unwrap();
        assert_eq!(deployments[1].state, DeploymentState::Superseded);
    })
    .await;
}

#[tokio::test]
async fn a_job_is_cut_where_nothing_will_be_left_of_it_and_runs_again_after_a_crash() {
    in_house(|house| async move {
        let gate = house.world.with(|inside| inside.job_gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(seed_and_migrate(), "1"));
        house.push("feature/x").await;
        runs(&house, "web: seed").await;
        let house = house.restart().await;
        eventually("it is run again", || async { jobs(&house) == ["web: seed", "web: seed"] }).await;
        end(&house, false).await;
        house.reaches("feature/x", Phase::Destroyed).await;
        drop(closed);
    })
    .await;
}

#[tokio::test]
async fn jobs_before_the_archive_run_in_running_containers_and_keep_the_environment_when_they_fail() {
    in_house(|house| async move {
        let dump = json!({"before_archive": [
            {"service": "web", "run": "flush"},
            {"service": "web", "run": "dump"},
        ]});
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(dump, "1"));
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        assert!(jobs(&house).is_empty());
        house.world.with(|inside| inside.job_ends.insert("dump".into(), JobEnd::Exited(1)));
        end(&house, true).await;
        let failed = house.reaches("feature/x", Phase::Failed).await;
        let reason = failed.reason.unwrap();
        assert!(reason.contains("job web: dump ended with exit code 1; nothing is stopped"), "{reason}");
        assert!(house.world.with(|inside| inside.archives.is_empty()));
        assert!(house.things_on_the_engine() > 2);
        house.world.with(|inside| inside.job_ends.clear());
        end(&house, true).await;
        house.reaches("feature/x", Phase::Archived).await;
        assert_eq!(jobs(&house), ["web: flush", "web: dump", "web: dump"], "what was done is not done again");
    })
    .await;
}

#[tokio::test]
async fn a_last_job_that_hangs_does_not_keep_the_environment_from_being_destroyed() {
    in_house(|house| async move {
        let dump = json!({"before_archive": [{"service": "web", "run": "dump"}]});
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(dump, "1"));
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        let gate = house.world.with(|inside| inside.job_gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        end(&house, true).await;
        runs(&house, "web: dump").await;
        end(&house, false).await;
        house.reaches("feature/x", Phase::Destroyed).await;
        drop(closed);
        assert!(house.world.with(|inside| inside.archives.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn an_end_that_keeps_nothing_or_finds_nothing_running_has_no_last_jobs() {
    in_house(|house| async move {
        let dump = || json!({"before_archive": [{"service": "web", "run": "dump"}]});
        house.commit('a', "main", &[], document());
        for (name, archive) in [('b', false), ('c', true)] {
            house.commit(name, "feature/x", &['a'], with(dump(), "1"));
            house.push("feature/x").await;
            let ready = house.reaches("feature/x", Phase::Ready).await;
            if archive {
                let ports = &house.orchestrator.house().ports;
                let log = ports.logs.deployment(ready.id, 0);
                ports.stacks.stop(&ready.project, 1, &*log).await.unwrap();
            }
            end(&house, archive).await;
            house.reaches("feature/x", if archive { Phase::Archived } else { Phase::Destroyed }).await;
        }
        assert!(jobs(&house).is_empty());
        let deployments = {
            let environment = house.environment("feature/x").await.unwrap();
            house.orchestrator.house().store.deployments(environment.id).await.unwrap()
        };
        assert!(
            deployments[0].plan.contains("skip job web: dump: web does not run"),
            "{}",
            deployments[0].plan
        );
    })
    .await;
}

#[tokio::test]
async fn a_restored_environment_is_migrated_and_not_seeded_again() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(seed_and_migrate(), "1"));
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        end(&house, true).await;
        house.reaches("feature/x", Phase::Archived).await;
        let archive = house.world.with(|inside| inside.archives.keys().next().unwrap().clone());
        house.orchestrator.restore(&archive).await.unwrap();
        house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(jobs(&house), ["web: seed", "web: migrate", "web: migrate"]);

        let mut more = seed_and_migrate();
        more["after_start"][0]["run"] = json!("seed more");
        house.commit('c', "feature/x", &['b'], with(more, "1"));
        house.push("feature/x").await;
        eventually("another seed is another job", || async { jobs(&house)[3..] == ["web: seed more"] }).await;
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn a_job_of_a_service_that_is_not_there_blocks_and_says_why() {
    in_house(|house| async move {
        let wrong = json!({"after_start": [{"service": "wbe", "run": "migrate"}]});
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], with(wrong, "1"));
        house.push("feature/x").await;
        let reason = house.reaches("feature/x", Phase::Blocked).await.reason.unwrap();
        assert!(reason.contains("x-drey.after_start[0].service: refused (SETTING)"), "{reason}");
    })
    .await;
}
