//! `drey name`: what branches would be called.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde_json::{Value, json};

use super::scratch::Scratch;
use super::wiring;
use crate::config::{Repository, Settings};
use crate::domain::environment::Intent;
use crate::domain::names::{BranchName, Slug};
use crate::domain::slug;
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::store::{NewEnvironment, Store};

/// How often a database is copied anew that was written meanwhile, and the pause before.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Slug, address and a note of each, in order: what an earlier one gets is taken for a later one. With a database the
/// names that are taken count; it is looked at in a copy, and stays as it is.
///
/// # Errors
/// When there is a database that cannot be read.
pub async fn names(
    settings: &Settings,
    repository: &Repository,
    branches: &[BranchName],
) -> anyhow::Result<Vec<Value>> {
    let scratch = Scratch::create().context("a temporary folder cannot be made")?;
    let copy = scratch.path().join("drey.db");
    let database = settings.data_dir.join("drey.db");
    if database.try_exists().with_context(|| format!("{}", database.display()))? {
        copy_database(&database, &copy)
            .await
            .with_context(|| format!("{}: cannot be read", database.display()))?;
    }
    let store = Store::open(&copy).await?;
    let now = super::clock::SystemClock.now();
    let address = wiring::address(settings);
    let mut names = Vec::new();
    for branch in branches {
        let note = repository.wants(branch).err();
        let slug = match note {
            None => claim(&store, repository, branch, now).await?,
            Some(_) => store.slug_of(&repository.name, branch, now).await?,
        };
        let host = address.primary_host(&slug);
        names.push(json!({
            "branch": branch,
            "slug": slug,
            "url": address.url(&host),
            "host": host,
            "services": address.url(&slug::hostname(&slug, "<service>", &address.domain)),
            "note": note,
        }));
    }
    store.close().await;
    Ok(names)
}

/// As a push would: in the copy.
async fn claim(
    store: &Store,
    repository: &Repository,
    branch: &BranchName,
    now: Timestamp,
) -> anyhow::Result<Slug> {
    if let Some(live) = store.live_environment(&repository.name, branch).await? {
        return Ok(live.slug);
    }
    let new = NewEnvironment {
        restored_from: None,
        repo: repository.name.clone(),
        branch: branch.clone(),
        intent: Intent::Run { commit: None, rebuild: false, pull: false },
        commit: None,
        now,
    };
    Ok(store.create_environment(new).await?.slug)
}

/// The database as of one moment: what changed while it was copied is copied again.
async fn copy_database(database: &Path, copy: &Path) -> anyhow::Result<()> {
    let (log, log_copy) = (beside(database), beside(copy));
    for _ in 0..TRIES {
        let before = (stamp(database), stamp(&log));
        std::fs::copy(database, copy)?;
        if before.1.is_some() {
            std::fs::copy(&log, &log_copy)?;
        } else {
            std::fs::remove_file(&log_copy).ok();
        }
        if before == (stamp(database), stamp(&log)) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("it is written all the time; try again")
}

/// The write-ahead log of a database.
fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> Settings {
        let file = folder.join("drey.toml");
        let text = "data_dir = \"state\"\n[proxy]\ndomain = \"qa.example\"\nhttps = \"0.0.0.0:443\"\n\
                    [[repo]]\nname = \"shop\"\nurl = \"/srv/git/shop.git\"\n";
        std::fs::write(&file, text).unwrap();
        Settings::from_parts(Some(&file), &[]).unwrap()
    }

    async fn slugs(settings: &Settings, branches: &[&str]) -> Vec<String> {
        let branches: Vec<BranchName> =
            branches.iter().map(|name| BranchName::parse(name).unwrap()).collect();
        let found = names(settings, &settings.repositories[0], &branches).await.unwrap();
        found.iter().map(|item| item["slug"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn earlier_names_are_taken_for_later_ones_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let found = slugs(&settings, &["feature/a", "feature-a", "feature/a"]).await;
        assert_eq!(found[0], "feature-a");
        assert!(found[1].starts_with("feature-a-"), "{found:?}");
        assert_eq!(found[2], "feature-a");
        assert!(!settings.data_dir.exists());
    }

    #[tokio::test]
    async fn the_names_of_a_live_database_count_and_it_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        std::fs::create_dir(&settings.data_dir).unwrap();
        let database = settings.data_dir.join("drey.db");
        let store = Store::open(&database).await.unwrap();
        let branch = BranchName::parse("feature-a").unwrap();
        claim(&store, &settings.repositories[0], &branch, Timestamp::from_millis(1)).await.unwrap();
        let before = (stamp(&database), stamp(&beside(&database)));
        let found = slugs(&settings, &["feature/a", "feature-a"]).await;
        assert_ne!(found[0], "feature-a");
        assert_eq!(found[1], "feature-a");
        assert_eq!(before, (stamp(&database), stamp(&beside(&database))));
        assert_eq!(store.environments(true).await.unwrap().len(), 1);
    }
}
