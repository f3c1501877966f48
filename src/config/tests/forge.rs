//! Forges and pull requests.

use super::*;

#[test]
fn a_forge_is_read_with_one_way_to_speak_to_it() {
    let read = |more: &str| settings(&format!("{SMALL}{more}"), &[]);
    let account = |more: &str| {
        let read = read(&format!("[repo.forge]\nproject = \"team/shop\"\n{more}")).unwrap();
        read.repositories[0].forge.clone().unwrap()
    };
    assert_eq!(read("").unwrap().repositories[0].forge, None);
    let github = account("kind = \"github\"\ntoken = \"t\"");
    assert_eq!(github.api, "https://api.github.com");
    assert_eq!(github.credential, Some(ForgeCredential::Token(Secret::new("t".to_owned()))));
    let app = account("kind = \"github\"\napp_id = \"7\"\napp_key = \"k\"").credential;
    assert_eq!(app, Some(ForgeCredential::App { id: "7".to_owned(), key: Secret::new("k".to_owned()) }));
    let own = account("kind = \"gitea\"\napi = \"https://git.example.org/\"");
    assert_eq!((own.api.as_str(), own.credential), ("https://git.example.org", None));

    let fault = |more: &str, key: &str| {
        let errors = read(&format!("[repo.forge]\n{more}")).unwrap_err();
        let key = format!("repo[0].forge.{key}");
        assert!(errors.0.iter().any(|fault| fault.key == key), "{more}: {errors:?}");
    };
    fault("kind = \"git\"\nproject = \"team/shop\"", "kind");
    fault("kind = \"github\"", "project");
    fault("kind = \"github\"\nproject = \"../shop\"", "project");
    fault("kind = \"gitea\"\nproject = \"team/shop\"", "api");
    fault("kind = \"gitea\"\nproject = \"team/shop\"\napi = \"http://git.example.org\"", "api");
    fault("kind = \"gitea\"\nproject = \"team/shop\"\napi = \"https://u:p@git.example.org\"", "api");
    fault("kind = \"gitlab\"\nproject = \"a/b\"\napp_id = \"7\"\napp_key = \"k\"", "app_id");
    fault("kind = \"github\"\nproject = \"a/b\"\napp_id = \"7\"", "app_id");
    fault("kind = \"github\"\nproject = \"a/b\"\nuser = \"u\"\ntoken = \"t\"", "user");
}

#[test]
fn which_pull_requests_make_environments_is_read() {
    let read = settings(
        &format!("{SMALL}deploy = \"labelled\"\nlabel = \"qa\"\ndrafts = false\nsubject = \"merge\"\npaths = [\"web/**\", \"!docs/**\"]"),
        &[],
    )
    .unwrap();
    let repository = &read.repositories[0];
    let pulls = PullRules { deploy: DeployMode::Labelled, label: "qa".to_owned(), drafts: false };
    assert_eq!((&repository.pulls, repository.subject), (&pulls, Subject::Merge));
    assert_eq!(repository.paths.patterns(), ["web/**", "!docs/**"]);
    for (more, key) in [
        ("deploy = \"prs\"", "deploy"),
        ("subject = \"x\"", "subject"),
        ("paths = [\"!a[\"]", "paths"),
        ("drafts = false", "drafts"),
        ("label = \"qa\"", "label"),
        ("deploy = \"labelled\"\n[repo.forge]\nkind = \"bitbucket\"\nproject = \"a/b\"", "deploy"),
    ] {
        let errors = settings(&format!("{SMALL}{more}"), &[]).unwrap_err();
        assert_eq!(errors.0[0].key, format!("repo[0].{key}"));
    }
    let without = SMALL.replace("secret = \"s\"\n", "deploy = \"pull-requests\"\n");
    assert_eq!(settings(&without, &[]).unwrap_err().0[0].key, "repo[0].deploy");
    let broken = SMALL.replace("secret = \"s\"", "secret = \"whsec_?\"");
    assert_eq!(settings(&broken, &[]).unwrap_err().0[0].key, "repo[0].secret");
}
