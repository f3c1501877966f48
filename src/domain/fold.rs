//! From an event to what follows from it, given what is known of its branch. Pure.

use super::environment::{Environment, Intent, Outcome, Phase};
use super::event::{Event, EventKind, PullChange};
use super::names::CommitSha;
use super::pull_request::{self, Head, PullRequest, PullState};
use super::time::Timestamp;

/// What is known of the event's branch.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The branch's environment, unless it is over.
    pub environment: Option<&'a Environment>,
    /// The branch is the repository's main branch.
    pub is_main: bool,
    /// Whether the configuration wants an environment for this branch, given its pull requests, else why not.
    pub wanted: Result<(), &'a str>,
    /// Its pull requests.
    pub pulls: &'a [PullRequest],
    pub now: Timestamp,
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// The refs of the repository have to be compared with what is known.
    pub judge: bool,
    pub change: Change,
}

/// What happens to the environment of the event's branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing, and why.
    Nothing { reason: String },
    /// There is none yet: one is made, where an archive is named out of that.
    Create { intent: Intent, commit: Option<CommitSha>, archive: Option<String> },
    /// A new generation of the one that is there.
    Intend { intent: Intent, commit: Option<CommitSha> },
}

impl Change {
    /// Why nothing follows.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Nothing { reason } => Some(reason.as_str()).filter(|reason| !reason.is_empty()),
            Self::Create { .. } | Self::Intend { .. } => None,
        }
    }
}

/// Folds one event.
pub fn fold(event: &Event, situation: Situation<'_>) -> Consequence {
    if event.skip {
        return nothing("skipped by the push option drey.skip");
    }
    match &event.kind {
        EventKind::BranchCreated { commit: None, .. } if situation.environment.is_some() => {
            Consequence { judge: true, ..nothing("git is asked where it is") }
        }
        EventKind::BranchCreated { commit, .. } => {
            let change = pushed(commit.clone().map(Head::from).as_ref(), situation);
            Consequence { judge: situation.is_main || is_merged_away(situation), change }
        }
        EventKind::BranchPushed { commit, .. } => {
            let change = pushed(Some(&commit.clone().into()), situation);
            Consequence { judge: situation.is_main || is_merged_away(situation), change }
        }
        EventKind::PullRequest { change, pull } => told(*change, pull, situation),
        EventKind::BranchDeleted { .. } => match situation.environment {
            Some(_) => Consequence { judge: true, ..nothing("git is asked whether it is gone") },
            None => nothing("the branch has no environment"),
        },
        EventKind::Look => Consequence { judge: true, ..nothing("git is asked") },
        EventKind::DeployRequested { rebuild, pull, .. } => {
            Consequence { judge: false, change: requested(*rebuild, *pull, situation) }
        }
        EventKind::RestoreRequested { archive, commit, .. } => {
            Consequence { judge: false, change: restored(archive, commit, situation) }
        }
        EventKind::EndRequested { archive, .. } => ended(Outcome::Manual, *archive, situation),
        EventKind::EndDue { .. } => match situation.environment.and_then(|environment| environment.ending) {
            Some(ending) if ending.due_at <= situation.now => ended(ending.outcome, true, situation),
            Some(_) => nothing("its time has not come"),
            None => nothing("the branch moved on"),
        },
        EventKind::Drifted { .. } => Consequence { judge: false, change: drifted(situation) },
        EventKind::SleepRequested { why, gives_way, .. } => {
            let intent = Intent::Sleep { why: why.clone(), gives_way: *gives_way };
            Consequence { judge: false, change: put_to_sleep(intent, situation) }
        }
        EventKind::WakeRequested { .. } => Consequence { judge: false, change: woken(situation) },
        EventKind::Expired { .. } => ended(Outcome::Expired, true, situation),
        EventKind::ArchiveRemoval { .. } => nothing("the branch is not concerned"),
        EventKind::Ping => nothing("the forge reaches drey"),
        EventKind::TagCreated { .. } | EventKind::TagDeleted { .. } | EventKind::Ignored { .. } => {
            nothing("not a branch")
        }
    }
}

/// The forge told of a merge, and of no pull request that is open still: a push may have been told late.
fn is_merged_away(situation: Situation<'_>) -> bool {
    let is = |state| situation.pulls.iter().any(|pull| pull.state == state);
    is(PullState::Merged) && !is(PullState::Open)
}

