//! From what is wanted and what is there to a plan. Pure: two snapshots in, one plan out.

mod interim;
mod repair;
mod replaced;
mod sleep;
mod wake;

use std::collections::BTreeSet;

use super::jobs::{Job, JobsDone};
use super::observed::{Container, ContainerState, Network, Observed};
use super::plan::{Plan, Step};
use super::readiness;
use super::stack::{NetworkSpec, Stack};

pub use repair::repair;
pub use sleep::sleep;

/// An image that a service needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageNeed {
    Built { service: String, tag: String },
    Pulled { image: String },
}

/// How a person asked for the deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Force {
    /// Build although an image of that content is there.
    pub rebuild: bool,
    /// Ask the registries although an image of that name is there.
    pub pull: bool,
}

/// Plan for images: builds and pulls of what `present` (image references on the engine) lacks.
pub fn images(needs: &[ImageNeed], present: &BTreeSet<String>, force: Force) -> Plan {
    let mut plan = Plan::default();
    for need in needs.iter().collect::<BTreeSet<_>>() {
        match need {
            ImageNeed::Built { service, tag } => {
                let step = || Step::Build { service: service.clone(), tag: tag.clone() };
                if !present.contains(tag) {
                    plan.push(step(), "no image of this content is there");
                } else if force.rebuild {
                    plan.push(step(), "a rebuild was asked for");
                }
            }
            ImageNeed::Pulled { image } => {
                let step = || Step::Pull { image: image.clone() };
                if !present.contains(image) {
                    plan.push(step(), "the engine does not have it");
                } else if force.pull {
                    plan.push(step(), "a pull was asked for");
                }
            }
        }
    }
    plan
}

/// What else is known when a stack is to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFacts {
    /// The stack that was last brought up, whole.
    pub applied: Option<Stack>,
    /// Content ids of the bound files that are written out.
    pub binds: BTreeSet<String>,
    /// Requests reach the branch's containers now.
    pub serving: bool,
    /// The routes of this very stack are published.
    pub published: bool,
    /// Recreate every container once more.
    pub recreate: bool,
    pub jobs: JobsDone,
    /// The archive from which the volumes are still to be filled.
    pub fill: Option<String>,
    /// It was put to sleep: whatever of it does not run is to run again.
    pub slept: bool,
}

/// Why a stack may not be brought up as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub reason: String,
}

/// Plan for running a stack.
///
/// # Errors
/// When a volume's definition changed: bringing the stack up would need a new volume and lose the data.
pub fn run(stack: &Stack, observed: &Observed, facts: &RunFacts) -> Result<Plan, Blocked> {
    refuse_changed_volumes(stack, observed)?;
    let (cut, observed) = interim::set_apart(observed);
    let mut plan = Plan::default();
    let observed = &wake::thaw(&observed, &mut plan);
    let replaced = replace_networks(stack, observed, facts, &mut plan);
    for network in &stack.networks {
        if find_network(observed, network).is_none() || replaced.contains(network.name.as_str()) {
            plan.push(
                Step::CreateNetwork { name: network.name.clone() },
                format!("{} asks for it", network.key),
            );
        }
    }
    make_volumes(stack, observed, facts, &mut plan);
    if stack.binds.iter().any(|bind| !facts.binds.contains(&bind.content_id)) {
        plan.push(Step::WriteBinds, "files of the checkout are bound that are not written out");
    }
    let makes = |step: &Step| {
        matches!(step, Step::CreateNetwork { .. } | Step::CreateVolume { .. } | Step::WriteBinds)
    };
    let is_whole = cut.is_empty() && !plan.steps.iter().any(|planned| makes(&planned.step));
    let starts = is_whole && wake::may_start(stack, observed, facts);
    let why_up = if starts {
        plan.push(Step::Start, "it slept, and all of it is there");
        None
    } else if replaced.is_empty() {
        why_up(stack, observed, facts)
    } else {
        Some("a network is new".to_owned())
    };
    if let Some(reason) = &why_up {
        if facts.serving && replaced.is_empty() {
            plan.push(Step::Hold, "containers may be replaced");
        }
        if replaced.is_empty() && facts.fill.is_none() {
            save_replaced(stack, observed, facts, &mut plan);
        }
        interim::remove(&cut, &mut plan);
        plan.push(Step::Up { recreate: facts.recreate }, reason.clone());
    }
    let goes_up = starts || why_up.is_some();
    let has_jobs = run_jobs(stack, facts, goes_up, &mut plan);
    if goes_up || has_jobs || !facts.published {
        let within_seconds = stack.readiness.within_seconds;
        plan.push(Step::AwaitReady { within_seconds }, "routes change only after readiness is proven");
        plan.push(Step::Publish, "the stack is ready");
    }
    if why_up.is_none() {
        interim::remove(&cut, &mut plan);
    }
    remove_leftovers(stack, observed, facts, &mut plan);
    Ok(plan)
}

