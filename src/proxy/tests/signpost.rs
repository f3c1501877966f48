//! Pages that lead on to the dashboard: which, where, and for whom.

use super::*;
use crate::domain::dashboard::Origin;
use crate::domain::environment::Outcome;

const PUBLIC: &str = "https://drey.example";
const LOCAL: &str = "http://127.0.0.1:8420";
/// As the page's environment is called in a path.
const BRANCH: &str = "/environments/shop/%3Cb%3Ex%3C%2Fb%3E";

fn turn(house: &House, url: Option<&str>) {
    house.proxy.link_to(url.map(|url| Origin::of_url(url).unwrap()));
}

#[tokio::test]
async fn what_failed_leads_to_its_log() {
    let house = House::new(false).await;
    let command = "drey env log";
    for phase in [Phase::Failed, Phase::Blocked] {
        house.publish(&[("x", 1, page(phase, "it broke"))]);
        for (dashboard, has_command) in [(Some(PUBLIC), false), (Some(LOCAL), true), (None, true)] {
            turn(&house, dashboard);
            let answers = [house.plain(&browse("x", "/")).await, house.plain(&get("x")).await];
            for (answer, is_html) in answers.iter().zip([true, false]) {
                let url = dashboard.map(|dashboard| format!("{dashboard}{BRANCH}/log"));
                let told = format!("{phase:?} {dashboard:?}: {answer}");
                assert_eq!(answer.contains(command), has_command, "{told}");
                match url {
                    Some(url) if is_html => {
                        assert!(answer.contains(&format!("<a href=\"{url}\">The whole log</a>")), "{told}");
                    }
                    Some(url) => assert!(answer.contains(&format!("The whole log: {url}\n")), "{told}"),
                    None => assert!(!answer.contains("/environments/"), "{told}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_over_leads_to_what_was_kept() {
    let house = House::new(false).await;
    turn(&house, Some(PUBLIC));
    for (phase, text) in [
        (Phase::Archived, "Sign in to restore it"),
        (Phase::Archiving, "What was kept of it"),
        (Phase::Destroying, "What was kept of it"),
        (Phase::Destroyed, "What was kept of it"),
    ] {
        let over = Page { phase, reason: None, outcome: Some(Outcome::Merged), is_tired: false };
        house.publish(&[("x", 1, Answer::Page(over))]);
        let answer = house.plain(&browse("x", "/")).await;
        assert!(answer.contains(&format!("<a href=\"{PUBLIC}{BRANCH}/archive\">{text}</a>")), "{answer}");
    }
    house.publish(&[("x", 1, page(Phase::Building, ""))]);
    let answer = house.plain(&browse("x", "/")).await;
    assert!(!answer.contains("/environments/") && answer.contains("All branches"), "{answer}");
}

#[tokio::test]
async fn whoever_may_not_look_is_told_of_no_dashboard() {
    let house = House::new(false).await;
    turn(&house, Some(PUBLIC));
    let Answer::Page(failed) = page(Phase::Failed, "it broke") else { panic!() };
    let route = Route {
        environment: EnvironmentId(1),
        generation: Generation(1),
        name: "shop/x".into(),
        service: "web".into(),
        paths: Vec::new(),
        access: Access::Token,
        answer: Answer::Page(failed),
    };
    house
        .proxy
        .publish(RouteTable { hosts: [("x.qa.example".to_owned(), route)].into(), ..Default::default() });
    for host in ["x", "nowhere"] {
        for request in [browse(host, "/"), get(host)] {
            let answer = house.plain(&request).await;
            assert!(!answer.contains("drey.example") && !answer.contains("shop"), "{answer}");
        }
    }
}
