//! `drey name`: what a branch would be called.

use serde_json::{Value, json};

use super::wiring;
use crate::config::{Repository, Settings};
use crate::domain::names::{BranchName, Slug};
use crate::domain::slug;
use crate::ports::Clock;
use crate::store::Store;

/// Slug, address and a note. With a database the names that are taken count, without one the first choice is told.
///
/// # Errors
/// When there is a database that cannot be read.
pub async fn name(
    settings: &Settings,
    repository: &Repository,
    branch: &BranchName,
) -> anyhow::Result<Value> {
    let database = settings.data_dir.join("drey.db");
    let slug: Slug = if database.exists() {
        let store = Store::open(&database).await?;
        let slug = store.slug_of(&repository.name, branch, super::clock::SystemClock.now()).await?;
        store.close().await;
        slug
    } else {
        slug::candidates(&repository.name, branch)
            .next()
            .ok_or_else(|| anyhow::anyhow!("{branch}: no slug can be made"))?
    };
    let address = wiring::address(settings);
    let host = address.primary_host(&slug);
    let note = repository.wants(branch).err();
    Ok(json!({
        "branch": branch,
        "slug": slug,
        "url": address.url(&host),
        "host": host,
        "services": address.url(&slug::hostname(&slug, "<service>", &address.domain)),
        "note": note,
    }))
}