fn make_volumes(stack: &Stack, observed: &Observed, facts: &RunFacts, plan: &mut Plan) {
    if facts.fill.is_some() {
        // What a try before this one left is half full at best, and a container may hold it.
        remove_containers(&observed.containers, "the volumes are filled anew", plan);
    }
    for volume in &stack.volumes {
        let is_there = observed.volumes.iter().any(|there| there.name == volume.name);
        if is_there && facts.fill.is_some() {
            plan.push(Step::RemoveVolume { name: volume.name.clone() }, "it may be half full");
        }
        if !is_there || facts.fill.is_some() {
            plan.push(
                Step::CreateVolume { name: volume.name.clone() },
                format!("{} asks for it", volume.key),
            );
        }
    }
    if let Some(archive) = &facts.fill {
        plan.push(Step::Fill { archive: archive.clone() }, "the environment comes out of it");
    }
}

/// The jobs that are due, between the start and the proof that the stack is ready. Says whether there are any.
fn run_jobs(stack: &Stack, facts: &RunFacts, goes_up: bool, plan: &mut Plan) -> bool {
    let due = |job: &Job| facts.jobs.why_run(job, goes_up).map(|reason| (job.clone(), reason));
    let due: Vec<_> = stack.settings.after_start.iter().filter_map(due).collect();
    if !due.is_empty() && !goes_up && facts.serving {
        plan.push(Step::Hold, "nobody is let in while a job runs");
    }
    let any = !due.is_empty();
    for (job, reason) in due {
        plan.push(Step::RunJob { job }, reason);
    }
    any
}

fn refuse_changed_volumes(stack: &Stack, observed: &Observed) -> Result<(), Blocked> {
    for wanted in &stack.volumes {
        let Some(there) = observed.volumes.iter().find(|there| there.name == wanted.name) else { continue };
        if there.definition.as_deref().is_some_and(|definition| definition != wanted.definition) {
            return Err(Blocked {
                reason: format!(
                    "volumes.{}: its definition (driver or driver_opts) changed, and a volume cannot be changed \
                     without losing its data; take the change back, give the volume another key, or destroy \
                     the environment (`drey env destroy`) and push again",
                    wanted.key
                ),
            });
        }
    }
    Ok(())
}

fn find_network<'a>(observed: &'a Observed, wanted: &NetworkSpec) -> Option<&'a Network> {
    observed.networks.iter().find(|there| there.name == wanted.name)
}

/// A network cannot be changed while containers are in it: they go first, volumes stay.
fn replace_networks<'a>(
    stack: &'a Stack,
    observed: &Observed,
    facts: &RunFacts,
    plan: &mut Plan,
) -> BTreeSet<&'a str> {
    let changed: BTreeSet<&str> = stack
        .networks
        .iter()
        .filter(|wanted| {
            find_network(observed, wanted)
                .and_then(|there| there.definition.as_deref())
                .is_some_and(|definition| definition != wanted.definition)
        })
        .map(|wanted| wanted.name.as_str())
        .collect();
    if !changed.is_empty() {
        if facts.serving {
            plan.push(Step::Hold, "containers are replaced");
        }
        save_logs(&observed.containers, plan);
        remove_containers(&observed.containers, "a network they are in has changed", plan);
        for name in &changed {
            plan.push(Step::RemoveNetwork { name: (*name).to_owned() }, "its definition changed");
        }
    }
    changed
}

fn why_up(stack: &Stack, observed: &Observed, facts: &RunFacts) -> Option<String> {
    if facts.recreate {
        return Some("a rebuild was asked for".to_owned());
    }
    match &facts.applied {
        None => return Some("this stack never ran".to_owned()),
        Some(applied) if applied.digest != stack.digest => return Some("the stack changed".to_owned()),
        Some(_) => {}
    }
    for (name, service) in &stack.services {
        let standing = observed
            .containers
            .iter()
            .filter(|container| container.service == *name && !container.oneoff)
            .filter(|container| match container.state {
                ContainerState::Running | ContainerState::Restarting => true,
                ContainerState::Exited(code) => service.may_complete && code == 0,
                ContainerState::Created | ContainerState::Paused | ContainerState::Dead => false,
            })
            .count();
        if standing < usize::try_from(service.replicas).unwrap_or(usize::MAX) {
            return Some(format!("{name} does not run"));
        }
    }
    None
}

