//! What of a stack that is all there is still to be started, and what of it may be started now.

use super::containers_of;
use crate::domain::observed::{Container, ContainerState, Health, Observed};
use crate::domain::stack::{Condition, Stack};

/// Containers that do not run and should. What somebody waited for to complete, and did, has done its work.
pub fn to_start<'a>(stack: &'a Stack, observed: &'a Observed) -> Vec<&'a Container> {
    let services = stack.services.keys();
    let all = services.flat_map(|name| containers_of(observed, name));
    all.filter(|container| is_down(container) && !is_done(stack, container)).collect()
}

/// Those of them that wait for nobody any more.
pub fn startable<'a>(stack: &'a Stack, observed: &'a Observed) -> Vec<&'a Container> {
    let mut startable = to_start(stack, observed);
    startable.retain(|container| {
        let service = stack.services.get(&container.service);
        service.is_none_or(|service| {
            service.depends_on.iter().all(|(name, condition)| is_met(stack, observed, name, *condition))
        })
    });
    startable
}

fn is_met(stack: &Stack, observed: &Observed, name: &str, condition: Condition) -> bool {
    let met = |container: &Container| match (condition, container.state) {
        (Condition::ServiceStarted, ContainerState::Running) => true,
        (Condition::ServiceHealthy, ContainerState::Running) => {
            matches!(container.health, Health::Healthy | Health::None)
        }
        (Condition::ServiceStarted | Condition::ServiceCompletedSuccessfully, ContainerState::Exited(0)) => {
            is_done(stack, container)
        }
        (_, _) => false,
    };
    // One that is no service of the stack is nobody to wait for.
    containers_of(observed, name).all(met)
}

fn is_down(container: &Container) -> bool {
    match container.state {
        ContainerState::Created | ContainerState::Exited(_) => true,
        ContainerState::Running
        | ContainerState::Paused
        | ContainerState::Restarting
        | ContainerState::Dead => false,
    }
}

fn is_done(stack: &Stack, container: &Container) -> bool {
    let waits = |condition: &Condition| *condition == Condition::ServiceCompletedSuccessfully;
    let is_awaited =
        stack.services.values().any(|it| it.depends_on.get(&container.service).is_some_and(waits));
    is_awaited && container.state == ContainerState::Exited(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::stack::{ReadinessSpec, Service};

    fn stack() -> Stack {
        let service = |needs: &[(&str, Condition)]| Service {
            image: String::new(),
            replicas: 1,
            has_health_check: false,
            may_complete: true,
            depends_on: needs.iter().map(|(name, condition)| ((*name).to_owned(), *condition)).collect(),
        };
        let services = [
            ("db", service(&[])),
            ("migrate", service(&[("db", Condition::ServiceHealthy)])),
            (
                "web",
                service(&[
                    ("db", Condition::ServiceStarted),
                    ("migrate", Condition::ServiceCompletedSuccessfully),
                    ("elsewhere", Condition::ServiceStarted),
                ]),
            ),
        ];
        Stack {
            document: json!({}),
            digest: String::new(),
            services: services.map(|(name, service)| (name.to_owned(), service)).into(),
            networks: Vec::new(),
            volumes: Vec::new(),
            binds: Vec::new(),
            routes: Vec::new(),
            readiness: ReadinessSpec { path: "/".into(), within_seconds: 1 },
            settings: Default::default(),
        }
    }

    fn observed(states: &[(&str, ContainerState, Health)]) -> Observed {
        let container = |(service, state, health): &(&str, ContainerState, Health)| Container {
            id: (*service).to_owned(),
            name: (*service).to_owned(),
            service: (*service).to_owned(),
            image: String::new(),
            state: *state,
            health: *health,
            addresses: BTreeMap::new(),
            restarts: 0,
            last_exit: None,
            oneoff: false,
        };
        Observed { containers: states.iter().map(container).collect(), ..Observed::default() }
    }

    #[test]
    fn each_waits_for_what_it_needs() {
        use ContainerState::{Exited, Running};
        let stack = stack();
        let names = |of: Vec<&Container>| of.into_iter().map(|it| it.service.clone()).collect::<Vec<_>>();
        let next = |states: &[(&str, ContainerState, Health)]| names(startable(&stack, &observed(states)));
        let (db, none) = (("db", Running, Health::Healthy), Health::None);
        let (failed, done) = (("migrate", Exited(1), none), ("migrate", Exited(0), none));
        let web = ("web", Exited(0), none);
        assert_eq!(next(&[("db", Exited(137), none), failed, web]), ["db"]);
        assert_eq!(next(&[("db", Running, Health::Starting), failed, web]), [""; 0]);
        assert_eq!(next(&[db, failed, web]), ["migrate"]);
        assert_eq!(next(&[db, ("migrate", Running, none), web]), [""; 0]);
        assert_eq!(next(&[db, done, web]), ["web"]);
        assert_eq!(next(&[db, done, ("web", Running, none)]), [""; 0]);
        // What was waited for is not done twice; what merely ended well is started again.
        let asleep = observed(&[("db", Exited(0), none), done, web]);
        assert_eq!(names(to_start(&stack, &asleep)), ["db", "web"]);
    }
}
