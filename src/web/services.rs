//! The service directory, for people and for Prometheus.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::directory::{self, Entry};
use crate::domain::environment::Environment;
use crate::domain::names::{BranchName, RepoName};

use super::Web;
use super::error::ApiError;
use super::extract::Query;
use super::view::List;

/// Most services of one answer.
const PAGE: usize = 100;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    repo: Option<String>,
    branch: Option<String>,
    service: Option<String>,
    /// The list is in rising order: what a page said under `next`.
    after: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct DiscoveryQuery {
    repo: Option<String>,
    branch: Option<String>,
    service: Option<String>,
}

pub(super) async fn list(
    State(web): State<Web>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Entry>>, ApiError> {
    let ListQuery { repo, branch, service, after } = query;
    let entries = entries(&web, DiscoveryQuery { repo, branch, service }).await?;
    Ok(Json(page(entries, after.as_deref())))
}

/// Whole, whatever its length: what is not in it counts as gone.
pub(super) async fn prometheus(
    State(web): State<Web>,
    Query(query): Query<DiscoveryQuery>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(directory::prometheus(&entries(&web, query).await?)))
}

async fn entries(web: &Web, query: DiscoveryQuery) -> Result<Vec<Entry>, ApiError> {
    let repo = query.repo.as_deref().map(RepoName::parse).transpose()?;
    let branch = query.branch.as_deref().map(BranchName::parse_any).transpose()?;
    let passes = |it: &Environment| {
        repo.as_ref().is_none_or(|repo| it.repo == *repo)
            && branch.as_ref().is_none_or(|branch| it.branch == *branch)
    };
    let mut entries = web.inner.orchestrator.directory(passes).await?;
    if let Some(service) = query.service {
        entries.retain(|entry| entry.service == service);
    }
    Ok(entries)
}

fn page(mut entries: Vec<Entry>, after: Option<&str>) -> List<Entry> {
    if let Some(after) = after {
        entries.retain(|entry| entry.place().as_str() > after);
    }
    let is_more = entries.len() > PAGE;
    entries.truncate(PAGE);
    let next = entries.last().filter(|_| is_more).map(Entry::place);
    List { items: entries, next }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::domain::directory::{Metrics, Port};
    use crate::domain::names::Slug;
    use crate::domain::time::Timestamp;

    pub(in crate::web) fn entry(container: &str) -> Entry {
        let address = IpAddr::from([10, 0, 0, 2]);
        Entry {
            repo: RepoName::parse("shop").unwrap(),
            branch: BranchName::parse("feature/x").unwrap(),
            slug: Slug::parse("feature-x").unwrap(),
            service: "web".to_owned(),
            container: container.to_owned(),
            container_id: "ff".to_owned(),
            image: "app:1".to_owned(),
            state: "running",
            health: "none",
            addresses: BTreeMap::from([("n".to_owned(), address)]),
            ports: vec![Port { port: 80, protocol: "tcp".to_owned() }],
            url: Some("https://feature-x.qa.example".to_owned()),
            metrics: Some(Metrics {
                address: SocketAddr::new(address, 80),
                path: "/metrics".to_owned(),
                scheme: "http",
                labelled: false,
            }),
            since: Some(Timestamp::from_millis(0)),
        }
    }

    #[test]
    fn a_page_goes_on_after_the_one_before_it_and_the_last_says_so() {
        let all: Vec<Entry> = (0..250).map(|number| entry(&format!("c{number:03}"))).collect();
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let List { items, next } = page(all.clone(), after.as_deref());
            assert!(items.len() <= PAGE);
            seen.extend(items);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert_eq!(page(all[..PAGE].to_vec(), None).next, None);
    }
}