fn pushed(head: Option<&Head>, situation: Situation<'_>) -> Change {
    if let Err(reason) = situation.wanted {
        return Change::Nothing { reason: reason.to_owned() };
    }
    let commit = head.and_then(Head::full);
    if situation.environment.is_none()
        && !situation.is_main
        && commit.as_ref().is_some_and(|commit| pull_request::is_merged(situation.pulls, commit))
    {
        return Change::Nothing { reason: "it was merged at this commit".to_owned() };
    }
    let intent = Intent::Run { commit: commit.clone(), rebuild: false, pull: false };
    match situation.environment {
        None => Change::Create { intent, commit, archive: None },
        Some(environment) if head.is_some_and(|head| runs_or_will_run(environment, head)) => {
            Change::Nothing { reason: "the environment is at this commit".to_owned() }
        }
        Some(environment) => Change::Intend { intent, commit: commit.or_else(|| environment.commit.clone()) },
    }
}

/// The commit is what the newest intent is about, and that was neither ended nor did it fail.
fn runs_or_will_run(environment: &Environment, head: &Head) -> bool {
    let is_at = |commit: &Option<CommitSha>| commit.as_ref().is_some_and(|commit| head.is(commit));
    !environment.intent.ends()
        && environment.ending.is_none()
        && is_at(&environment.commit)
        && (environment.has_work()
            || (is_at(&environment.running_commit) && environment.phase != Phase::Failed))
}

/// An open one is a push of its branch; for all else git and the other pull requests are asked whether the environment
/// has a right to be there.
fn told(change: PullChange, pull: &PullRequest, situation: Situation<'_>) -> Consequence {
    let known = situation.pulls.iter().find(|known| known.number == pull.number);
    let is_open = known.is_none_or(|known| known.state == PullState::Open);
    // This delivery may be late.
    let head = known.map_or(&pull.head, |known| &known.head);
    let is_there = situation.environment.is_some_and(|environment| !environment.intent.ends());
    match change {
        PullChange::Described | PullChange::Marked => nothing("nothing of it counts"),
        PullChange::Closed | PullChange::Merged if is_there => {
            Consequence { judge: true, ..nothing("git is asked what became of the branch") }
        }
        PullChange::Closed | PullChange::Merged => nothing("the branch has no environment"),
        PullChange::Opened | PullChange::Updated | PullChange::Reopened if !is_open => {
            nothing("it was closed later than this")
        }
        PullChange::Opened | PullChange::Updated | PullChange::Reopened => {
            let change = pushed(head.as_ref(), situation);
            Consequence { judge: situation.wanted.is_err() && is_there, change }
        }
    }
}

fn requested(rebuild: bool, pull: bool, situation: Situation<'_>) -> Change {
    let intent = Intent::Run { commit: None, rebuild, pull };
    match (situation.environment, situation.wanted) {
        (Some(environment), _) => Change::Intend { intent, commit: environment.commit.clone() },
        (None, Ok(())) => Change::Create { intent, commit: None, archive: None },
        (None, Err(reason)) => Change::Nothing { reason: reason.to_owned() },
    }
}

/// What the configuration wants of branches does not count: a person asked for this one.
fn restored(archive: &str, commit: &CommitSha, situation: Situation<'_>) -> Change {
    let is_from_it = |environment: &Environment| {
        environment.restored.as_ref().is_some_and(|restored| restored.archive == archive)
    };
    match situation.environment {
        None => Change::Create {
            intent: Intent::Run { commit: Some(commit.clone()), rebuild: false, pull: false },
            commit: Some(commit.clone()),
            archive: Some(archive.to_owned()),
        },
        Some(environment) if is_from_it(environment) => {
            Change::Nothing { reason: "it is restored already".to_owned() }
        }
        Some(_) => Change::Nothing { reason: "the branch has an environment".to_owned() },
    }
}

/// What stands still, and ran, is put right; what is being worked on, sleeps or failed is not.
fn drifted(situation: Situation<'_>) -> Change {
    let nothing = |reason: &str| Change::Nothing { reason: reason.to_owned() };
    match situation.environment {
        None => nothing("the branch has no environment"),
        Some(environment) if environment.has_work() => nothing("it is worked on already"),
        Some(environment) if environment.intent.runs() && environment.phase == Phase::Ready => {
            Change::Intend { intent: Intent::Repair, commit: environment.commit.clone() }
        }
        Some(_) => nothing("nothing of it is to run"),
    }
}

