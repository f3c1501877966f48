//! The compose tool itself on small checkouts: what is rendered of them, and what is refused before and after. Needs
//! the plugin, no engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stdout, reason = "a test tells what it passes over")]
#![allow(clippy::disallowed_methods, reason = "a test starts the program that a user would start")]

mod checked;
mod checker;
mod corpora;
mod dice;
mod hostile;
mod interlock;
mod mutants;
mod schema;
mod variations;

use std::path::PathBuf;

use drey::adapters::compose::{ComposeCli, ComposeSettings};
use drey::domain::names::ProjectName;
use drey::domain::policy::PathFact;
use drey::ports::{RenderRequest, Rendered, Stacks};
use serde_json::{Value, json};

/// Renders a checkout with these files.
async fn render(files: &[(&str, &str)]) -> Result<Rendered, String> {
    let folder = tempfile::tempdir().unwrap();
    let checkout = folder.path().join("checkout");
    for (name, text) in files {
        let path = checkout.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let compose = ComposeCli::new(ComposeSettings {
        engine_host: "unix:///nonexistent".to_owned(),
        drey: Some(PathBuf::from(env!("CARGO_BIN_EXE_drey"))),
        home: None,
        empty_folder: folder.path().join("empty"),
        overlay: None,
    });
    let request = RenderRequest {
        checkout,
        project: ProjectName::from_stored("p".to_owned()),
        files: Vec::new(),
        variables: [("MAIL".to_owned(), "qa@example.org".to_owned())].into(),
    };
    compose.render(&request).await.map_err(|error| error.to_string())
}

async fn service(files: &[(&str, &str)]) -> Value {
    render(files).await.unwrap().document["services"]["web"].clone()
}

/// All that a process could have of itself, unset: with a default that only what is set would replace.
const NAMES: [&str; 9] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "DOCKER_HOST",
    "COMPOSE_MENU",
    "COMPOSE_FILE",
    "COMPOSE_DISABLE_ENV_FILE",
    "CARGO_MANIFEST_DIR",
];

#[tokio::test]
async fn nothing_of_the_process_is_seen_in_the_files() {
    let unset: Vec<String> = NAMES.iter().map(|name| format!("${{{name}-}}")).collect();
    let unset = unset.concat();
    let compose = format!(
        "services: {{web: {{image: x, env_file: some.env, build: {{context: ., args: [CARGO_MANIFEST_DIR, MAIL]}}, \
         environment: {{A: 'a{unset}', MAIL: , B: '${{B}}'}}}}}}"
    );
    let lines = format!("C=\"c{unset}\"\nCARGO_MANIFEST_DIR\n");
    let dotenv = format!("B=\"b{unset}\"\n");
    let found = service(&[("compose.yaml", &compose), ("some.env", &lines), (".env", &dotenv)]).await;
    assert_eq!(found["environment"], json!({ "A": "a", "B": "b", "C": "c", "MAIL": "qa@example.org" }));
    assert_eq!(found["build"]["args"], json!({ "MAIL": "qa@example.org" }));
}

#[tokio::test]
async fn what_the_tool_runs_with_is_refused_by_name() {
    for (compose, other) in [
        ("services: {web: {image: 'x${DOCKER_CONFIG}'}}", ""),
        ("services: {web: {build: {context: ., args: [DOCKER_CONFIG]}}}", ""),
        ("services: {web: {image: x, env_file: other}}", "DOCKER_CONFIG\n"),
        ("services: {web: {image: x, env_file: other}}", "A=$DOCKER_CONFIG\n"),
        ("services: {web: {image: x, env_file: other}}", "A='x' DOCKER_CONFIG\n"),
        ("services: {web: {image: x, environment: ['${A:-DOCKER_CONFIG}']}}", ""),
    ] {
        let refused = render(&[("compose.yaml", compose), ("other", other)]).await.unwrap_err();
        assert!(refused.contains("from the process that reads the file"), "{compose} {other}: {refused}");
    }
}

#[tokio::test]
async fn keys_for_a_build_are_refused_in_our_words() {
    let compose = "services: {web: {build: {context: ., ssh: ['default=/root/.ssh/id']}}}";
    let refused = render(&[("compose.yaml", compose)]).await.unwrap_err();
    assert!(refused.starts_with("compose.yaml:1: services.web.build.ssh: refused (BUILD): "), "{refused}");
    let none = "services: {web: {build: {context: ., ssh: []}}}";
    assert!(render(&[("compose.yaml", none)]).await.is_ok());
}

