//! What every container is told of its environment, and what `${…}` in a compose file may name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::discovered::DiscoveredService;
use super::primary::primary_by_name;
use crate::domain::names::{BranchName, CommitSha, RepoName, Slug};
use crate::domain::slug;

/// How addresses are made.
#[derive(Clone, Copy, Debug)]
pub struct AddressParts<'a> {
    pub slug: &'a Slug,
    pub domain: &'a str,
    /// `https` or `http`.
    pub proto: &'a str,
    /// Only where it is not the protocol's own.
    pub port: Option<u16>,
}

/// Whose environment it is.
#[derive(Clone, Copy, Debug)]
pub struct CommitVariables<'a> {
    pub repo: &'a RepoName,
    pub branch: &'a BranchName,
    pub commit: &'a CommitSha,
}

/// `DREY_*` for containers: constant for the environment's life. `labels`: service → hostname part, empty for the
/// primary.
pub fn container_variables(
    address: AddressParts<'_>,
    repo: &RepoName,
    branch: &BranchName,
    labels: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let host = |label: &str| match address.port {
        Some(port) => format!("{}:{port}", slug::hostname(address.slug, label, address.domain)),
        None => slug::hostname(address.slug, label, address.domain),
    };
    let url = |label: &str| format!("{}://{}", address.proto, host(label));
    let mut variables = BTreeMap::from([
        ("DREY_URL".to_owned(), url("")),
        ("DREY_HOST".to_owned(), slug::hostname(address.slug, "", address.domain)),
        ("DREY_REPO".to_owned(), repo.to_string()),
        ("DREY_BRANCH".to_owned(), branch.to_string()),
        ("DREY_SLUG".to_owned(), address.slug.to_string()),
    ]);
    for (service, label) in labels {
        variables.insert(format!("DREY_URL_{}", variable_part(service)), url(label));
    }
    variables
}

/// Adds the paths of services that share a name by them to their addresses.
pub fn put_paths(variables: &mut BTreeMap<String, String>, services: &[DiscoveredService]) {
    for found in services.iter().filter(|found| !found.path.is_root()) {
        if let Some(url) = variables.get_mut(&format!("DREY_URL_{}", variable_part(&found.service))) {
            url.push_str(found.path.as_str());
        }
    }
}

/// `DREY_*` for `${…}`: the containers' ones as far as the names of services tell, and the commit. [`corrected`] looks
/// at them again when more is known.
pub fn render_variables(
    address: AddressParts<'_>,
    of: CommitVariables<'_>,
    services: &[String],
) -> BTreeMap<String, String> {
    let names: Vec<&str> = services.iter().map(String::as_str).collect();
    let mut labels = slug::service_labels(&names);
    if let Some(primary) = primary_by_name(&names) {
        labels.insert(primary.to_owned(), String::new());
    }
    let mut variables = container_variables(address, of.repo, of.branch, &labels);
    variables.insert("DREY_COMMIT".to_owned(), of.commit.to_string());
    variables
}

/// The variables to resolve the files with once more, where an address that was guessed from names is wrong and the
/// document has used it. `right`: the containers' variables, as the resolved document tells them.
pub fn corrected(
    given: &BTreeMap<String, String>,
    right: &BTreeMap<String, String>,
    document: &Value,
) -> Option<BTreeMap<String, String>> {
    let is_wrong = |(name, value): &(&String, &String)| {
        name.starts_with("DREY_URL_") && right.get(*name) != Some(*value)
    };
    let text = document.to_string();
    given.iter().filter(is_wrong).any(|(_, value)| text.contains(value.as_str())).then(|| {
        let kept = given.iter().filter(|entry| !is_wrong(entry));
        let mut variables: BTreeMap<String, String> =
            kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        variables.extend(right.clone());
        variables
    })
}

fn variable_part(service: &str) -> String {
    service.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
