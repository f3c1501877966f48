use std::collections::BTreeMap;

use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::domain::jobs::{Command, DEFAULT_WITHIN, OncePer, When};
use crate::domain::names::Generation;
use crate::domain::observed::{Health, Volume};
use crate::domain::rest::SleepMode;
use crate::domain::stack::{BindSpec, ReadinessSpec, Service, VolumeSpec};

fn stack() -> Stack {
    let service = Service {
        image: "drey/shop/web:1".into(),
        replicas: 1,
        has_health_check: false,
        may_complete: false,
        depends_on: BTreeMap::new(),
    };
    Stack {
        document: json!({}),
        digest: "d1".into(),
        services: BTreeMap::from([("web".into(), service)]),
        networks: vec![NetworkSpec {
            key: "default".into(),
            name: "p_default".into(),
            internal: false,
            mtu: None,
            subnet: "10.213.0.0/27".into(),
            definition: "n1".into(),
        }],
        volumes: vec![VolumeSpec {
            key: "data".into(),
            name: "p_data".into(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
            definition: "v1".into(),
        }],
        binds: vec![BindSpec { source: "conf".into(), content_id: "c1".into(), is_file: false }],
        routes: Vec::new(),
        readiness: ReadinessSpec { path: "/".into(), within_seconds: 120 },
        settings: Default::default(),
    }
}

fn container(state: ContainerState) -> Container {
    Container {
        id: "c0ffee".into(),
        name: "p-web-1".into(),
        service: "web".into(),
        image: "drey/shop/web:1".into(),
        state,
        health: Health::None,
        addresses: BTreeMap::new(),
        restarts: 0,
        last_exit: None,
        oneoff: false,
    }
}

/// The snapshot after every step of [`stack`]'s plan was applied.
fn applied() -> (Observed, RunFacts) {
    let observed = Observed {
        containers: vec![container(ContainerState::Running)],
        networks: vec![Network { name: "p_default".into(), id: "n".into(), definition: Some("n1".into()) }],
        volumes: vec![Volume { name: "p_data".into(), definition: Some("v1".into()) }],
    };
    let facts = RunFacts {
        applied: Some(stack()),
        binds: BTreeSet::from(["c1".into()]),
        serving: true,
        published: true,
        recreate: false,
        jobs: JobsDone::default(),
        fill: None,
        slept: false,
    };
    (observed, facts)
}

#[test]
fn a_first_run_makes_everything() {
    let plan = run(&stack(), &Observed::default(), &RunFacts::default()).unwrap();
    assert_snapshot!(plan, @r"
    create network p_default: default asks for it
    create volume p_data: data asks for it
    write bound files: files of the checkout are bound that are not written out
    up: this stack never ran
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
}

#[test]
fn applied_and_looked_at_again_nothing_is_left_to_do() {
    let (observed, facts) = applied();
    assert_eq!(run(&stack(), &observed, &facts), Ok(Plan::default()));
}

#[test]
fn volumes_out_of_an_archive_are_made_anew_at_each_try() {
    let (observed, _) = applied();
    let facts = RunFacts { fill: Some("x-1-1".into()), ..RunFacts::default() };
    assert_snapshot!(run(&stack(), &observed, &facts).unwrap(), @r"
    remove container p-web-1: the volumes are filled anew
    remove volume p_data: it may be half full
    create volume p_data: data asks for it
    fill the volumes from archive x-1-1: the environment comes out of it
    write bound files: files of the checkout are bound that are not written out
    up: this stack never ran
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
}

#[test]
fn a_changed_stack_holds_then_goes_up() {
    let (observed, facts) = applied();
    let changed = Stack { digest: "d2".into(), ..stack() };
    assert_snapshot!(run(&changed, &observed, &facts).unwrap(), @r"
    hold requests: containers may be replaced
    up: the stack changed
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
}

#[test]
fn the_logs_of_what_is_replaced_are_saved_and_of_nothing_else() {
    let (mut observed, mut facts) = applied();
    let named = |service: &str| Container {
        id: format!("id-{service}"),
        name: format!("p-{service}-1"),
        service: service.into(),
        ..container(ContainerState::Running)
    };
    observed.containers = ["cache", "db", "sidecar", "web"].map(named).into();
    observed.containers.push(Container { state: ContainerState::Created, ..named("web") });
    let with = |web: &str, services: &[&str]| {
        let mut stack = stack();
        let service = stack.services["web"].clone();
        stack.services = services.iter().map(|name| ((*name).into(), service.clone())).collect();
        stack.document = json!({"services": {
            "cache": {"image": "c:1"}, "db": {"image": "d:1"}, "web": {"image": web},
            "sidecar": {"image": "s:1", "network_mode": "service:web"},
        }});
        if !services.contains(&"cache") {
            stack.document["services"].as_object_mut().unwrap().remove("cache");
        }
        stack.digest = web.into();
        stack
    };
    let all = ["cache", "db", "sidecar", "web"];
    facts.applied = Some(with("w:1", &all));
    let saved = |stack: &Stack, facts: &RunFacts| -> Vec<String> {
        let steps = run(stack, &observed, facts).unwrap().steps.into_iter();
        steps
            .filter_map(|it| if let Step::SaveLogs { name, .. } = it.step { Some(name) } else { None })
            .collect()
    };
    assert_eq!(saved(&with("w:2", &all), &facts), ["p-sidecar-1", "p-web-1"], "with what lives in it");
    assert_eq!(saved(&with("w:1", &all), &facts), [""; 0]);
    let without_cache = Stack { digest: "other".into(), ..with("w:1", &all[1..]) };
    assert_eq!(saved(&without_cache, &facts), ["p-cache-1"], "what is no service any more goes");
    let everything = ["p-cache-1", "p-db-1", "p-sidecar-1", "p-web-1"];
    let unknown = RunFacts { applied: None, ..facts.clone() };
    assert_eq!(saved(&with("w:1", &all), &unknown), everything);
    facts.recreate = true;
    assert_eq!(saved(&with("w:1", &all), &facts), everything);
}

#[test]
fn a_dead_service_is_brought_up_again_but_a_finished_job_is_not() {
    let (mut observed, facts) = applied();
    observed.containers = vec![container(ContainerState::Exited(0))];
    let plan = run(&stack(), &observed, &facts).unwrap();
    assert!(plan.steps.iter().any(|step| step.reason == "web does not run"));
    let mut job = stack();
    if let Some(service) = job.services.get_mut("web") {
        service.may_complete = true;
    }
    assert!(run(&job, &observed, &facts).unwrap().is_empty());
}

#[test]
fn a_changed_volume_blocks_with_the_way_out() {
    let (mut observed, facts) = applied();
    observed.volumes[0].definition = Some("other".into());
    let blocked = run(&stack(), &observed, &facts).unwrap_err();
    assert!(blocked.reason.starts_with("volumes.data:") && blocked.reason.contains("drey env destroy"));
}

#[test]
fn a_changed_network_takes_the_containers_with_it_and_keeps_the_volumes() {
    let (mut observed, facts) = applied();
    observed.networks[0].definition = Some("other".into());
    let plan = run(&stack(), &observed, &facts).unwrap();
    assert_snapshot!(plan, @r"
    hold requests: containers are replaced
    save the logs of p-web-1: they go with the container
    remove container p-web-1: a network they are in has changed
    remove network p_default: its definition changed
    create network p_default: default asks for it
    up: a network is new
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
}

#[test]
fn nothing_goes_before_it_is_archived() {
    let (observed, _) = applied();
    let facts = EndFacts {
        serving: true,
        archive: Some("feature-x-1".into()),
        images: vec!["drey/shop/web:1".into()],
        has_files: true,
        ..EndFacts::default()
    };
    assert_snapshot!(end(&observed, &facts), @r"
    withdraw the routes: the route goes first
    stop the containers: containers run
    save the logs of p-web-1: they go with the container
    write and verify archive feature-x-1: nothing is removed before it is kept
    remove container p-web-1: the environment ends
    remove network p_default: the environment ends
    remove volume p_data: the environment ends
    remove image drey/shop/web:1: it goes, unless another environment uses it
    remove the environment's files: the environment ends
    release slug and subnets: nothing of it is left
    ");
    let over = EndFacts { is_over: true, ..EndFacts::default() };
    assert!(end(&Observed::default(), &over).is_empty());
}

#[test]
fn whatever_is_there_an_end_that_keeps_something_removes_nothing_before_its_archive() {
    let removes = |step: &Step| step.word().starts_with("remove_") || *step == Step::Release;
    let archives = |step: &Step| matches!(step, Step::Archive { .. });
    for bits in 0..64_u8 {
        let has = |bit: u8| bits & (1 << bit) != 0;
        let mut observed = applied().0;
        let keep = |there: bool| usize::from(there) * 9;
        observed.containers.truncate(keep(has(0)));
        observed.networks.truncate(keep(has(1)));
        observed.volumes.truncate(keep(has(2)));
        let facts = EndFacts {
            serving: has(3),
            archive: Some("feature-x-1".into()),
            archived: has(4),
            images: vec!["drey/shop/web:1".into()],
            has_files: has(5),
            ..EndFacts::default()
        };
        let steps: Vec<Step> = end(&observed, &facts).steps.into_iter().map(|planned| planned.step).collect();
        let first_removed = steps.iter().position(removes).unwrap();
        let archived = steps.iter().position(archives);
        assert_eq!(archived.is_none(), facts.archived, "{bits:b}");
        assert!(archived.is_none_or(|archived| archived < first_removed), "{bits:b}: {steps:?}");
    }
}

#[test]
fn images_are_built_once_and_again_only_by_force() {
    let needs = [
        ImageNeed::Built { service: "web".into(), tag: "drey/shop/web:1".into() },
        ImageNeed::Pulled { image: "redis:7".into() },
        ImageNeed::Pulled { image: "redis:7".into() },
    ];
    let none = BTreeSet::new();
    assert_eq!(images(&needs, &none, Force::default()).steps.len(), 2);
    let both = BTreeSet::from(["drey/shop/web:1".to_owned(), "redis:7".to_owned()]);
    assert!(images(&needs, &both, Force::default()).is_empty());
    assert_eq!(images(&needs, &both, Force { rebuild: true, pull: true }).steps.len(), 2);
}

fn job(service: &str, run: &str, when: When) -> Job {
    Job { service: service.into(), run: Command::Shell(run.into()), when, within: DEFAULT_WITHIN }
}

/// [`stack`] with a seed for the environment and a migration for each deployment.
fn stack_with_jobs() -> Stack {
    let mut stack = stack();
    stack.settings.after_start = vec![
        job("web", "./seed", When::AfterStart(OncePer::Environment)),
        job("web", "./migrate", When::AfterStart(OncePer::Deployment)),
    ];
    stack
}

/// The jobs of [`stack_with_jobs`] succeeded in that generation; the present one is 3.
fn done_in(generation: i64) -> JobsDone {
    let keys = stack_with_jobs().settings.after_start.into_iter().map(|job| job.key());
    JobsDone { done: keys.map(|key| (key, Generation(generation))).collect(), present: Some(Generation(3)) }
}

#[test]
fn jobs_run_when_the_containers_are_up_and_before_anybody_is_let_in() {
    let facts = RunFacts { binds: BTreeSet::from(["c1".into()]), ..RunFacts::default() };
    let observed = Observed { containers: Vec::new(), ..applied().0 };
    let plan = run(&stack_with_jobs(), &observed, &facts).unwrap();
    assert_snapshot!(plan, @r"
    up: this stack never ran
    run job web: ./seed: it has not succeeded in this environment yet
    run job web: ./migrate: it has not succeeded in this environment yet
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
}

#[test]
fn a_later_deployment_migrates_and_does_not_seed_again() {
    let (observed, facts) = applied();
    let facts = RunFacts { jobs: done_in(2), ..facts };
    assert!(run(&stack_with_jobs(), &observed, &facts).unwrap().is_empty(), "nothing changed");
    let changed = Stack { digest: "d2".into(), ..stack_with_jobs() };
    assert_snapshot!(run(&changed, &observed, &facts).unwrap(), @r"
    hold requests: containers may be replaced
    up: the stack changed
    run job web: ./migrate: once in each deployment that touches the stack
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
    let again = RunFacts { jobs: done_in(3), ..facts };
    let plan = run(&changed, &observed, &again).unwrap().to_string();
    assert!(!plan.contains("run job"), "tried again, the deployment does not repeat them: {plan}");
}

#[test]
fn a_new_job_runs_although_the_stack_is_the_same() {
    let (observed, facts) = applied();
    let facts = RunFacts { jobs: done_in(2), ..facts };
    let mut changed = stack_with_jobs();
    changed.settings.after_start[0].run = Command::Shell("./seed --more".into());
    assert_snapshot!(run(&changed, &observed, &facts).unwrap(), @r"
    hold requests: nobody is let in while a job runs
    run job web: ./seed --more: it has not succeeded in this environment yet
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
}

#[test]
fn before_the_archive_jobs_run_where_containers_run_and_once() {
    let (observed, _) = applied();
    let facts = EndFacts {
        archive: Some("feature-x-1".into()),
        before_archive: vec![
            job("web", "./dump", When::BeforeArchive),
            job("db", "./dump", When::BeforeArchive),
        ],
        jobs: JobsDone { present: Some(Generation(3)), ..JobsDone::default() },
        ..EndFacts::default()
    };
    let plan = end(&observed, &facts).to_string();
    let first: Vec<&str> = plan.lines().take(3).collect();
    assert_snapshot!(first.join("\n"), @r"
    run job web: ./dump: it comes before the archive
    skip job db: ./dump: db does not run, and is not started to be ended
    stop the containers: containers run
    ");
    let has_jobs = |facts: EndFacts| end(&observed, &facts).to_string().contains(" job ");
    assert!(!has_jobs(EndFacts { archive: None, ..facts.clone() }), "what is destroyed does no last work");
    assert!(!has_jobs(EndFacts { archived: true, ..facts.clone() }));
    let done = facts.before_archive.iter().map(|job| (job.key(), Generation(3))).collect();
    let jobs = JobsDone { done, present: Some(Generation(3)) };
    assert!(!has_jobs(EndFacts { jobs, ..facts }), "an end that is tried again");
}

#[test]
fn what_slept_is_started_where_it_is_whole_and_brought_up_where_it_is_not() {
    let (mut observed, facts) = applied();
    let facts = RunFacts { published: false, serving: false, slept: true, ..facts };
    observed.containers = vec![container(ContainerState::Exited(0))];
    assert_snapshot!(run(&stack(), &observed, &facts).unwrap(), @r"
    start the containers: it slept, and all of it is there
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
    observed.containers = vec![container(ContainerState::Paused)];
    assert_snapshot!(run(&stack(), &observed, &facts).unwrap(), @r"
    let the containers go on: containers are frozen
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
    let brought_up = |observed: &Observed, facts: &RunFacts| {
        let plan = run(&stack(), observed, facts).unwrap().to_string();
        plan.contains("up: ") && !plan.contains("start the")
    };
    observed.containers = vec![container(ContainerState::Exited(0))];
    assert!(brought_up(&observed, &RunFacts { slept: false, ..facts.clone() }));
    assert!(brought_up(&observed, &RunFacts { applied: None, ..facts.clone() }));
    assert!(brought_up(&Observed { containers: Vec::new(), ..observed.clone() }, &facts));
    assert!(brought_up(&Observed { networks: Vec::new(), ..observed.clone() }, &facts));
}

#[test]
fn what_cannot_be_frozen_is_stopped() {
    let (mut observed, _) = applied();
    assert_snapshot!(sleep(&observed, true, SleepMode::Pause), @r"
    withdraw the routes: the route goes first
    freeze the containers: containers run, and are to be back at once
    ");
    observed.containers.push(container(ContainerState::Restarting));
    assert_snapshot!(sleep(&observed, false, SleepMode::Pause), @"stop the containers: containers run");
    observed.containers = vec![container(ContainerState::Paused)];
    assert_eq!(sleep(&observed, false, SleepMode::Pause), Plan::default());
    assert_snapshot!(sleep(&observed, false, SleepMode::Stop), @"stop the containers: containers run");
}

#[test]
fn a_repair_makes_anew_what_starting_does_not_mend_and_what_is_gone() {
    let (mut observed, facts) = applied();
    let repaired = |observed: &Observed| {
        repair(&stack(), observed, &RunFacts { published: false, ..facts.clone() }).unwrap()
    };
    observed.containers = vec![container(ContainerState::Paused)];
    observed.volumes.clear();
    assert_snapshot!(repaired(&observed), @r"
    hold requests: containers are replaced
    save the logs of p-web-1: they go with the container
    remove container p-web-1: it is paused
    create volume p_data: data asks for it
    up: web does not run
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
    observed = applied().0;
    observed.containers = vec![container(ContainerState::Exited(137))];
    assert_snapshot!(repaired(&observed), @r"
    hold requests: containers may be replaced
    up: web does not run
    wait until ready, 120 s at most: routes change only after readiness is proven
    publish the routes: the stack is ready
    ");
}
