//! What a team sees at its forge while its branches live, and while the forge is in trouble.

use std::time::Duration;

use drey::domain::environment::Phase;
use drey::domain::event::{EventKind, PullChange};
use drey::domain::forge::Forge;
use drey::domain::pull_request::{Head, PullRequest, PullState};

use crate::fake_forge::{FakeForge, TOKEN, Trouble};
use crate::forge_api::project_of;
use crate::harness::{TestHouse, branch, document, eventually, in_house, sha};

/// A forge in a test hangs so long.
const PATIENCE: Duration = Duration::from_millis(100);
const MINUTE: i64 = 60_000;

async fn opened(house: &TestHouse, kind: Forge) -> FakeForge {
    let forge = FakeForge::open(kind).await;
    at_rest(house).await;
    house.reports_to(project_of(&forge, TOKEN, PATIENCE));
    forge
}

/// The look at the start is over: it knows nothing of what is pushed from now on.
async fn at_rest(house: &TestHouse) {
    let store = &house.orchestrator.house().store;
    eventually("nothing is pending", || async { store.pending_events().await.unwrap().is_empty() }).await;
}

/// Waits for it while time passes, a quarter of a second at each look.
async fn shows(house: &TestHouse, what: &str, check: impl Fn() -> bool) {
    eventually(what, || async {
        house.world.with(|inside| inside.now += 250);
        check()
    })
    .await;
}

/// Lets so much time pass, in steps that let the house work.
async fn passes(house: &TestHouse, millis: i64) {
    let end = house.world.with(|inside| inside.now) + millis;
    eventually("time passes", || async {
        house.world.with(|inside| {
            inside.now += 3000;
            inside.now >= end
        })
    })
    .await;
}

fn pull(kind: Forge, head: char, state: PullState) -> PullRequest {
    PullRequest {
        forge: kind,
        number: 7,
        title: "a change".into(),
        author: "anna".into(),
        source: "feature/x".into(),
        branch: branch("feature/x"),
        target: branch("main"),
        url: None,
        state,
        draft: false,
        labels: Vec::new(),
        head: Head::parse(sha(head).as_str()).ok(),
        fork: None,
        merge_commit: None,
        changed_at: None,
    }
}

async fn opens_pull(house: &TestHouse, kind: Forge, head: char) {
    let pull = Box::new(pull(kind, head, PullState::Open));
    house.tell(EventKind::PullRequest { change: PullChange::Opened, pull }).await;
}

fn state(forge: &FakeForge, commit: char) -> String {
    forge.status(sha(commit).as_str()).map(|(state, ..)| state).unwrap_or_default()
}

fn comment(forge: &FakeForge) -> String {
    let mut comments = forge.comments(7);
    assert!(comments.len() < 2, "{comments:?}");
    comments.pop().unwrap_or_default()
}

/// What was said last of the commit's deployment.
fn deployment(forge: &FakeForge, commit: char) -> String {
    forge.with(|inside| {
        let ours = inside.deployments.values().find(|(made, _)| made["ref"] == sha(commit).as_str());
        ours.and_then(|(_, said)| said.last()?["state"].as_str().map(str::to_owned)).unwrap_or_default()
    })
}

fn description(forge: &FakeForge, commit: char) -> String {
    forge.status(sha(commit).as_str()).map(|(_, said, _)| said).unwrap_or_default()
}

fn words(kind: Forge) -> (&'static [&'static str], &'static str) {
    match kind {
        Forge::Github | Forge::Gitea | Forge::Forgejo => (&["pending"], "success"),
        Forge::Gitlab => (&["pending", "running"], "success"),
        Forge::Bitbucket => (&["INPROGRESS"], "SUCCESSFUL"),
    }
}

fn no_faults(forge: &FakeForge) {
    assert_eq!(forge.with(|inside| inside.faults.clone()), Vec::<String>::new());
    assert!(forge.with(|inside| inside.most_at_once) <= 1, "one request at a time");
}

