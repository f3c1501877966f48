use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::environment::{Ending, Phase, sample};
use crate::domain::names::Generation;
use crate::domain::time::Timestamp;

const URL: &str = "https://a.qa.example";

fn reported<'a>(environment: &'a Environment, services: &'a [ServiceLine]) -> Reported<'a> {
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    Reported {
        environment,
        url: URL,
        services,
        rules: Rules { sleep_after: hours(1), expire_after: hours(48), ..Rules::default() },
        before: None,
        is_passed_over: false,
        pull_is_closed: false,
    }
}

fn pull(target: &str, behind: Option<u64>) -> PullLine {
    PullLine { number: 7, target: BranchName::parse(target).unwrap(), behind }
}

fn service(name: &str, is_up: bool) -> ServiceLine {
    ServiceLine { name: name.to_owned(), is_up, url: Some(URL.to_owned()) }
}

fn said(environment: &Environment) -> Option<(StatusState, String)> {
    status(&reported(environment, &[])).map(|report| (report.state, report.description))
}

fn in_phase(phase: Phase, reason: &str) -> Environment {
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    Environment { phase, reason, ..sample("feature/x") }
}

#[test]
fn every_phase_has_its_status() {
    use StatusState::{Failure, Pending, Running, Success};
    for (phase, reason, state, text) in [
        (Phase::Queued, "", Pending, "its turn comes next"),
        (Phase::Queued, "waits for a place", Pending, "waits for a place"),
        (Phase::Building, "", Running, "deploying"),
        (Phase::Waking, "", Success, "asleep, opens by itself"),
        (Phase::Ready, "", Success, "ready"),
        (Phase::Asleep, "", Success, "asleep, opens by itself"),
        (Phase::Failed, "web: exited\nPASSWORD=x", Failure, "failed: web: exited"),
        (Phase::Blocked, "privileged is refused", Failure, "blocked: privileged is refused"),
        (Phase::Blocked, "waits for approval of abc", Pending, "waits for approval of abc"),
    ] {
        assert_eq!(said(&in_phase(phase, reason)), Some((state, text.to_owned())), "{phase:?}");
    }
    assert_eq!(said(&in_phase(Phase::Archiving, "")), None);
    let settling = Environment { generation: Generation(2), ..in_phase(Phase::Ready, "") };
    assert_eq!(said(&settling).unwrap().0, Success);
    let commit = CommitSha::parse(&"b".repeat(40)).ok();
    let pushed = Environment { commit, ..settling };
    assert_eq!(said(&pushed).unwrap().0, Pending, "the new commit does not run yet");
    let unknown = Environment { commit: None, ..in_phase(Phase::Ready, "") };
    assert_eq!(said(&unknown), None);
    let gone = Environment { running_commit: None, ..in_phase(Phase::Waking, "") };
    assert_eq!(said(&gone), Some((Running, "waking".to_owned())));
}

fn ending(phase: Phase, outcome: Outcome) -> Environment {
    let intent = Intent::End { outcome, archive: phase != Phase::Destroyed };
    let running_commit = in_phase(phase, "").running_commit.filter(|_| !phase.is_over());
    Environment { intent, running_commit, ..in_phase(phase, "") }
}

fn said_after(before: StatusState, environment: &Environment) -> Option<(StatusState, String)> {
    let reported = Reported { before: Some(before), ..reported(environment, &[]) };
    status(&reported).map(|report| (report.state, report.description))
}

#[test]
fn the_end_is_the_last_word() {
    let merged = ending(Phase::Archived, Outcome::Merged);
    let text = "merged; archived as a-1-1".to_owned();
    assert_eq!(said_after(StatusState::Success, &merged), Some((StatusState::Success, text)));
    let told = deployments(&reported(&in_phase(Phase::Ready, ""), &[])).remove(0);
    assert_eq!(deployments(&reported(&merged, &[])), []);
    let Some(Report::Deployment(gone)) = last_word(&reported(&merged, &[]), &Report::Deployment(told)) else {
        panic!("it runs no more")
    };
    assert_eq!(gone.state, Rollout::Inactive);
    assert_eq!(gone.description, "merged; archived as a-1-1");
    let reason = Some("no space".to_owned());
    let stuck = Environment { reason, ..ending(Phase::Failed, Outcome::Merged) };
    let text = "it cannot be taken down: no space".to_owned();
    assert_eq!(said_after(StatusState::Success, &stuck), Some((StatusState::Success, text)));
    let destroyed = ending(Phase::Destroyed, Outcome::Manual);
    let text = "ended because somebody asked for it; nothing is kept";
    assert_eq!(said_after(StatusState::Success, &destroyed).unwrap().1, text);
}

