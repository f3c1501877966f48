//! What is done with an event in the moment that it is stored. Pure.

use super::environment::{Environment, Phase};
use super::event::{Event, EventKind, EventState};
use super::fold::{Change, Consequence, Situation, fold};

/// What a push means for a deployment that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Superseded {
    /// The newer one takes its place.
    #[default]
    Replace,
    /// The newer one waits for its end; of several that wait only the newest is deployed.
    Queue,
}

impl Superseded {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Queue => "queue",
        }
    }
}

/// How far the event comes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    Settled {
        state: EventState,
        reason: Option<String>,
    },
    /// Pending until git was asked.
    Judged,
    /// Pending until the archive is removed.
    Removed,
    /// Pending until the running deployment of the branch's environment has come to its end.
    Waits,
    /// Pending until somebody looks.
    Later,
}

/// What follows from an event, and what becomes of the event itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub change: Change,
    pub course: Course,
    /// `deploying`, `ending`, `checking`, `removing`, `queued`, `ignored` or `unchanged`: for whoever sent it.
    pub action: &'static str,
}

impl Verdict {
    /// Nothing yet.
    pub fn later() -> Self {
        Self { change: unchanged(""), course: Course::Later, action: "unchanged" }
    }
}

/// Decides about one event. Without a situation its repository is not configured.
pub fn verdict(event: &Event, situation: Option<Situation<'_>>, superseded: Superseded) -> Verdict {
    if matches!(event.kind, EventKind::ArchiveRemoval { .. }) {
        return Verdict { change: unchanged(""), course: Course::Removed, action: "removing" };
    }
    let Some(situation) = situation else { return settled("ignored", "the repository is not configured") };
    let Consequence { judge, change } = fold(event, situation);
    if judge {
        return Verdict { change, course: Course::Judged, action: "checking" };
    }
    if superseded == Superseded::Queue
        && event.kind.is_push()
        && matches!(change, Change::Intend { .. })
        && situation.environment.is_some_and(is_deploying)
    {
        let reason = "it waits for the running deployment";
        return Verdict { change: unchanged(reason), course: Course::Waits, action: "queued" };
    }
    match change {
        Change::Create { .. } => follows(change, "deploying"),
        Change::Intend { ref intent, .. } => {
            let action = intent.action();
            follows(change, action)
        }
        Change::Nothing { reason } if situation.wanted.is_err() || event.skip => settled("ignored", &reason),
        Change::Nothing { reason } => settled("unchanged", &reason),
    }
}

/// A deployment that has begun and may come to a good end; one that waits for its turn is none.
fn is_deploying(environment: &Environment) -> bool {
    environment.has_work()
        && environment.intent.runs()
        && environment.phase != Phase::Queued
        && !environment.phase.is_settled()
}

fn follows(change: Change, action: &'static str) -> Verdict {
    Verdict { change, course: Course::Settled { state: EventState::Done, reason: None }, action }
}

fn settled(action: &'static str, reason: &str) -> Verdict {
    let state = if action == "ignored" { EventState::Ignored } else { EventState::Done };
    let reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
    Verdict {
        change: unchanged(reason.as_deref().unwrap_or_default()),
        course: Course::Settled { state, reason },
        action,
    }
}

