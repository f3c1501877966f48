//! Hostile names on their way through everything: accepted or refused, and harmless wherever they come out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use drey::adapters::process::Command;
use drey::domain::environment::Phase;
use drey::domain::names::BranchName;
use drey::domain::text::is_harmless;
use serde_json::Value;

use crate::harness::{document, in_house};

const NAMES: &[&str] = include!("../fixtures/hostile_names.rs");

/// Ours, and where there is one, a corpus of others: `DREY_CORPORA`, or a folder beside the repository's.
fn names() -> Vec<String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let corpora = std::env::var_os("DREY_CORPORA").map_or(beside, PathBuf::from);
    let more = std::fs::read(corpora.join("branch-names.txt")).unwrap_or_default();
    let more = String::from_utf8_lossy(&more).into_owned();
    NAMES.iter().copied().chain(more.lines()).map(str::to_owned).collect()
}

fn accepted() -> BTreeSet<String> {
    names().into_iter().filter(|name| BranchName::parse(name).is_ok()).collect()
}

/// One label of a name of the domain system (RFC 1035), not an encoded one.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.get(2..4) != Some("--")
}

#[test]
fn what_git_refuses_is_refused_and_the_refusal_is_harmless() {
    for name in names() {
        let Err(error) = BranchName::parse(&name) else { continue };
        assert!(error.to_string().chars().all(is_harmless), "{error}");
    }
    for refused in
        ["--upload-pack=touch pwned", "-x", "HEAD", "..", "../../etc/passwd", "a\nb", "a\u{1b}[31mred", ""]
    {
        assert!(BranchName::parse(refused).is_err(), "{refused:?}");
    }
    for taken in ["$(id)", "<script>alert(1)</script>", "a\u{202e}gnp.exe", "a\u{9b}31mred", "a';DROP"] {
        assert!(BranchName::parse(taken).is_ok(), "{taken:?}: git takes it, and so must drey");
    }
}

#[tokio::test]
async fn every_name_that_git_takes_gets_an_environment_with_an_address_of_its_own() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        let names: Vec<String> =
            accepted().into_iter().filter(|name| name != "main" && name != "develop").collect();
        assert!(names.len() > 50, "{}", names.len());
        let mut slugs = BTreeSet::new();
        for name in &names {
            house.commit('b', name, &['a'], document());
            assert_eq!(house.push(name).await.action, "deploying", "{name:?}");
            let environment = house.reaches(name, Phase::Ready).await;
            assert_eq!(environment.branch.as_str(), name, "as it was");
            assert!(is_label(environment.slug.as_str()), "{name:?}: {}", environment.slug);
            assert!(is_label(&format!("{}--{}", environment.slug, "s".repeat(21))), "{name:?}");
            assert!(
                slugs.insert(environment.slug.clone()),
                "{name:?} has another's slug {}",
                environment.slug
            );
            let project = environment.project.to_string();
            assert!(
                project.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b)),
                "{project}"
            );
        }
        let hosts: Vec<String> = house.world.with(|inside| inside.table.hosts.keys().cloned().collect());
        for host in hosts {
            let label = host.strip_suffix(".qa.example").unwrap();
            assert!(is_label(label), "{host}");
        }
        for path in below(house.folder.path()) {
            let text = path.strip_prefix(house.folder.path()).unwrap().to_str().unwrap().to_owned();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b)), "{text}");
        }
    })
    .await;
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

#[tokio::test]
async fn the_command_line_prints_nothing_that_steers_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("drey.toml");
    let text = "data_dir = \"data\"\n[proxy]\ndomain = \"qa.example\"\nhttp = \"127.0.0.1:0\"\n[[repo]]\nname = \"shop\"\n\
                url = \"/srv/shop.git\"\n";
    std::fs::write(&config, text).unwrap();
    let drey = async |more: &[&str]| {
        let command = Command::new(env!("CARGO_BIN_EXE_drey"));
        let command = command.args(["name", "--config", config.to_str().unwrap(), "--repo", "shop"]);
        let output = command.args(more).output().await.unwrap();
        let texts = [String::from_utf8(output.stdout).unwrap(), output.stderr];
        for text in &texts {
            assert!(text.chars().all(|c| c == '\n' || is_harmless(c)), "{text:?}");
        }
        (output.code, texts)
    };
    let accepted = accepted();
    let all: Vec<&str> = ["--"].into_iter().chain(accepted.iter().map(String::as_str)).collect();
    let (code, [shown, complaint]) = drey(&all).await;
    assert_eq!(code, Some(0), "{complaint}");
    assert!(shown.contains("$(id)") && shown.contains("agnp.exe"), "{shown}");
    let (code, [document, _]) = drey(&[&["--json"], all.as_slice()].concat()).await;
    assert_eq!(code, Some(0));
    // As JSON nothing is lost: each character has an escape.
    assert!(document.contains("a\\u202egnp.exe"), "{document}");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document.to_string().contains("a\u{202e}gnp.exe"));
    for name in names().iter().filter(|name| BranchName::parse(name).is_err() && !name.contains('\0')) {
        let (code, _) = drey(&["--", name]).await;
        assert_eq!(code, Some(2), "{name:?}");
    }
}