fn put_to_sleep(intent: Intent, situation: Situation<'_>) -> Change {
    let nothing = |reason: &str| Change::Nothing { reason: reason.to_owned() };
    let Some(environment) = situation.environment else { return nothing("the branch has no environment") };
    match environment.intent {
        Intent::End { .. } => nothing("it is ending"),
        Intent::Sleep { .. } => nothing("it sleeps already"),
        Intent::Run { .. } | Intent::Wake | Intent::Repair if environment.has_work() => {
            nothing("it is being deployed")
        }
        Intent::Run { .. } | Intent::Wake | Intent::Repair if environment.running_commit.is_none() => {
            nothing("nothing of it runs")
        }
        Intent::Run { .. } | Intent::Wake | Intent::Repair => {
            Change::Intend { intent, commit: environment.commit.clone() }
        }
    }
}

fn woken(situation: Situation<'_>) -> Change {
    let nothing = |reason: &str| Change::Nothing { reason: reason.to_owned() };
    let Some(environment) = situation.environment else { return nothing("the branch has no environment") };
    let stood_up = matches!(environment.intent, Intent::Wake) && environment.phase == Phase::Failed;
    match environment.intent {
        Intent::Sleep { .. } => {}
        Intent::Wake if stood_up && !environment.has_work() => {}
        Intent::Run { .. } | Intent::Wake | Intent::Repair => return nothing("it does not sleep"),
        Intent::End { .. } => return nothing("it is ending; a deployment takes that back"),
    }
    Change::Intend { intent: Intent::Wake, commit: environment.commit.clone() }
}

fn ended(outcome: Outcome, archive: bool, situation: Situation<'_>) -> Consequence {
    match situation.environment {
        None => nothing("the branch has no environment"),
        Some(environment) if environment.has_work() && ends_so(&environment.intent, archive) => {
            nothing("it is ending already")
        }
        Some(environment) => Consequence {
            judge: false,
            change: Change::Intend {
                intent: again(&environment.intent, outcome, archive),
                commit: environment.commit.clone(),
            },
        },
    }
}

/// Whoever wants nothing kept need not wait for an archive that is being made.
fn ends_so(intent: &Intent, archive: bool) -> bool {
    match intent {
        Intent::End { archive: kept, .. } => archive || !kept,
        Intent::Run { .. } | Intent::Wake | Intent::Repair | Intent::Sleep { .. } => false,
    }
}

/// An end that failed is tried again for its own reason; whoever wants nothing kept gets it through.
fn again(before: &Intent, outcome: Outcome, archive: bool) -> Intent {
    match before {
        Intent::End { outcome, archive: kept } => {
            Intent::End { outcome: *outcome, archive: *kept && archive }
        }
        Intent::Run { .. } | Intent::Wake | Intent::Repair | Intent::Sleep { .. } => {
            Intent::End { outcome, archive }
        }
    }
}