fn remove_leftovers(stack: &Stack, observed: &Observed, facts: &RunFacts, plan: &mut Plan) {
    for network in &observed.networks {
        if !stack.networks.iter().any(|wanted| wanted.name == network.name) {
            plan.push(Step::RemoveNetwork { name: network.name.clone() }, "no service is in it any more");
        }
    }
    let wanted: BTreeSet<&str> = stack.binds.iter().map(|bind| bind.content_id.as_str()).collect();
    if facts.binds.iter().any(|there| !wanted.contains(there.as_str())) {
        plan.push(Step::PruneBinds, "no container binds them any more");
    }
}

/// What else is known when an environment is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndFacts {
    /// Requests reach the branch's containers.
    pub serving: bool,
    /// Id of the archive that is wanted; `None` when nothing is kept.
    pub archive: Option<String>,
    /// That archive is there and verified.
    pub archived: bool,
    /// Tags of images built for it.
    pub images: Vec<String>,
    pub has_files: bool,
    /// Its row already says that it is over.
    pub is_over: bool,
    /// What its stack wants done before the archive.
    pub before_archive: Vec<Job>,
    pub jobs: JobsDone,
}

/// Plan for ending an environment: route first, then the containers; nothing goes before it is archived.
/// Needs neither the repository nor the compose file.
pub fn end(observed: &Observed, facts: &EndFacts) -> Plan {
    let mut plan = Plan::default();
    if facts.serving {
        plan.push(Step::Withdraw, "the route goes first");
    }
    if facts.archive.is_some() && !facts.archived {
        run_last_jobs(observed, facts, &mut plan);
    }
    if observed.containers.iter().any(|container| is_active(container.state)) {
        plan.push(Step::Stop, "containers run");
    }
    if let Some(id) = facts.archive.as_ref().filter(|_| !facts.archived) {
        save_logs(&observed.containers, &mut plan);
        plan.push(Step::Archive { id: id.clone() }, "nothing is removed before it is kept");
    }
    remove_containers(&observed.containers, "the environment ends", &mut plan);
    for network in &observed.networks {
        plan.push(Step::RemoveNetwork { name: network.name.clone() }, "the environment ends");
    }
    for volume in &observed.volumes {
        plan.push(Step::RemoveVolume { name: volume.name.clone() }, "the environment ends");
    }
    for tag in &facts.images {
        plan.push(Step::RemoveImage { tag: tag.clone() }, "it goes, unless another environment uses it");
    }
    if facts.has_files {
        plan.push(Step::RemoveFiles, "the environment ends");
    }
    if !facts.is_over {
        plan.push(Step::Release, "nothing of it is left");
    }
    plan
}

fn run_last_jobs(observed: &Observed, facts: &EndFacts, plan: &mut Plan) {
    for job in &facts.before_archive {
        let Some(reason) = facts.jobs.why_run(job, false) else { continue };
        let job = job.clone();
        if readiness::running(observed, &job.service).is_some() {
            plan.push(Step::RunJob { job }, reason);
        } else {
            let reason = format!("{} does not run, and is not started to be ended", job.service);
            plan.push(Step::SkipJob { job }, reason);
        }
    }
}

/// Plan for taking back a first deployment that failed: containers and networks go, volumes stay.
pub fn clear(observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    save_logs(&observed.containers, &mut plan);
    remove_containers(&observed.containers, "the first deployment failed", &mut plan);
    for network in &observed.networks {
        plan.push(Step::RemoveNetwork { name: network.name.clone() }, "the first deployment failed");
    }
    plan
}

/// The logs of what `up` will replace, or may replace where it is not known what runs.
fn save_replaced(stack: &Stack, observed: &Observed, facts: &RunFacts, plan: &mut Plan) {
    let known = facts.applied.as_ref().filter(|_| !facts.recreate);
    let replaced = known.map(|applied| replaced::services(applied, stack));
    let goes = |container: &&Container| {
        replaced.as_ref().is_none_or(|services| services.contains(container.service.as_str()))
    };
    save_logs(observed.containers.iter().filter(goes), plan);
}

fn save_logs<'a>(containers: impl IntoIterator<Item = &'a Container>, plan: &mut Plan) {
    for container in containers {
        // What never ran wrote nothing.
        if container.state != ContainerState::Created {
            let (container, name) = (container.id.clone(), container.name.clone());
            plan.push(Step::SaveLogs { container, name }, "they go with the container");
        }
    }
}

fn remove_containers(containers: &[Container], reason: &str, plan: &mut Plan) {
    for container in containers {
        let (id, name) = (container.id.clone(), container.name.clone());
        plan.push(Step::RemoveContainer { id, name }, reason);
    }
}

fn is_active(state: ContainerState) -> bool {
    match state {
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => true,
        ContainerState::Created | ContainerState::Exited(_) | ContainerState::Dead => false,
    }
}

#[cfg(test)]
mod tests;
