//! Tidying a mirror: many small files become few. It changes nothing of what can be asked of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::turn::Turn;
use super::{GitSettings, mirror};
use crate::adapters::process::{Command, Jail, Output};
use crate::domain::names::RepoName;
use crate::ports::{PortError, PortResult};

/// More packs than this slow down every question: each one is looked through.
const PACKS_AT_MOST: usize = 20;
/// Loose objects lie in 256 folders, evenly: so many in one of them are about 2000 in all.
const LOOSE_AT_MOST: usize = 8;
/// The folder that is counted.
const ONE_FOLDER: &str = "objects/17";
/// A mirror is tidied once in this time, however much comes in.
pub(super) const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// A mirror that takes longer is left as it is; the next round tries again.
const LIMIT: Duration = Duration::from_secs(10 * 60);
/// What no ref has led to for so long goes: commits of branches that are over or were written anew.
const FORGET_AFTER: &str = "--prune=14.days.ago";

/// What became of tidying a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tidied {
    /// There was nothing to do, it was done not long ago, or somebody else has their turn.
    NotNow,
    Done,
    /// Somebody wanted to fetch.
    GaveWay,
}

pub(super) async fn tidy(settings: &GitSettings, repo: &RepoName, turn: &Turn) -> PortResult<Tidied> {
    let folder = mirror::path(&settings.mirrors, repo);
    if !turn.is_due(EVERY) || !is_untidy(&folder) {
        return Ok(Tidied::NotNow);
    }
    let Some(_held) = turn.try_take() else { return Ok(Tidied::NotNow) };
    let ended = tokio::select! {
        biased;
        () = turn.wanted() => None,
        output = command(settings, repo, &folder).output() => Some(output),
    };
    match ended {
        Some(Ok(output)) if output.succeeded() => {
            turn.is_tidy();
            Ok(Tidied::Done)
        }
        Some(other) => {
            clean_up(&folder);
            Err(failure(repo, other))
        }
        None => {
            clean_up(&folder);
            Ok(Tidied::GaveWay)
        }
    }
}

/// As `git gc --auto` decides.
fn is_untidy(mirror: &Path) -> bool {
    let count = |folder: &str, suffix: &str| {
        let entries = fs::read_dir(mirror.join(folder)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(suffix)).count()
    };
    count("objects/pack", ".pack") > PACKS_AT_MOST || count(ONE_FOLDER, "") > LOOSE_AT_MOST
}

/// On one processor, and only while nothing else wants it. Refs of every kind keep what they lead to.
fn command(settings: &GitSettings, repo: &RepoName, mirror: &Path) -> Command {
    let jail = Jail {
        drey: settings.drey.clone(),
        write: vec![settings.mirrors.clone()],
        memory: Some(settings.limits.memory),
        ..Jail::default()
    };
    let mut git_dir = std::ffi::OsString::from("--git-dir=");
    git_dir.push(mirror);
    jail.wrap("nice", ["-n", "19", "git"])
        .arg(git_dir)
        // Forced, because its own lock would outlive one that was killed; ours holds.
        .args(["-c", "pack.threads=1", "gc", "--quiet", "--force", FORGET_AFTER])
        .current_dir(&settings.mirrors)
        .env("HOME", &settings.mirrors)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", mirror::config_path(&settings.mirrors, repo))
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("MALLOC_ARENA_MAX", "2")
        .time_limit(LIMIT)
}

/// What a killed git leaves. We still have the turn.
fn clean_up(mirror: &Path) {
    mirror::unlock(mirror);
    mirror::sweep(mirror);
}

fn failure(repo: &RepoName, ended: PortResult<Output>) -> PortError {
    match ended {
        Ok(output) => {
            let said = output.stderr.trim();
            PortError::Transient(format!("the mirror of repository {repo} cannot be tidied: {said}"))
        }
        Err(error) => error,
    }
}