fn nothing(reason: &str) -> Consequence {
    Consequence { judge: false, change: Change::Nothing { reason: reason.to_owned() } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::environment::{Ending, Restored, sample};
    use crate::domain::event::{EventId, EventSource, EventState};
    use crate::domain::names::{BranchName, Generation, RepoName};

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

    fn ready(commit: CommitSha) -> Environment {
        Environment { commit: Some(commit.clone()), running_commit: Some(commit.clone()), ..at(commit) }
    }

    fn at(commit: CommitSha) -> Environment {
        let intent = Intent::Run { commit: Some(commit), rebuild: false, pull: false };
        Environment { intent, ..sample("feature/x") }
    }

    fn situation(environment: Option<&Environment>) -> Situation<'_> {
        Situation {
            environment,
            is_main: false,
            wanted: Ok(()),
            pulls: &[],
            now: Timestamp::from_millis(100),
        }
    }

    fn push(commit: CommitSha) -> Event {
        event(EventKind::BranchPushed { branch: branch(), before: sha('0'), commit })
    }

    #[test]
    fn a_first_push_creates_and_the_next_intends() {
        let created = fold(&push(sha('a')), situation(None)).change;
        assert!(matches!(created, Change::Create { .. }));
        let there = ready(sha('a'));
        let moved = fold(&push(sha('b')), situation(Some(&there))).change;
        assert!(matches!(moved, Change::Intend { intent: Intent::Run { .. }, .. }));
    }

    #[test]
    fn a_doubled_push_changes_nothing_unless_the_first_failed_or_the_end_is_near() {
        let there = ready(sha('a'));
        assert!(matches!(fold(&push(sha('a')), situation(Some(&there))).change, Change::Nothing { .. }));
        let failed = Environment { running_commit: None, phase: Phase::Failed, ..ready(sha('a')) };
        assert!(matches!(fold(&push(sha('a')), situation(Some(&failed))).change, Change::Intend { .. }));
        let crashed = Environment { phase: Phase::Failed, ..ready(sha('a')) };
        assert!(matches!(fold(&push(sha('a')), situation(Some(&crashed))).change, Change::Intend { .. }));
        let ending = Ending { outcome: Outcome::Deleted, due_at: Timestamp::from_millis(500) };
        let leaving = Environment { ending: Some(ending), ..ready(sha('a')) };
        assert!(matches!(fold(&push(sha('a')), situation(Some(&leaving))).change, Change::Intend { .. }));
    }

    #[test]
    fn an_archive_becomes_an_environment_once_whatever_the_configuration_wants() {
        let asked = |archive: &str| {
            let archive = archive.to_owned();
            event(EventKind::RestoreRequested { branch: branch(), archive, commit: sha('a') })
        };
        let unwanted = Situation { wanted: Err("ignored by the configuration"), ..situation(None) };
        let change = fold(&asked("x-1-1"), unwanted).change;
        assert!(matches!(change, Change::Create { archive: Some(archive), .. } if archive == "x-1-1"));
        let from_it = Restored { archive: "x-1-1".to_owned(), is_filled: true, follows_branch: false };
        let there = Environment { restored: Some(from_it), ..ready(sha('a')) };
        for (archive, reason) in [("x-1-1", "already"), ("x-2-1", "has an environment")] {
            let change = fold(&asked(archive), situation(Some(&there))).change;
            assert!(matches!(change, Change::Nothing { reason: told } if told.contains(reason)));
        }
    }

    #[test]
    fn skipped_unwanted_and_main_pushes_start_nothing() {
        let skipped = Event { skip: true, ..push(sha('a')) };
        assert!(matches!(fold(&skipped, situation(None)).change, Change::Nothing { .. }));
        let unwanted = Situation { wanted: Err("ignored by the configuration"), ..situation(None) };
        assert!(matches!(fold(&push(sha('a')), unwanted).change, Change::Nothing { .. }));
        let main = Situation { is_main: true, wanted: Err("it is the main branch"), ..situation(None) };
        let consequence = fold(&push(sha('a')), main);
        assert!(consequence.judge && matches!(consequence.change, Change::Nothing { .. }));
    }

    #[test]
    fn an_end_comes_when_it_is_due_and_not_before() {
        let ending = Ending { outcome: Outcome::Merged, due_at: Timestamp::from_millis(100) };
        let leaving = Environment { ending: Some(ending), ..ready(sha('a')) };
        let due = event(EventKind::EndDue { branch: branch() });
        let change = fold(&due, situation(Some(&leaving))).change;
        let end = Intent::End { outcome: Outcome::Merged, archive: true };
        assert_eq!(change, Change::Intend { intent: end, commit: Some(sha('a')) });
        let early = Situation { now: Timestamp::from_millis(99), ..situation(Some(&leaving)) };
        assert!(matches!(fold(&due, early).change, Change::Nothing { .. }));
    }

    #[test]
    fn an_end_that_failed_is_tried_again_for_its_own_reason() {
        let intent = Intent::End { outcome: Outcome::Merged, archive: true };
        let stuck = Environment { intent: intent.clone(), phase: Phase::Failed, ..ready(sha('a')) };
        let asked = |archive| {
            let event = event(EventKind::EndRequested { branch: branch(), archive });
            fold(&event, situation(Some(&stuck))).change
        };
        assert_eq!(asked(true), Change::Intend { intent, commit: Some(sha('a')) });
        let nothing_kept = Intent::End { outcome: Outcome::Merged, archive: false };
        assert_eq!(asked(false), Change::Intend { intent: nothing_kept, commit: Some(sha('a')) });
    }

    #[test]
    fn an_end_under_way_is_not_begun_again_unless_nothing_is_to_be_kept_any_more() {
        let asked = |kept, archive| {
            let intent = Intent::End { outcome: Outcome::Merged, archive: kept };
            let present = ready(sha('a'));
            let generation = Generation(present.generation.0 + 1);
            let ending = Environment { intent, phase: Phase::Archiving, generation, ..present };
            let event = event(EventKind::EndRequested { branch: branch(), archive });
            fold(&event, situation(Some(&ending))).change
        };
        for (kept, archive) in [(true, true), (false, true), (false, false)] {
            assert!(matches!(asked(kept, archive), Change::Nothing { .. }), "{kept} {archive}");
        }
        let destroy = Intent::End { outcome: Outcome::Merged, archive: false };
        assert_eq!(asked(true, false), Change::Intend { intent: destroy, commit: Some(sha('a')) });
    }

    #[test]
    fn what_stands_still_sleeps_and_wakes_and_what_is_touched_is_repaired() {
        let there = ready(sha('a'));
        let change =
            |kind, environment: &Environment| fold(&event(kind), situation(Some(environment))).change;
        let sleep =
            || EventKind::SleepRequested { branch: branch(), why: "quiet".to_owned(), gives_way: false };
        let wake = || EventKind::WakeRequested { branch: branch() };
        let drifted = || EventKind::Drifted { branch: branch() };
        let intent = |intent| Change::Intend { intent, commit: Some(sha('a')) };
        assert_eq!(
            change(sleep(), &there),
            intent(Intent::Sleep { why: "quiet".to_owned(), gives_way: false })
        );
        assert_eq!(change(drifted(), &there), intent(Intent::Repair));
        assert!(matches!(change(wake(), &there), Change::Nothing { .. }));
        let intent_of = |intent, phase| Environment { intent, phase, serving: false, ..ready(sha('a')) };
        let asleep = intent_of(Intent::Sleep { why: "quiet".to_owned(), gives_way: false }, Phase::Asleep);
        assert_eq!(change(wake(), &asleep), intent(Intent::Wake));
        assert!(matches!(change(sleep(), &asleep), Change::Nothing { .. }));
        assert!(matches!(change(drifted(), &asleep), Change::Nothing { .. }));
        let same = fold(&push(sha('a')), situation(Some(&asleep))).change;
        assert!(matches!(same, Change::Nothing { .. }), "a doubled push wakes nobody");
        let next = fold(&push(sha('b')), situation(Some(&asleep))).change;
        assert!(matches!(next, Change::Intend { intent: Intent::Run { .. }, .. }));
        let lay = intent_of(Intent::Wake, Phase::Failed);
        assert_eq!(change(wake(), &lay), intent(Intent::Wake), "who did not wake may be woken again");
        let ending = intent_of(Intent::End { outcome: Outcome::Merged, archive: true }, Phase::Failed);
        for kind in [sleep(), wake(), drifted()] {
            assert!(matches!(change(kind, &ending), Change::Nothing { .. }));
        }
        let busy = Environment { generation: Generation(2), ..ready(sha('a')) };
        for kind in [sleep(), drifted()] {
            assert!(matches!(change(kind, &busy), Change::Nothing { .. }));
        }
        let expired = EventKind::Expired { branch: branch(), why: "old".to_owned() };
        let end = Intent::End { outcome: Outcome::Expired, archive: true };
        assert_eq!(change(expired, &asleep), intent(end));
    }

    #[test]
    fn what_a_forge_merged_is_brought_back_by_no_late_word() {
        let merged = PullRequest { state: PullState::Merged, ..pull_request::sample(1, "feature/x", 'a') };
        let open = PullRequest { number: 2, state: PullState::Open, ..merged.clone() };
        let told = |change, pull: &PullRequest| {
            event(EventKind::PullRequest { change, pull: Box::new(pull.clone()) })
        };
        let known = |pulls| Situation { pulls, ..situation(None) };
        let alone = [merged.clone()];
        assert!(matches!(fold(&push(sha('a')), known(&alone)).change, Change::Nothing { .. }));
        let later = fold(&push(sha('b')), known(&alone));
        assert!(
            later.judge && matches!(later.change, Change::Create { .. }),
            "git is asked whether it is late"
        );
        let both = [open.clone(), merged.clone()];
        assert!(
            matches!(fold(&push(sha('a')), known(&both)).change, Change::Create { .. }),
            "it is proposed anew"
        );
        let opened = fold(&told(PullChange::Opened, &open), known(&both));
        assert!(!opened.judge && matches!(opened.change, Change::Create { .. }));
        let late = told(PullChange::Opened, &PullRequest { state: PullState::Open, ..merged.clone() });
        assert!(matches!(fold(&late, known(&alone)).change, Change::Nothing { .. }));

        let newer = pull_request::sample(2, "feature/x", 'c');
        let late = fold(&told(PullChange::Updated, &open), known(std::slice::from_ref(&newer))).change;
        let Change::Create { commit, .. } = late else { panic!("{late:?}") };
        assert_eq!(commit, Some(sha('c')), "the forge told something newer before");
    }

    #[test]
    fn a_deletion_is_checked_with_git_first() {
        let there = ready(sha('a'));
        let gone = event(EventKind::BranchDeleted { branch: branch(), before: Some(sha('a')) });
        let consequence = fold(&gone, situation(Some(&there)));
        assert!(consequence.judge && matches!(consequence.change, Change::Nothing { .. }));
        assert!(!fold(&gone, situation(None)).judge);
    }
}
