//! A damaged mirror is fetched anew. What only the mirror has, the commits of archives, is carried over; where that
//! cannot be, the damaged one is kept beside it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::file;
use super::kept::NAMESPACE;
use super::{GitSettings, blocking, mirror};
use crate::adapters::process::{Command, Jail};
use crate::domain::names::RepoName;
use crate::ports::PortResult;

/// Carrying over one commit; it lies on the same disk.
const CARRY_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Where the new one is made.
pub(super) fn fresh_path(mirror: &Path) -> PathBuf {
    mirror.with_extension("git.fresh")
}

/// The damaged one, until it is removed.
fn old_path(mirror: &Path) -> PathBuf {
    mirror.with_extension("git.old")
}

fn damaged_path(mirror: &Path) -> PathBuf {
    mirror.with_extension("git.damaged")
}

/// An empty one, beside the damaged one.
pub(super) async fn begin(mirror: &Path) -> PortResult<PathBuf> {
    let fresh = fresh_path(mirror);
    let made = fresh.clone();
    blocking(move || mirror::initialise(&made)).await?;
    Ok(fresh)
}

pub(super) async fn give_up(fresh: PathBuf) {
    blocking(move || remove(&fresh)).await.ok();
}

/// Carries over into the new one what only the damaged one has; where the damaged one is to go. Under the lock.
pub(super) async fn carry_over(settings: &GitSettings, repo: &RepoName, fresh: &Path) -> PortResult<PathBuf> {
    let mirror = mirror::path(&settings.mirrors, repo);
    let kept = kept_refs(&mirror);
    let mut lost = Vec::new();
    for name in &kept {
        if !carry(settings, repo, (&mirror, fresh), name).await? {
            lost.push(name.trim_start_matches(NAMESPACE));
        }
    }
    let damaged = damaged_path(&mirror);
    if lost.is_empty() {
        tracing::warn!(%repo, archives = kept.len(), "the mirror was damaged: it is fetched anew");
    } else {
        tracing::error!(
            %repo,
            archives = lost.join(", "),
            damaged = %damaged.display(),
            "the mirror was damaged, and the commits of these archives cannot be read from it: it is kept aside, and \
             may be removed by hand"
        );
    }
    Ok(if lost.is_empty() { old_path(&mirror) } else { damaged })
}

/// The last steps: `aside` is where the damaged one goes. While nobody makes a mirror.
pub(super) fn swap(mirror: &Path, aside: &Path) -> PortResult<()> {
    let aside = if aside.exists() { &old_path(mirror) } else { aside };
    remove(&old_path(mirror))?;
    fs::rename(mirror, aside).map_err(|error| file("cannot rename to", aside, &error))?;
    let fresh = fresh_path(mirror);
    fs::rename(&fresh, mirror).map_err(|error| file("cannot rename to", mirror, &error))?;
    remove(&old_path(mirror))
}

/// Whether the commit, with all that it leads to, is in the new mirror now.
async fn carry(
    settings: &GitSettings,
    repo: &RepoName,
    (from, to): (&Path, &Path),
    name: &str,
) -> PortResult<bool> {
    let jail = Jail {
        drey: settings.drey.clone(),
        write: vec![settings.mirrors.clone()],
        memory: Some(settings.limits.memory),
        ..Jail::default()
    };
    let mut git_dir = std::ffi::OsString::from("--git-dir=");
    git_dir.push(to);
    let command: Command = jail
        .wrap("git", [git_dir])
        .args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--refmap=",
            "--",
        ])
        .arg(from)
        .arg(format!("+{name}:{name}"))
        .current_dir(&settings.mirrors)
        .env("HOME", &settings.mirrors)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", mirror::config_path(&settings.mirrors, repo))
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("MALLOC_ARENA_MAX", "2")
        .env("GIT_ALLOW_PROTOCOL", "file")
        .time_limit(CARRY_LIMIT);
    Ok(command.output().await?.succeeded())
}

/// Refs of archives, read from the files: the damage may be anywhere.
fn kept_refs(mirror: &Path) -> BTreeSet<String> {
    let packed = fs::read(mirror.join("packed-refs")).unwrap_or_default();
    let packed = String::from_utf8_lossy(&packed).into_owned();
    let packed = packed.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name.to_owned());
    let loose = fs::read_dir(mirror.join(NAMESPACE)).into_iter().flatten().flatten();
    let loose = loose.filter_map(|entry| Some(format!("{NAMESPACE}{}", entry.file_name().to_str()?)));
    let names = packed.filter(|name| name.starts_with(NAMESPACE)).chain(loose);
    names.filter(|name| git2::Reference::is_valid_name(name)).collect()
}

fn remove(folder: &Path) -> PortResult<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(file("cannot remove", folder, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Ends a replacement that was killed between its last steps. What cannot be moved now is met again.
pub(super) fn finish_interrupted(mirror: &Path) {
    let fresh = fresh_path(mirror);
    if !mirror.exists() && fresh.exists() {
        fs::rename(&fresh, mirror).unwrap_or_default();
    }
}