#[test]
fn an_end_makes_no_commit_good() {
    for before in [StatusState::Pending, StatusState::Running, StatusState::Failure, StatusState::Success] {
        for outcome in [Outcome::Merged, Outcome::Deleted, Outcome::Expired, Outcome::Manual] {
            for phase in [Phase::Archived, Phase::Destroyed] {
                assert_eq!(said_after(before, &ending(phase, outcome)).unwrap().0, before);
            }
        }
    }
    assert_eq!(said(&ending(Phase::Archived, Outcome::Merged)), None, "nothing was said of it");
    // It was ready, and ended before that was said.
    let leaving = ending(Phase::Archiving, Outcome::Merged);
    assert_eq!(said_after(StatusState::Running, &leaving).unwrap().0, StatusState::Success);
    assert_eq!(said_after(StatusState::Failure, &leaving), None);
}

#[test]
fn an_end_says_what_it_came_of() {
    let told = |environment: &Environment, pull_is_closed: bool| {
        let reported = Reported { pull_is_closed, ..reported(environment, &[]) };
        comment(&reported, &pull("main", None)).body
    };
    let idle = ending(Phase::Archived, Outcome::Expired);
    assert!(told(&idle, true).contains("nobody wanted it for too long"));
    let due = Some(Ending { outcome: Outcome::Expired, due_at: Timestamp::from_millis(0) });
    let lost = Environment { ending: due, ..idle };
    assert!(told(&lost, true).contains("archived** · its pull request was closed"));
    assert!(told(&lost, false).contains("archived** · no pull request asks for it any more"));
    let leaving = Environment { ending: due, ..in_phase(Phase::Ready, "") };
    assert!(
        told(&leaving, true).contains("It goes away at 1970-01-01 00:00 UTC: its pull request was closed.")
    );
}

fn at(digit: char) -> Option<CommitSha> {
    CommitSha::parse(&digit.to_string().repeat(40)).ok()
}

#[test]
fn what_is_passed_over_is_told_and_what_runs_instead_stays_deployed() {
    for (phase, running) in [(Phase::Ready, "ready"), (Phase::Asleep, "asleep, opens by itself")] {
        let reason = "bbbbbbbb is passed over: its message says [skip drey]";
        let environment = Environment { commit: at('b'), ..in_phase(phase, reason) };
        let reported = Reported { is_passed_over: true, ..reported(&environment, &[]) };
        let report = status(&reported).unwrap();
        assert_eq!((report.commit.clone(), report.state), (at('b').unwrap(), StatusState::Success));
        assert_eq!(report.description, "passed over; aaaaaaaa runs");
        let deployed = deployments(&reported);
        assert_eq!(deployed.len(), 1, "b is none");
        assert_eq!((deployed[0].commit.clone(), deployed[0].state), (at('a').unwrap(), Rollout::Success));
        assert_eq!(deployed[0].description, running);
        let a = Report::Deployment(deployed[0].clone());
        assert_eq!(last_word(&reported, &a), None, "a runs");
        let b = Report::Deployment(DeploymentReport { commit: at('b').unwrap(), ..deployed[0].clone() });
        let Some(Report::Deployment(gone)) = last_word(&reported, &b) else { panic!("b does not run") };
        assert_eq!(gone.state, Rollout::Inactive);
        let body = comment(&reported, &pull("main", Some(0))).body;
        assert!(
            body.contains("Commit `bbbbbbbb`, up to date with `main`; `aaaaaaaa` is deployed."),
            "{body}"
        );
        assert!(body.contains("is passed over: its message says"), "{body}");
    }
}