#[tokio::test]
async fn a_dotenv_means_what_it_means_to_compose() {
    let compose = "services: {web: {image: x, environment: {A: '$A', B: '$B', C: '$C', D: '$D'}}}";
    let dotenv = "A=\"C:\\\\\"\nB='it\\'s'\nexport C = \"x \\\" y\" D=z # note\n";
    let found = service(&[("compose.yaml", compose), (".env", dotenv)]).await;
    assert_eq!(found["environment"], json!({ "A": "C:\\", "B": "it's", "C": "x \" y", "D": "z" }));
    let refused = render(&[("compose.yaml", compose), (".env", "A=1\nB=\"x\nC=2\n")]).await.unwrap_err();
    assert!(refused.starts_with(".env: refused (YAML): line 2: the quote \" before"), "{refused}");
}

#[tokio::test]
async fn settings_come_from_the_files_and_not_from_what_they_include() {
    let compose = "include: [more.yaml]\nx-drey: {merge_grace: \"${GRACE:-5m}\", keep: [a]}\n\
                   services: {web: {image: x}}";
    let files = [
        ("compose.yaml", compose),
        ("compose.override.yaml", "x-drey: {keep: [b]}"),
        ("more.yaml", "x-drey: {sleep_after: 1h}"),
    ];
    let rendered = render(&files).await.unwrap();
    assert_eq!(rendered.document["x-drey"], json!({ "merge_grace": "5m", "keep": ["a", "b"] }));
    let remark = rendered.remarks.first().unwrap();
    assert_eq!((remark.file.as_deref(), remark.key.as_str()), (Some("more.yaml"), "x-drey"));
}

#[tokio::test]
async fn an_escaped_dollar_is_looked_for_on_the_disk_as_one() {
    let compose = "services: {web: {image: x, volumes: ['./a$$b:/x'], build: './c$$d'}}";
    let rendered = render(&[("compose.yaml", compose), ("a$b/f", ""), ("c$d/Dockerfile", "")]).await.unwrap();
    let found = |name: &str| rendered.facts.paths[&rendered.facts.root.join(name)];
    assert_eq!((found("a$b"), found("c$d")), (PathFact::Directory, PathFact::Directory));
    assert_eq!(found("c$d/Dockerfile"), PathFact::File);
}

#[tokio::test]
async fn files_that_lead_back_to_themselves_are_told_in_a_word() {
    let web = |more: &str| format!("services: {{web: {{image: x, {more}}}, base: {{image: y}}}}");
    let to_base = web("extends: {file: ./a/../compose.yaml, service: base}");
    assert!(render(&[("compose.yaml", &to_base), ("a/f", "")]).await.is_ok());
    let to_itself = web("extends: {file: ./a/../compose.yaml, service: web}");
    let refused = render(&[("compose.yaml", &to_itself), ("a/f", "")]).await.unwrap_err();
    assert!(refused.contains("ircular reference") && refused.len() < 300, "{refused}");
    let including = format!("include: [a/more.yaml]\n{}", web(""));
    let back = "include: [../a/../compose.yaml]\nservices: {}\n";
    let refused = render(&[("compose.yaml", &including), ("a/more.yaml", back)]).await.unwrap_err();
    assert_eq!(
        refused,
        "a/more.yaml:1: include[0]: refused (YAML): `compose.yaml` includes itself, by way of `a/more.yaml`; take one of \
         the two out"
    );
}

#[test]
fn a_check_leaves_what_lies_beside_the_checkout_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (checkout, beside) = (folder.path().join("shop"), folder.path().join("shop.render"));
    for (path, text) in
        [(checkout.join("compose.yaml"), "services: {web: {image: x}}"), (beside.join("a"), "")]
    {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let drey = std::process::Command::new(env!("CARGO_BIN_EXE_drey"))
        .args(["stack", "check", "--json"])
        .arg(&checkout)
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&drey.stdout).unwrap();
    assert_eq!((drey.status.code(), &said["verdict"]), (Some(0), &json!("accept")), "{said}");
    assert!(beside.join("a").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