fn unchanged(reason: &str) -> Change {
    Change::Nothing { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::environment::{Intent, Outcome, Phase};
    use crate::domain::event::{EventId, EventSource};
    use crate::domain::names::{
        BranchName, CommitSha, EnvironmentId, Generation, InstanceId, ProjectName, RepoName, Slug,
    };
    use crate::domain::time::Timestamp;

    fn sha(digit: char) -> CommitSha {
        CommitSha::parse(&digit.to_string().repeat(40)).unwrap()
    }

    fn branch() -> BranchName {
        BranchName::parse("feature/x").unwrap()
    }

    fn event(kind: EventKind) -> Event {
        Event {
            id: EventId(1),
            source: EventSource::Git,
            repo: RepoName::parse("shop").unwrap(),
            kind,
            delivery_id: None,
            skip: false,
            received_at: Timestamp::from_millis(0),
            state: EventState::Pending,
            reason: None,
        }
    }

    fn push(digit: char) -> Event {
        event(EventKind::BranchPushed { branch: branch(), before: sha('0'), commit: sha(digit) })
    }

    /// At commit `a`, in its second generation.
    fn at(phase: Phase, settled: i64, intent: Intent) -> Environment {
        let slug = Slug::parse("feature-x").unwrap();
        Environment {
            id: EnvironmentId(1),
            repo: RepoName::parse("shop").unwrap(),
            branch: branch(),
            project: ProjectName::new(&InstanceId("abc234".into()), EnvironmentId(1), &slug),
            slug,
            intent,
            generation: Generation(2),
            run_generation: Generation(2),
            settled_generation: Generation(settled),
            phase,
            reason: None,
            serving: true,
            commit: Some(sha('a')),
            running_commit: Some(sha('a')),
            had_own_commit: true,
            ending: None,
            restored: None,
            pinned: false,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            last_visited_at: None,
            active_at: Timestamp::from_millis(0),
            version: 1,
        }
    }

    fn run() -> Intent {
        Intent::Run { commit: Some(sha('a')), rebuild: false, pull: false }
    }

    fn of(event: &Event, environment: &Environment, superseded: Superseded) -> Verdict {
        let now = Timestamp::from_millis(100);
        let environment = Some(environment);
        verdict(
            event,
            Some(Situation { environment, is_main: false, wanted: Ok(()), pulls: &[], now }),
            superseded,
        )
    }

    #[test]
    fn a_push_waits_only_where_that_is_wanted_and_a_deployment_runs() {
        let building = at(Phase::Building, 1, run());
        assert_eq!(of(&push('b'), &building, Superseded::Replace).action, "deploying");
        let queued = of(&push('b'), &building, Superseded::Queue);
        assert_eq!((queued.action, queued.course), ("queued", Course::Waits));
        assert!(matches!(queued.change, Change::Nothing { .. }));
        assert_eq!(of(&push('a'), &building, Superseded::Queue).action, "unchanged");
        for (phase, settled) in [(Phase::Queued, 1), (Phase::Ready, 2), (Phase::Failed, 2)] {
            let still = at(phase, settled, run());
            assert_eq!(of(&push('b'), &still, Superseded::Queue).action, "deploying", "{phase:?}");
        }
    }

    #[test]
    fn ends_and_what_a_person_asks_for_never_wait() {
        let building = at(Phase::Building, 1, run());
        let asked = event(EventKind::DeployRequested { branch: branch(), rebuild: true, pull: false });
        assert_eq!(of(&asked, &building, Superseded::Queue).action, "deploying");
        let end = event(EventKind::EndRequested { branch: branch(), archive: true });
        assert_eq!(of(&end, &building, Superseded::Queue).action, "ending");
        let ending = at(Phase::Archiving, 1, Intent::End { outcome: Outcome::Merged, archive: true });
        assert_eq!(of(&push('b'), &ending, Superseded::Queue).action, "deploying");
    }

    #[test]
    fn who_settles_an_event_is_said() {
        let unknown = verdict(&push('b'), None, Superseded::Replace);
        assert!(matches!(unknown.course, Course::Settled { state: EventState::Ignored, reason: Some(_) }));
        let ready = at(Phase::Ready, 2, run());
        let gone = event(EventKind::BranchDeleted { branch: branch(), before: Some(sha('a')) });
        let verdict = of(&gone, &ready, Superseded::Replace);
        assert_eq!((verdict.action, verdict.course), ("checking", Course::Judged));
        let skipped = Event { skip: true, ..push('b') };
        assert_eq!(of(&skipped, &ready, Superseded::Queue).action, "ignored");
    }
}
