//! When a job may run, and in which container.

use std::collections::BTreeSet;

use super::{Verdict, containers_of, judge_container};
use crate::domain::observed::{Container, ContainerState, Health, Observed};
use crate::domain::stack::Stack;

/// Where a job can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobPlace {
    /// Id of the container in which it runs now.
    Container(String),
    /// Not yet; what is waited for.
    Pending(String),
    /// Nowhere, and waiting does not help.
    Nowhere(String),
}

/// A job needs its service, and what that depends on, directly or not; of all others it knows nothing. So a service
/// that gets ready only by the job does not keep it waiting. Nor does the job's own service once its health check has
/// given up: it may be waiting for this very job.
pub fn job_place(stack: &Stack, observed: &Observed, service: &str) -> JobPlace {
    let mut seen = BTreeSet::from([service]);
    let mut open: Vec<&str> = depends_on(stack, service).collect();
    let mut waiting = None;
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            open.extend(depends_on(stack, name));
            match judge_service(stack, observed, name) {
                Verdict::Good => {}
                Verdict::Waiting(why) => waiting = Some(format!("{name} {why}")),
                Verdict::Bad(why) => return JobPlace::Nowhere(format!("{name}: {why}")),
            }
        }
    }
    match (running(observed, service), waiting) {
        (_, Some(why)) => JobPlace::Pending(why),
        (Some(container), None) => match container.health {
            Health::Starting => JobPlace::Pending(format!("{service} is not healthy yet")),
            Health::None | Health::Healthy | Health::Unhealthy => JobPlace::Container(container.id.clone()),
        },
        (None, None) => match judge_service(stack, observed, service) {
            Verdict::Good => {
                JobPlace::Nowhere(format!("{service}: it has ended, and a job needs a container that runs"))
            }
            Verdict::Waiting(why) => JobPlace::Pending(format!("{service} {why}")),
            Verdict::Bad(why) => JobPlace::Nowhere(format!("{service}: {why}")),
        },
    }
}

/// The service's first container that runs.
pub fn running<'a>(observed: &'a Observed, service: &'a str) -> Option<&'a Container> {
    containers_of(observed, service).find(|container| container.state == ContainerState::Running)
}

fn depends_on<'a>(stack: &'a Stack, service: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    stack.services.get(service).into_iter().flat_map(|found| found.depends_on.keys().map(String::as_str))
}

/// One sound container is enough; without any, the last one's verdict counts.
fn judge_service(stack: &Stack, observed: &Observed, name: &str) -> Verdict {
    let Some(service) = stack.services.get(name) else { return Verdict::Bad("is no service".to_owned()) };
    let mut worst = match service.may_complete {
        true => Verdict::Good,
        false => Verdict::Waiting("has no container".to_owned()),
    };
    for container in containers_of(observed, name) {
        match judge_container(service, container) {
            Verdict::Good => return Verdict::Good,
            verdict @ (Verdict::Waiting(_) | Verdict::Bad(_)) => worst = verdict,
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sound, stack};
    use super::*;

    #[test]
    fn a_job_waits_for_what_its_service_needs_and_for_nothing_else() {
        let mut observed = sound();
        observed.containers[2].health = Health::Starting;
        assert_eq!(
            job_place(&stack(), &observed, "web"),
            JobPlace::Container("id-web".into()),
            "other is not needed"
        );
        assert_eq!(
            job_place(&stack(), &observed, "other"),
            JobPlace::Pending("other is not healthy yet".into())
        );
        observed.containers[0].health = Health::Starting;
        assert_eq!(job_place(&stack(), &observed, "web"), JobPlace::Pending("db is not healthy yet".into()));
        observed.containers[1].state = ContainerState::Exited(2);
        assert!(
            matches!(job_place(&stack(), &observed, "web"), JobPlace::Nowhere(why) if why.contains("migrate"))
        );
    }

    #[test]
    fn a_service_that_may_be_unhealthy_for_want_of_the_job_gets_it() {
        let mut observed = sound();
        observed.containers[3].health = Health::Unhealthy;
        assert_eq!(job_place(&stack(), &observed, "web"), JobPlace::Container("id-web".into()));
    }

    #[test]
    fn a_job_needs_a_container_that_goes_on_running() {
        let mut observed = sound();
        assert!(
            matches!(job_place(&stack(), &observed, "migrate"), JobPlace::Nowhere(why) if why.contains("ended"))
        );
        observed.containers[3].state = ContainerState::Restarting;
        assert_eq!(job_place(&stack(), &observed, "web"), JobPlace::Pending("web restarts".into()));
        observed.containers[3].state = ContainerState::Exited(0);
        assert!(
            matches!(job_place(&stack(), &observed, "web"), JobPlace::Nowhere(why) if why.contains("code 0"))
        );
        observed.containers.pop();
        assert_eq!(job_place(&stack(), &observed, "web"), JobPlace::Pending("web has no container".into()));
    }
}