#[tokio::test]
async fn a_pull_request_shows_its_branch_from_the_first_push_to_the_merge() {
    for kind in Forge::ALL {
        in_house(|house| async move {
            let (forge, (pending, success)) = (opened(&house, kind).await, words(kind));
            house.commit('a', "main", &[], document());
            house.commit('b', "feature/x", &['a'], document());
            let gate = house.world.with(|inside| inside.gate.clone());
            let closed = gate.acquire_many(100).await.unwrap();
            house.push("feature/x").await;
            opens_pull(&house, kind, 'b').await;
            shows(&house, "pending", || pending.contains(&state(&forge, 'b').as_str())).await;
            drop(closed);
            shows(&house, "success", || state(&forge, 'b') == success).await;
            let (_, told, url) = forge.status(sha('b').as_str()).unwrap();
            assert_eq!((told.as_str(), url.as_str()), ("ready", "https://feature-x.qa.example"));
            shows(&house, "the comment", || comment(&forge).starts_with("**drey: ready**")).await;
            let text = comment(&forge);
            assert!(text.contains("| `web` | ready | <https://feature-x.qa.example> |"), "{text}");
            assert!(text.contains("Commit `bbbbbbbb`, up to date with `main`."), "{text}");

            house.commit('c', "feature/x", &['b'], document());
            house.push("feature/x").await;
            shows(&house, "the next commit", || state(&forge, 'c') == success).await;
            shows(&house, "the same comment", || comment(&forge).contains("Commit `cccccccc`")).await;

            house.commit('c', "main", &['a'], document());
            house.push_main('a').await;
            house.reaches("feature/x", Phase::Archived).await;
            shows(&house, "the last word", || description(&forge, 'c').starts_with("merged; archived as "))
                .await;
            assert_eq!(state(&forge, 'c'), success);
            shows(&house, "what became of it", || comment(&forge).starts_with("**drey: archived** · merged"))
                .await;
            assert!(comment(&forge).contains("drey archive restore feature-x-"), "{}", comment(&forge));
            no_faults(&forge);
        })
        .await;
    }
}

#[tokio::test]
async fn github_is_told_of_deployments_and_of_their_end() {
    in_house(|house| async move {
        let forge = opened(&house, Forge::Github).await;
        house.begin().await;
        let said = |commit: char| deployment(&forge, commit);
        shows(&house, "deployed", || said('b') == "success").await;
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        shows(&house, "the next one", || said('c') == "success").await;
        shows(&house, "the one before is over", || said('b') == "inactive").await;
        house.commit('c', "main", &['a'], document());
        house.push_main('a').await;
        shows(&house, "over", || said('c') == "inactive").await;
        assert_eq!(forge.with(|inside| inside.deployments.len()), 2);
        no_faults(&forge);
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_is_passed_over_is_told_so_and_what_runs_stays_deployed() {
    in_house(|house| async move {
        let forge = opened(&house, Forge::Github).await;
        house.begin().await;
        opens_pull(&house, Forge::Github, 'b').await;
        shows(&house, "deployed", || deployment(&forge, 'b') == "success").await;
        house.commit('c', "feature/x", &['b'], document());
        house.world.with(|inside| inside.changes.messages.insert(sha('c'), "[skip drey]".to_owned()));
        house.push("feature/x").await;
        shows(&house, "passed over", || description(&forge, 'c') == "passed over; bbbbbbbb runs").await;
        let reason = || comment(&forge).contains("cccccccc is passed over: its message");
        shows(&house, "the reason in the comment", reason).await;
        assert!(comment(&forge).contains("; `bbbbbbbb` is deployed."), "{}", comment(&forge));
        passes(&house, MINUTE).await;
        assert_eq!(deployment(&forge, 'b'), "success");
        assert_ne!(deployment(&forge, 'c'), "success");
        no_faults(&forge);
    })
    .await;
}

#[tokio::test]
async fn the_end_of_what_never_came_up_makes_its_commit_no_better() {
    in_house(|house| async move {
        let forge = opened(&house, Forge::Github).await;
        let mut refused = document();
        refused["services"]["web"]["privileged"] = true.into();
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], refused);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Blocked).await;
        shows(&house, "blocked", || state(&forge, 'b') == "failure").await;
        house.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: false }).await;
        let last = "ended because somebody asked for it; nothing is kept";
        shows(&house, "the last word", || description(&forge, 'b') == last).await;
        assert_eq!(state(&forge, 'b'), "failure");
        shows(&house, "the deployment is over", || deployment(&forge, 'b') == "inactive").await;
        no_faults(&forge);
    })
    .await;
}

