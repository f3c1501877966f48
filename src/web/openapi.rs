//! The API's description.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// OpenAPI 3, written by hand.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    use super::super::error::ApiError;
    use super::super::keeping::Verification;
    use super::super::link::LinkView;
    use super::super::tokens::Made;
    use super::super::view::{EventView, List};
    use super::super::{EnvironmentView, error, routes, services};
    use super::*;
    use crate::domain::access::{Role, Token, TokenName};
    use crate::domain::environment::{
        ArchiveRecord, Deployment, DeploymentState, Ending, Outcome, Phase, RemovalReason,
    };
    use crate::domain::event::{Event, EventId, EventKind, EventSource, EventState, PullChange};
    use crate::domain::fate::{Fate, Upcoming, What};
    use crate::domain::names::{BranchName, CommitSha, EnvironmentId, Generation, RepoName, Slug};
    use crate::domain::provider::{
        ProviderContainer, ProviderFile, ProviderState, ProviderStatus, Quarantined,
    };
    use crate::domain::secrets::{Secret, SecretName};
    use crate::domain::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(0);

    #[test]
    fn every_route_of_the_api_is_described_with_its_least_role_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let least = operation["x-drey-role"].as_str().unwrap();
                described.insert((path.clone(), method.to_uppercase(), least.to_owned()));
                let token = if matches!(least, "anyone" | "socket") { 0 } else { 1 };
                assert_eq!(operation["security"].as_array().unwrap().len(), token, "{path}");
            }
        }
        let routed: BTreeSet<_> = routes::table()
            .iter()
            .map(|route| (route.path.to_owned(), route.method.to_string(), route.least.word().to_owned()))
            .collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn secrets_are_as_described_without_their_values() {
        let secret = Secret {
            repo: names().0,
            name: SecretName::parse("A").unwrap(),
            branches: "**".to_owned(),
            created_at: NOW,
            updated_at: NOW,
        };
        fits("Secret", &json!(secret));
        fits("SecretList", &json!(List { items: vec![secret], next: None }));
    }

    #[test]
    fn tokens_are_as_described() {
        let record = Token {
            name: TokenName::parse("anna").unwrap(),
            role: Role::Developer,
            created_at: NOW,
            expires_at: Some(NOW),
        };
        let made = Made { record: record.clone(), token: "drey_x".to_owned() };
        fits("NewToken", &json!(made));
        fits("TokenList", &json!(List { items: vec![record], next: None }));
    }

    #[test]
    fn services_and_targets_are_as_described() {
        let entry = services::tests::entry("drey-a-1-x-web-1");
        fits("PrometheusTargets", &crate::domain::directory::prometheus(std::slice::from_ref(&entry)));
        fits("ServiceList", &json!(List { items: vec![entry], next: Some("x".to_owned()) }));
    }

    #[test]
    fn the_proxy_in_front_is_as_described() {
        let bad = Quarantined { environment: "shop/x".to_owned(), reason: "x".to_owned() };
        let status = ProviderStatus {
            provider: "nginx".to_owned(),
            generation: Some("a".to_owned()),
            applied_at: Some(NOW),
            last_apply_ms: Some(1),
            error: Some("x".to_owned()),
            failing_since: Some(NOW),
            assumed: Some("x".to_owned()),
            quarantined: vec![bad],
            container: Some(ProviderContainer {
                name: "edge".to_owned(),
                state: "running".to_owned(),
                joined: vec!["drey-a-1-x_default".to_owned()],
            }),
            ..ProviderStatus::default()
        };
        for state in [ProviderState::Waiting, ProviderState::Serving, ProviderState::Failing] {
            assert_eq!(json!(state), state.word());
            fits("Proxy", &json!(ProviderStatus { state, ..status.clone() }));
        }
        fits(
            "Proxy",
            &json!(ProviderStatus { provider: "embedded".to_owned(), ..ProviderStatus::default() }),
        );
        let file = ProviderFile { path: "/x".to_owned(), content: "x".to_owned() };
        fits("ProxyFileList", &json!({"items": [file], "next": null}));
    }

    #[test]
    fn links_are_as_described() {
        let urls = BTreeMap::from([("web".to_owned(), "https://x".to_owned())]);
        fits(
            "Link",
            &json!(LinkView { access: "link", url: "https://x".into(), urls, expires_at: Some(NOW) }),
        );
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        for rest in DOCUMENT.split("\"$ref\": \"#").skip(1) {
            let pointer = rest.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }

    /// Has the value exactly the fields of the schema, the required ones among them, and the right words?
    fn fits(schema: &str, value: &Value) {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let schema = &document["components"]["schemas"][schema];
        check(&document, schema, value, "");
    }

    fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        if value.is_null() {
            return assert_eq!(schema["nullable"], true, "{at} is null");
        }
        if let Some(pointer) = reference {
            let schema = document.pointer(pointer.trim_start_matches('#')).unwrap();
            return check(document, schema, value, at);
        }
        match schema["type"].as_str().unwrap() {
            "object" => fields(document, schema, value, at),
            "array" => {
                for item in value.as_array().unwrap() {
                    check(document, &schema["items"], item, &format!("{at}[]"));
                }
            }
            "string" => {
                assert!(value.is_string(), "{at}: {value}");
                let words = schema["enum"].as_array();
                assert!(words.is_none_or(|words| words.contains(value)), "{at}: {value}");
            }
            "integer" => assert!(value.is_i64() || value.is_u64(), "{at}: {value}"),
            "boolean" => assert!(value.is_boolean(), "{at}: {value}"),
            other => panic!("{at}: {other}"),
        }
    }

    fn fields(document: &Value, schema: &Value, value: &Value, at: &str) {
        let Some(properties) = schema["properties"].as_object() else { return };
        let documented: BTreeSet<&String> = properties.keys().collect();
        let there: BTreeSet<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(there, documented, "{at}");
        let required: BTreeSet<&str> =
            schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        assert_eq!(required, documented.iter().map(|key| key.as_str()).collect(), "{at}");
        for (key, schema) in properties {
            check(document, schema, &value[key], &format!("{at}.{key}"));
        }
    }

    fn names() -> (RepoName, BranchName, Slug, Option<CommitSha>) {
        let commit = CommitSha::parse(&"a".repeat(40)).unwrap();
        let (repo, branch) = (RepoName::parse("shop").unwrap(), BranchName::parse("a").unwrap());
        (repo, branch, Slug::parse("feature-a").unwrap(), Some(commit))
    }

    fn environment(phase: Phase, ending: Option<Ending>) -> EnvironmentView {
        let (repo, branch, slug, commit) = names();
        EnvironmentView {
            repo,
            branch,
            slug,
            access: "link",
            phase,
            commit: commit.clone(),
            generation: Generation(1),
            url: "https://feature-a.qa.example".to_owned(),
            urls: BTreeMap::from([("web".to_owned(), "https://feature-a.qa.example".to_owned())]),
            reason: None,
            serving: true,
            running_commit: commit,
            pinned: false,
            ending,
            fate: Fate {
                awake: Some(String::new()),
                because: "x".to_owned(),
                upcoming: vec![Upcoming { what: What::Sleep, at: NOW, why: "x".to_owned() }],
            },
            created_at: NOW,
            updated_at: NOW,
            last_visited_at: None,
            restored_from: None,
            pull_request: ending.map(|_| (&crate::domain::pull_request::sample(7, "x", 'a')).into()),
        }
    }

    #[test]
    fn environments_are_as_described() {
        let ending = Ending { outcome: Outcome::Merged, due_at: NOW };
        for phase in Phase::ALL {
            fits("Environment", &json!(environment(phase, Some(ending))));
        }
        let list = List { items: vec![environment(Phase::Ready, None)], next: Some("1".to_owned()) };
        fits("EnvironmentList", &json!(list));
    }

    #[test]
    fn archives_events_and_deployments_are_as_described() {
        let (repo, branch, slug, commit) = names();
        let archive = ArchiveRecord {
            id: "feature-a-1-1".to_owned(),
            environment: EnvironmentId(1),
            repo: repo.clone(),
            branch: branch.clone(),
            slug,
            commit: commit.clone(),
            outcome: Outcome::Deleted,
            created_at: NOW,
            size_bytes: 1,
            sha256: None,
            verified_at: Some(NOW),
            pinned: false,
            removed_at: Some(NOW),
            removed_reason: Some(RemovalReason::Expired),
        };
        fits("ArchiveList", &json!(List { items: vec![archive], next: None }));
        for (whole, reason, verified_at) in [(true, None, Some(NOW)), (false, Some("x".to_owned()), None)] {
            fits("Verification", &json!(Verification { id: "x-1-1".to_owned(), whole, reason, verified_at }));
        }
        let pull = crate::domain::pull_request::sample(7, "x", 'a');
        let told = EventKind::PullRequest { change: PullChange::Opened, pull: Box::new(pull) };
        let created = EventKind::BranchCreated { branch: branch.clone(), commit: commit.clone() };
        let kind = |state| if state == EventState::Pending { &told } else { &created };
        for state in [EventState::Pending, EventState::Done, EventState::Ignored, EventState::Failed] {
            let event = Event {
                id: EventId(1),
                source: EventSource::Git,
                repo: repo.clone(),
                kind: kind(state).clone(),
                delivery_id: None,
                skip: false,
                received_at: NOW,
                state,
                reason: None,
            };
            fits("EventList", &json!(List { items: vec![EventView::from(event)], next: None }));
        }
        let deployment = Deployment {
            id: 1,
            environment: EnvironmentId(1),
            generation: Generation(1),
            commit,
            state: DeploymentState::Running,
            plan: String::new(),
            reason: None,
            started_at: NOW,
            finished_at: None,
        };
        fits("DeploymentList", &json!(List { items: vec![deployment], next: None }));
    }

    #[tokio::test]
    async fn errors_are_as_described() {
        let errors = [
            error::not_found().await,
            error::method_not_allowed().await,
            ApiError::bad_request("x"),
            ApiError::unauthorized(),
            ApiError::no_token(),
            ApiError::too_many_tries(),
            ApiError::forbidden("x".to_owned()),
            ApiError::conflict("x"),
            ApiError::too_large("x"),
            ApiError::unavailable("x"),
            ApiError::draining(),
        ];
        for error in errors {
            let body = axum::body::to_bytes(error.into_response().into_body(), 1000).await.unwrap();
            fits("Error", &serde_json::from_slice(&body).unwrap());
        }
    }
}
