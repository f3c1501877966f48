//! How services are spoken to: secrets that labels name, and services of several containers.

use drey::domain::backend::Balance;
use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use drey::domain::observed::{ContainerState, Observed};
use drey::domain::route::{Answer, Upstream};
use drey::domain::secrets::{Secret, SecretName};
use serde_json::{Value, json};

use crate::harness::{TestHouse, branch, document, eventually, in_house, repo};

/// The usual document, whose web speaks TLS and demands a certificate.
fn demanding() -> Value {
    let mut document = document();
    document["services"]["web"]["labels"] = json!({
        "drey.scheme": "https",
        "drey.upstream.ca": "secret:authority",
        "drey.upstream.client-cert": "client",
    });
    document
}

async fn set(house: &TestHouse, name: &str, value: &str) {
    let now = house.orchestrator.house().ports.clock.now();
    let secret = Secret {
        repo: repo(),
        name: SecretName::parse(name).unwrap(),
        branches: "**".to_owned(),
        created_at: now,
        updated_at: now,
    };
    house.orchestrator.set_secret(secret, value.as_bytes()).await.unwrap();
}

async fn upstream(house: &TestHouse) -> Option<Upstream> {
    match house.answer("feature-x").await {
        Some(Answer::Proxy(upstream)) => Some(upstream),
        Some(Answer::Replacing(_) | Answer::Page(_)) | None => None,
    }
}

#[tokio::test]
async fn secrets_of_labels_block_where_they_are_missing_and_reach_the_route_only() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], demanding());
        house.push("feature/x").await;
        let reason = house.reaches("feature/x", Phase::Blocked).await.reason.unwrap();
        for name in ["authority", "client"] {
            assert!(reason.contains(&format!("`drey secret set shop {name}` sets it")), "{reason}");
        }
        set(&house, "authority", "whom to trust").await;
        set(&house, "client", "what is shown").await;
        house
            .tell(EventKind::DeployRequested { branch: branch("feature/x"), rebuild: false, pull: false })
            .await;
        house.reaches("feature/x", Phase::Ready).await;
        let house = house.restart().await;
        let tls = upstream(&house).await.unwrap().tls.unwrap();
        assert_eq!(tls.authority.as_deref(), Some("whom to trust"));
        assert_eq!(tls.identity.as_deref(), Some(&b"what is shown"[..]));
        assert_eq!((tls.server_name.as_deref(), tls.verify), (Some("web"), true));
        let store = house.orchestrator.house().store.clone();
        let id = house.environment("feature/x").await.unwrap().id;
        let stored = store.routes(id).await.unwrap();
        let stack = store.stack(id).await.unwrap().unwrap().stack;
        let written = format!("{}{}", json!(stored[0].route), json!(stack));
        assert!(written.contains("client") && !written.contains("what is shown"), "{written}");
    })
    .await;
}

#[tokio::test]
async fn all_containers_of_a_service_are_routed_and_one_that_ends_no_more() {
    in_house(|house| async move {
        let mut three = document();
        three["services"]["web"]["deploy"] = json!({"replicas": 3});
        three["services"]["web"]["labels"] = json!({"drey.lb": "least-connections", "drey.sticky": "true"});
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], three);
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
        // What ends in the first seconds is a start that failed; another life does not watch over that.
        let house = house.restart().await;
        let routed = upstream(&house).await.unwrap();
        assert_eq!((routed.others.len(), routed.sticky), (2, true));
        assert_eq!(routed.balance, Balance::LeastConnections);
        let project = house.environment("feature/x").await.unwrap().project;
        let gone = routed.container.clone();
        let end = |observed: &mut Observed| {
            let one = observed.containers.iter_mut().find(|it| it.id == gone).unwrap();
            one.state = ContainerState::Exited(1);
        };
        house.world.harm(&project, end).await;
        eventually("the one that ended is not routed, and there are three again", || async {
            upstream(&house).await.is_some_and(|now| {
                let others = now.others.iter().map(|other| &other.container);
                now.others.len() == 2 && others.chain([&now.container]).all(|it| *it != routed.container)
            })
        })
        .await;
    })
    .await;
}
