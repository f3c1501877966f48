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
        rules: Rules { sleep_after: hours(1), expire_after: hours(48) },
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
        (Phase::Waking, "", Running, "waking"),
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
}

#[test]
fn the_end_is_the_last_word() {
    let intent = Intent::End { outcome: Outcome::Merged, archive: true };
    let merged = Environment { intent: intent.clone(), ..in_phase(Phase::Archived, "") };
    assert_eq!(said(&merged), Some((StatusState::Success, "merged; archived as a-1-1".to_owned())));
    assert_eq!(deployment(&reported(&merged, &[])).unwrap().state, Rollout::Inactive);
    let stuck = Environment { intent, ..in_phase(Phase::Failed, "no space") };
    assert_eq!(said(&stuck).unwrap().1, "it cannot be taken down: no space");
    let intent = Intent::End { outcome: Outcome::Manual, archive: false };
    let destroyed = Environment { intent, ..in_phase(Phase::Destroyed, "") };
    assert_eq!(said(&destroyed).unwrap().1, "ended because somebody asked for it; nothing is kept");
}

#[test]
fn a_description_is_cut_on_characters() {
    let long = said(&in_phase(Phase::Failed, &"ü".repeat(200))).unwrap().1;
    assert_eq!((long.chars().count(), long.chars().next_back()), (140, Some('…')));
}

#[test]
fn what_a_newer_commit_replaced_is_closed_once() {
    let working = Report::Status(status(&reported(&in_phase(Phase::Building, ""), &[])).unwrap());
    let Some(Report::Status(closed)) = working.replaced() else { panic!("it is open") };
    assert_eq!(closed.state, StatusState::Cancelled);
    assert_eq!(Report::Status(closed).replaced(), None);
    let ready = in_phase(Phase::Ready, "");
    assert_eq!(Report::Status(status(&reported(&ready, &[])).unwrap()).replaced(), None);
    let running = Report::Deployment(deployment(&reported(&ready, &[])).unwrap());
    let Some(Report::Deployment(gone)) = running.replaced() else { panic!("it runs") };
    assert_eq!(gone.state, Rollout::Inactive);
    assert_eq!(Report::Deployment(gone).replaced(), None);
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