#[test]
fn while_a_commit_is_deployed_and_where_it_fails_the_one_before_stays_deployed() {
    let a = Report::Deployment(deployments(&reported(&in_phase(Phase::Ready, ""), &[])).remove(0));
    let working = Environment { commit: at('b'), generation: Generation(2), ..in_phase(Phase::Updating, "") };
    let failed = Environment { commit: at('b'), ..in_phase(Phase::Failed, "no") };
    for (environment, state) in [(&working, Rollout::InProgress), (&failed, Rollout::Failure)] {
        let reported = reported(environment, &[]);
        assert_eq!(last_word(&reported, &a), None);
        let deployed = deployments(&reported);
        assert_eq!((deployed[0].commit.clone(), deployed[0].state), (at('b').unwrap(), state));
        assert!(comment(&reported, &pull("main", None)).body.contains("; `aaaaaaaa` is deployed."));
    }
    for environment in
        [Environment { serving: false, ..failed }, Environment { running_commit: at('b'), ..working }]
    {
        let Some(Report::Deployment(gone)) = last_word(&reported(&environment, &[]), &a) else {
            panic!("a runs no more")
        };
        assert_eq!((gone.state, gone.commit), (Rollout::Inactive, at('a').unwrap()));
    }
}

#[test]
fn a_fork_that_moved_is_not_good_while_the_commit_before_runs() {
    let branch = BranchName::pull(7);
    for phase in [Phase::Ready, Phase::Asleep, Phase::Waking] {
        let held = Environment { branch: branch.clone(), commit: at('b'), ..in_phase(phase, "") };
        let text = "waits for approval; aaaaaaaa runs".to_owned();
        assert_eq!(said(&held), Some((StatusState::Pending, text)), "{phase:?}");
    }
    let held = Environment { branch, commit: at('b'), ..in_phase(Phase::Blocked, "waits for approval: x") };
    assert_eq!(said(&held).unwrap().0, StatusState::Pending);
    assert_eq!(deployments(&reported(&held, &[])).len(), 1, "nothing of b is deployed");
    let repaired = Environment { commit: at('b'), ..in_phase(Phase::Ready, "") };
    assert_eq!(said_after(StatusState::Failure, &repaired).unwrap().0, StatusState::Failure);
}

#[test]
fn what_ends_unseen_says_why() {
    let reason = Some("aaaaaaaa is passed over: its message says [skip drey]".to_owned());
    let environment = Environment { reason, ..ending(Phase::Destroyed, Outcome::Manual) };
    let reported =
        Reported { is_passed_over: true, before: Some(StatusState::Pending), ..reported(&environment, &[]) };
    let report = status(&reported).unwrap();
    assert_eq!(report.description, "its commit is passed over; nothing is kept");
    assert_eq!(report.state, StatusState::Success);
}

#[test]
fn a_description_is_cut_on_characters() {
    let long = said(&in_phase(Phase::Failed, &"ü".repeat(200))).unwrap().1;
    assert_eq!((long.chars().count(), long.chars().next_back()), (140, Some('…')));
}

#[test]
fn what_a_newer_commit_replaced_is_closed_once() {
    let working = Report::Status(status(&reported(&in_phase(Phase::Building, ""), &[])).unwrap());
    let newer = Environment { commit: at('b'), running_commit: at('b'), ..in_phase(Phase::Ready, "") };
    let newer = reported(&newer, &[]);
    let Some(Report::Status(closed)) = last_word(&newer, &working) else { panic!("it is open") };
    assert_eq!(closed.state, StatusState::Cancelled);
    assert_eq!(last_word(&newer, &Report::Status(closed)), None);
    let ready = in_phase(Phase::Ready, "");
    let ready = reported(&ready, &[]);
    assert_eq!(last_word(&newer, &Report::Status(status(&ready).unwrap())), None);
    let running = Report::Deployment(deployments(&ready).remove(0));
    let Some(Report::Deployment(gone)) = last_word(&newer, &running) else { panic!("it runs") };
    assert_eq!((gone.state, gone.description.as_str()), (Rollout::Inactive, "a newer commit took its place"));
    assert_eq!(last_word(&newer, &Report::Deployment(gone)), None);
    assert_eq!(last_word(&ready, &working), None, "it is the newest");
}

