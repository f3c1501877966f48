//! The adapters of the forges, each against a small forge over real HTTP.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use drey::adapters::forge::{ForgeLogin, ForgeSettings, PATIENCE, connect};
use drey::domain::forge::Forge;
use drey::domain::names::{CommitSha, InstanceId};
use drey::domain::report::{CommentReport, DeploymentReport, Marker, Rollout, StatusReport, StatusState};
use drey::domain::time::Timestamp;
use drey::ports::{ForgeApi, ForgeError, Redactor, Until};
use serde_json::Value;

use crate::fake_forge::{FakeForge, TOKEN, Trouble, installation_token};
use crate::fakes::World;
use crate::harness::sha;

/// The public half of `tests/fixtures/app.pem`, made for these tests.
const APP_KEY: &str = "MIIBCgKCAQEAlfFd+ov8QU62P8v1d0h5Bf+ie4jTWVlWGi7avXrA4b2+kXDWsSpe3dIe4BO7fU3aPruRwfwLa4VPmvknOcIZ\
    TdfW4ejSPn6S62sxJrBn7z85ik6bQi1CrrEX8q/4c/G3sJybxbeF/v5gI7/Q9viV36Y0SZQeZFxGma/KVVGie2SmC6YQGwsl\
    wq+YflHR1hiqR4A+VyUtyvNql99kUN0b0oSYVBYCsjTHy/jj0r2ux74ROzorxif5QTyO7JMn9wIgYBI14xs1ZY3/HipWWLFM\
    S+9eu97iwM0B2XzdHUVkomb+90GM5M4PG/UQidcimthcrv6DsFIMaP8+sBK9UAYDlQIDAQAB";

pub(crate) fn project_of(forge: &FakeForge, token: &str, patience: Duration) -> Arc<dyn ForgeApi> {
    let kind = forge.kind;
    let (api, project) = (forge.api.clone(), "team/shop".to_owned());
    let settings = ForgeSettings { kind, api, project, login: ForgeLogin::Token(token.to_owned()), patience };
    connect(settings, Arc::new(World::default()), Arc::default()).unwrap()
}

async fn forge_and_project(kind: Forge) -> (FakeForge, Arc<dyn ForgeApi>) {
    let forge = FakeForge::open(kind).await;
    let project = project_of(&forge, TOKEN, PATIENCE);
    (forge, project)
}

fn status(commit: CommitSha, state: StatusState) -> StatusReport {
    let (description, url) = ("größe & <b>".to_owned(), "https://x.qa.example".to_owned());
    StatusReport { commit, state, description, url }
}

fn comment(body: &str) -> CommentReport {
    CommentReport { pull: 7, body: body.to_owned() }
}

fn marker() -> Marker {
    Marker::new(&InstanceId("abc234".into()), "shop/feature/x", "0123456789abcdef")
}