#[tokio::test]
async fn ten_bad_minutes_of_a_forge_hold_nothing_up_and_leave_the_last_state_once() {
    for trouble in [Trouble::Hang, Trouble::Broken, Trouble::Limited(1_700_000_600), Trouble::Lost] {
        in_house(|house| async move {
            let forge = opened(&house, Forge::Github).await;
            forge.with(|inside| inside.trouble = Some(trouble));
            house.begin().await;
            opens_pull(&house, Forge::Github, 'b').await;
            house.commit('c', "feature/x", &['b'], document());
            house.push("feature/x").await;
            house.reaches("feature/x", Phase::Ready).await;
            passes(&house, 9 * MINUTE).await;
            let asked = forge.asked();
            assert!((1..=40).contains(&asked), "{trouble:?}: asked {asked} times");
            if matches!(trouble, Trouble::Limited(_)) {
                assert_eq!(asked, 1, "a limit is honoured for the whole account");
            }
            forge.with(|inside| inside.trouble = None);
            passes(&house, 10 * MINUTE).await;
            shows(&house, "the last state", || state(&forge, 'c') == "success").await;
            shows(&house, "the comment", || comment(&forge).contains("Commit `cccccccc`")).await;
            no_faults(&forge);
        })
        .await;
    }
}

#[tokio::test]
async fn a_comment_that_somebody_removed_is_made_anew() {
    in_house(|house| async move {
        let forge = opened(&house, Forge::Gitlab).await;
        house.begin().await;
        opens_pull(&house, Forge::Gitlab, 'b').await;
        shows(&house, "the comment", || comment(&forge).contains("Commit `bbbbbbbb`")).await;
        let copied = forge.comments(7).remove(0);
        forge.with(|inside| inside.comments.insert(7, vec![(1, copied.clone())]));
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        let made = || forge.comments(7).get(1).is_some_and(|text| text.contains("Commit `cccccccc`"));
        shows(&house, "the comment again", made).await;
        assert_eq!(forge.comments(7)[0], copied, "what somebody copied before is theirs");
        no_faults(&forge);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_token_is_told_and_not_tried_over_and_over() {
    in_house(|house| async move {
        let forge = FakeForge::open(Forge::Gitea).await;
        at_rest(&house).await;
        house.reports_to(project_of(&forge, "wr0ng-token", PATIENCE));
        house.begin().await;
        opens_pull(&house, Forge::Gitea, 'b').await;
        passes(&house, 20 * MINUTE).await;
        assert_eq!(forge.asked(), 1);
        let waiting = house.orchestrator.house().store.outbox_waiting().await.unwrap();
        let (_, count, error) = &waiting[0];
        assert!(*count >= 2 && error.as_ref().is_some_and(|it| it.contains("does not accept the token")));

        house.reports_anew_to(project_of(&forge, TOKEN, PATIENCE)).await;
        shows(&house, "success", || state(&forge, 'b') == "success").await;
        shows(&house, "the comment", || comment(&forge).contains("Commit `bbbbbbbb`")).await;
        no_faults(&forge);
    })
    .await;
}

#[tokio::test]
async fn what_a_life_did_not_get_told_the_next_one_tells() {
    in_house(|house| async move {
        let forge = opened(&house, Forge::Bitbucket).await;
        forge.with(|inside| inside.trouble = Some(Trouble::Lost));
        house.begin().await;
        opens_pull(&house, Forge::Bitbucket, 'b').await;
        shows(&house, "the first try", || forge.asked() > 0).await;
        let house = house.restart().await;
        forge.with(|inside| inside.trouble = None);
        shows(&house, "success", || state(&forge, 'b') == "SUCCESSFUL").await;
        shows(&house, "the comment", || comment(&forge).contains("Commit `bbbbbbbb`")).await;
        no_faults(&forge);
    })
    .await;
}