#[test]
fn the_comment_says_all_of_it() {
    let environment = in_phase(Phase::Ready, "");
    let services = [service("web", true), service("api", false)];
    let report = comment(&reported(&environment, &services), &pull("main", Some(3)));
    insta::assert_snapshot!(report.body, @"
    **drey: ready** · <https://a.qa.example>

    | service | state | address |
    |---|---|---|
    | `web` | ready | <https://a.qa.example> |
    | `api` | down | <https://a.qa.example> |

    Commit `aaaaaaaa`, 3 commits behind `main`.

    It sleeps when nobody visits it for 1h; a visit wakes it. It goes away on 1970-01-03 unless somebody visits it, pushes or pins it before.
    ");
    let ending = Some(Ending { outcome: Outcome::Merged, due_at: Timestamp::from_millis(600_000) });
    let leaving = Environment { ending, ..in_phase(Phase::Ready, "") };
    let report = comment(&reported(&leaving, &[]), &pull("main", Some(0)));
    assert!(report.body.contains("It goes away at 1970-01-01 00:10 UTC: merged."), "{}", report.body);
    assert!(report.body.contains("up to date with `main`"), "{}", report.body);
}

#[test]
fn the_comment_says_what_became_of_it() {
    let intent = Intent::End { outcome: Outcome::Deleted, archive: true };
    let gone = Environment { intent, ..in_phase(Phase::Archived, "") };
    insta::assert_snapshot!(comment(&reported(&gone, &[]), &pull("main", None)).body, @"
    **drey: archived** · the branch was deleted

    The environment of `feature/x` at `aaaaaaaa` is gone. Its archive is `a-1-1`; `drey archive restore a-1-1` brings it back.
    ");
}

#[test]
fn nothing_of_a_branch_is_markdown() {
    let hostile = [
        "a`b</td><img/src=x>",
        "x|y|![i](https://evil.example/i.png)",
        "-->@team/close",
        "``` \n/close\n<script>",
        "\\`[drey](https://evil.example)",
        "\u{202e}@everyone",
    ];
    for text in hostile {
        let environment = in_phase(Phase::Failed, text);
        let services = [service(text, false)];
        let body = comment(&reported(&environment, &services), &pull("main", None)).body;
        for line in body.lines() {
            assert!(!line.trim_start().starts_with('/'), "{line}");
            let outside: String = line.split('`').step_by(2).collect();
            assert_eq!(line.matches('`').count() % 2, 0, "{line}");
            for word in ["evil", "<img", "<script", "@", "-->", "]("] {
                assert!(!outside.contains(word), "{word} in {line}");
            }
            let has_mention = line.split('@').skip(1).any(|rest| !rest.starts_with('\u{200b}'));
            assert!(!has_mention, "{line}");
        }
    }
}

#[test]
fn a_marker_ends_no_comment() {
    let marker = Marker::new(&InstanceId("abc234".into()), "shop/a-->)b", "0f");
    assert_eq!(marker.as_str(), "drey:abc234:shop/a%2D%2D%3E%29b:0f");
}

#[test]
fn pauses_grow_to_five_minutes() {
    assert_eq!(retry_in(1, 0.0), Duration::from_secs(2));
    assert_eq!(retry_in(3, 0.0), Duration::from_secs(8));
    assert_eq!(retry_in(30, 0.0), Duration::from_secs(300));
    assert_eq!(retry_in(30, 1.0), Duration::from_secs(375));
}

proptest! {
    #[test]
    fn a_span_stays_one_span(text in "(\\PC|`|\\||\\\\|@|\\n|<|>){0,60}") {
        let span = escape::code(&text, 50);
        let inner = span.trim_start_matches('`').trim_end_matches('`');
        prop_assert!(span == "–" || (span.starts_with('`') && span.ends_with('`')));
        prop_assert!(!inner.contains('`') && !inner.contains('|') && !inner.contains('\n'));
    }
}