#[tokio::test]
async fn a_status_goes_from_pending_to_success_at_every_forge() {
    use StatusState::{Cancelled, Failure, Pending, Running, Success};
    for (kind, words) in [
        (Forge::Github, ["pending", "pending", "success", "failure", "error"]),
        (Forge::Gitlab, ["pending", "running", "success", "failed", "canceled"]),
        (Forge::Gitea, ["pending", "pending", "success", "failure", "error"]),
        (Forge::Forgejo, ["pending", "pending", "success", "failure", "error"]),
        (Forge::Bitbucket, ["INPROGRESS", "INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"]),
    ] {
        let (forge, project) = forge_and_project(kind).await;
        for (state, word) in [Pending, Running, Success, Failure, Cancelled].into_iter().zip(words) {
            for _twice in 0..2 {
                project.set_status(&status(sha('b'), state)).await.unwrap();
            }
            let seen = forge.status(sha('b').as_str()).unwrap();
            assert_eq!(seen, (word.into(), "größe & <b>".into(), "https://x.qa.example".into()), "{kind:?}");
        }
        assert_eq!(forge.with(|inside| inside.faults.clone()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_comment_is_made_once_and_edited_in_place() {
    for kind in Forge::ALL {
        let (forge, project) = forge_and_project(kind).await;
        // More than a page of others; somebody has copied a marker, but not the part that nobody knows.
        forge.with(|inside| {
            let copied = "ready at https://evil.example <!-- drey:abc234:shop/feature/x:ffff -->";
            let others = (1..=120).map(|id| (id, copied.to_owned())).collect();
            inside.comments.insert(7, others);
        });
        let id = project.set_comment(&comment("one"), &marker(), None).await.unwrap();
        assert_eq!(project.set_comment(&comment("two"), &marker(), Some(&id)).await.unwrap(), id);
        assert_eq!(project.set_comment(&comment("three"), &marker(), None).await.unwrap(), id, "it is found");
        let comments = forge.comments(7);
        assert_eq!(comments.len(), 121, "{kind:?}");
        let text = comments.last().unwrap();
        assert!(text.starts_with("three\n\n") && text.contains(marker().as_str()), "{text}");
        assert_eq!(text.contains("<!--"), kind != Forge::Bitbucket, "{text}");
        forge.with(|inside| inside.comments.clear());
        let gone = project.set_comment(&comment("four"), &marker(), Some(&id)).await.unwrap_err();
        assert!(matches!(gone, ForgeError::Gone), "{gone:?}");
        assert_eq!(forge.with(|inside| inside.faults.clone()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_answer_that_gets_lost_makes_no_second_comment() {
    for kind in Forge::ALL {
        let (forge, project) = forge_and_project(kind).await;
        // It is looked for, then made.
        forge.with(|inside| inside.troubles.extend([None, Some(Trouble::Lost)]));
        let lost = project.set_comment(&comment("one"), &marker(), None).await.unwrap_err();
        assert!(matches!(lost, ForgeError::Passing(_)), "{lost:?}");
        assert_eq!(forge.comments(7).len(), 1, "it was taken");
        project.set_comment(&comment("two"), &marker(), None).await.unwrap();
        let comments = forge.comments(7);
        assert!(comments.len() == 1 && comments[0].starts_with("two"), "{comments:?}");
    }
}

#[tokio::test]
async fn a_deployment_is_made_once_and_goes_with_its_environment() {
    let (forge, project) = forge_and_project(Forge::Github).await;
    let report = |state| DeploymentReport {
        commit: sha('b'),
        environment: "drey/feature-x".into(),
        state,
        description: "ready".into(),
        url: "https://x.qa.example".into(),
    };
    assert_eq!(project.set_deployment(&report(Rollout::Inactive), None).await.unwrap(), None);
    let id = project.set_deployment(&report(Rollout::InProgress), None).await.unwrap();
    assert_eq!(project.set_deployment(&report(Rollout::Success), None).await.unwrap(), id, "it is found");
    assert_eq!(project.set_deployment(&report(Rollout::Inactive), id.as_deref()).await.unwrap(), id);
    let deployments = forge.with(|inside| inside.deployments.clone());
    let (_, (made, said)) = deployments.first_key_value().unwrap();
    assert_eq!((deployments.len(), &made["environment"]), (1, &Value::from("drey/feature-x")));
    let states: Vec<&Value> = said.iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["in_progress", "success", "inactive"]);
    let gone = project.set_deployment(&report(Rollout::Success), Some("1")).await.unwrap_err();
    assert!(matches!(gone, ForgeError::Gone), "{gone:?}");
    assert_eq!(forge.with(|inside| inside.faults.clone()), Vec::<String>::new());
    for kind in [Forge::Gitlab, Forge::Gitea, Forge::Forgejo, Forge::Bitbucket] {
        let (forge, project) = forge_and_project(kind).await;
        assert_eq!(project.set_deployment(&report(Rollout::Success), None).await.unwrap(), None);
        assert_eq!(forge.asked(), 0);
    }
}

#[tokio::test]
async fn every_error_is_understood_and_none_tells_the_token() {
    for kind in Forge::ALL {
        let (forge, project) = forge_and_project(kind).await;
        for trouble in [
            Trouble::Unauthorized,
            Trouble::Limited(1_700_000_600),
            Trouble::Forbidden,
            Trouble::NotFound,
            Trouble::Conflict,
            Trouble::Unprocessable,
            Trouble::Broken,
        ] {
            forge.with(|inside| inside.troubles.push_back(Some(trouble)));
            let error = project.set_status(&status(sha('b'), StatusState::Pending)).await.unwrap_err();
            let is_right = match (trouble, &error) {
                (Trouble::Unauthorized, ForgeError::Unauthorized(said)) => said.contains("token"),
                (Trouble::Limited(_), ForgeError::Limited { until, .. }) => {
                    *until == Until::At(Timestamp::from_millis(1_700_000_600_000))
                }
                (Trouble::Forbidden, ForgeError::Refused(said)) => said.contains("the token needs"),
                (Trouble::NotFound | Trouble::Unprocessable, ForgeError::Refused(_)) => true,
                (Trouble::Conflict | Trouble::Broken, ForgeError::Passing(_)) => true,
                (_, _) => false,
            };
            assert!(is_right, "{kind:?} {trouble:?}: {error:?}");
            assert!(!error.to_string().contains(TOKEN), "{error}");
        }
        let other = project_of(&forge, "an0ther-token", PATIENCE);
        let error = other.set_status(&status(sha('b'), StatusState::Pending)).await.unwrap_err();
        assert!(matches!(&error, ForgeError::Unauthorized(said) if !said.contains("an0ther")), "{error:?}");
        let broken = project_of(&forge, "a\ntoken", PATIENCE);
        let error = broken.set_status(&status(sha('b'), StatusState::Pending)).await.unwrap_err();
        assert!(matches!(&error, ForgeError::Refused(said) if !said.contains("a\ntoken")), "{error:?}");
    }
}

#[tokio::test]
async fn a_forge_that_hangs_is_waited_for_so_long_and_no_longer() {
    let forge = FakeForge::open(Forge::Gitlab).await;
    let project = project_of(&forge, TOKEN, Duration::from_millis(50));
    forge.with(|inside| inside.trouble = Some(Trouble::Hang));
    let error = project.set_comment(&comment("one"), &marker(), None).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Passing(said) if said.contains("within 0.05 s")), "{error:?}");
}

#[tokio::test]
async fn an_app_signs_who_it_is_and_keeps_its_token_until_shortly_before_the_end() {
    let forge = FakeForge::open(Forge::Github).await;
    let (world, redactor) = (World::default(), Arc::new(Redactor::default()));
    let login = ForgeLogin::App { id: "12345".into(), key: include_str!("../fixtures/app.pem").into() };
    let (kind, api, project) = (Forge::Github, forge.api.clone(), "team/shop".to_owned());
    let settings = ForgeSettings { kind, api, project, login, patience: PATIENCE };
    let project = connect(settings, Arc::new(world.clone()), redactor.clone()).unwrap();
    let send = async || project.set_status(&status(sha('b'), StatusState::Pending)).await;
    send().await.unwrap();
    send().await.unwrap();
    let signed = forge.with(|inside| inside.signed.clone());
    assert_eq!(signed.len(), 1, "the token is kept");
    assert_eq!(redactor.text(&installation_token(1)), "***");
    let jwt = signed[0].strip_prefix("Bearer ").unwrap();
    let (text, signature) = jwt.rsplit_once('.').unwrap();
    let public = BASE64.decode(APP_KEY.as_bytes()).unwrap();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(text.as_bytes(), &BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap()).unwrap();
    let claims = BASE64URL_NOPAD.decode(text.split_once('.').unwrap().1.as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], &claims["iat"]), (&Value::from("12345"), &Value::from(1_699_999_940)));
    assert_eq!(claims["exp"], 1_700_000_540);

    world.with(|inside| inside.now += 3_500_000);
    send().await.unwrap();
    assert_eq!(forge.with(|inside| inside.signed.len()), 2, "it ends in two minutes");
    // The fake's tokens end an hour after the beginning: from now on each is asked for anew.
    forge.with(|inside| inside.troubles.extend([None, None, Some(Trouble::Unauthorized)]));
    send().await.unwrap();
    assert_eq!(forge.with(|inside| inside.signed.len()), 4, "a token that was taken back is asked for anew");
    assert_eq!(redactor.text(&installation_token(1)), "***", "it counts for some seconds more");
    world.with(|inside| inside.now += 200_000);
    send().await.unwrap();
    let (old, new) = (installation_token(4), installation_token(5));
    assert_eq!((redactor.text(&old), redactor.text(&new)), (old.as_str().into(), "***".into()));
    let broken = ForgeLogin::App { id: "1".into(), key: "no key".into() };
    let settings = ForgeSettings {
        kind,
        api: forge.api.clone(),
        project: "team/shop".into(),
        login: broken,
        patience: PATIENCE,
    };
    let refused = connect(settings, Arc::new(world), redactor).err().unwrap();
    assert!(refused.starts_with("app_key_file: "), "{refused}");
}
