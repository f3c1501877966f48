//! Where a compose file names other files.

use std::path::Path;

use super::super::facts::Resolved;
use super::tree::{FILE_LIMIT, Node};
use super::{SMALL_FILE_LIMIT, unreadable};
use crate::domain::policy::PathFact;

/// A path in a compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// For instance `services.web.env_file[0].path`.
    pub(super) key: String,
    pub(super) path: String,
    pub(super) kind: Kind,
}

/// What the path is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Another compose file, with its `project_directory`.
    Include {
        project: Option<String>,
    },
    /// A compose file from which a service is taken.
    Extends,
    /// A small file of assignments.
    Lines,
    /// The folder that an included file's paths count from.
    ProjectFolder,
    /// A config or secret.
    Mounted,
    /// A build context.
    Folder,
    Dockerfile,
}

impl Kind {
    /// Read while the file is rendered: before anything could be judged.
    pub(super) fn is_read_by_compose(&self) -> bool {
        match self {
            Self::Include { .. } | Self::Extends | Self::Lines | Self::ProjectFolder => true,
            Self::Mounted | Self::Folder | Self::Dockerfile => false,
        }
    }

    pub(super) fn is_compose_file(&self) -> bool {
        matches!(self, Self::Include { .. } | Self::Extends)
    }

    /// Why what was found does not serve. What is missing inside the checkout harms nobody.
    pub(super) fn fault(&self, resolved: &Resolved) -> Option<&'static str> {
        let limit = match self {
            Self::Lines => SMALL_FILE_LIMIT,
            Self::Include { .. } | Self::Extends | Self::Mounted | Self::Dockerfile => FILE_LIMIT,
            Self::ProjectFolder | Self::Folder => {
                return match resolved.fact {
                    PathFact::Directory | PathFact::Root | PathFact::Missing => None,
                    PathFact::Outside => Some("leads out of the repository"),
                    PathFact::Git => Some("leads into the git data"),
                    PathFact::File | PathFact::Special => Some("is not a folder"),
                };
            }
        };
        if resolved.fact == PathFact::Missing { None } else { unreadable(resolved, limit) }
    }
}

/// Every reference of a file, with those that merge keys bring in.
pub(super) fn of(file: &Node) -> Vec<Reference> {
    let mut found = Vec::new();
    for include in file.all("include") {
        for (at, entry) in listed("include", include) {
            included(&mut found, &at, entry);
        }
    }
    for (name, service) in file.all("services").flat_map(Node::members) {
        of_service(&mut found, &format!("services.{name}"), service);
    }
    for kind in ["configs", "secrets"] {
        for (name, entry) in file.all(kind).flat_map(Node::members) {
            for path in entry.all("file").filter_map(Node::text) {
                add(&mut found, format!("{kind}.{name}.file"), path, Kind::Mounted);
            }
        }
    }
    found
}

/// Where a build asks for keys of the host.
pub(super) fn keys_for_builds(file: &Node) -> Vec<String> {
    let services = file.all("services").flat_map(Node::members);
    let asks = |build: &Node| build.all("ssh").any(|keys| !listed("", keys).is_empty());
    services
        .filter(|(_, service)| service.all("build").any(asks))
        .map(|(name, _)| format!("services.{name}.build.ssh"))
        .collect()
}

/// Hooks that ask for privileges, in plain words; what variables make of them is seen in the rendered document. Said here
/// because a Compose that does not know a hook yet says only that.
pub(super) fn privileged_hooks(file: &Node) -> Vec<String> {
    let is_true = |text: &str| ["true", "yes", "on", "y", "1"].contains(&text.to_ascii_lowercase().as_str());
    let mut found = Vec::new();
    for (name, service) in file.all("services").flat_map(Node::members) {
        for hook in ["post_start", "pre_start", "pre_stop"] {
            let entries = service.all(hook).flat_map(|list| listed(&format!("services.{name}.{hook}"), list));
            let asking =
                entries.filter(|(_, entry)| entry.all("privileged").filter_map(Node::text).any(is_true));
            found.extend(asking.map(|(at, _)| format!("{at}.privileged")));
        }
    }
    found
}

/// Sources in the network, in every form that Compose, git and the builder know.
pub(super) fn is_remote(path: &str) -> bool {
    let lower = path.trim().to_ascii_lowercase();
    let scp_like = lower.split_once(':').is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
    lower.contains("://")
        || scp_like
        || ["git@", "github.com/", "github.com:", "oci:", "ssh:", "oci-layout:"]
            .iter()
            .any(|form| lower.starts_with(form))
}

fn included(found: &mut Vec<Reference>, key: &str, entry: &Node) {
    if let Some(path) = entry.text() {
        return add(found, key, path, Kind::Include { project: None });
    }
    let paths: Vec<(String, &str)> =
        entry.all("path").flat_map(|paths| texts(&format!("{key}.path"), paths)).collect();
    // What several files that are merged name counts from the folder of the first.
    let of_first = || match paths.as_slice() {
        [(_, first), _, ..] => Some(Path::new(first).parent()?.display().to_string()),
        _ => None,
    };
    let written = entry.all("project_directory").find_map(Node::text).map(ToOwned::to_owned);
    let project = written.or_else(of_first);
    if let Some(folder) = &project {
        add(found, format!("{key}.project_directory"), folder, Kind::ProjectFolder);
        let dotenv = Path::new(folder).join(".env").display().to_string();
        add(found, format!("{key}.project_directory"), &dotenv, Kind::Lines);
    }
    for (at, path) in paths {
        add(found, at, path, Kind::Include { project: project.clone() });
    }
    for files in entry.all("env_file") {
        for (at, path) in texts(&format!("{key}.env_file"), files) {
            add(found, at, path, Kind::Lines);
        }
    }
}

fn of_service(found: &mut Vec<Reference>, key: &str, service: &Node) {
    for name in ["env_file", "label_file"] {
        for files in service.all(name) {
            for (at, entry) in listed(&format!("{key}.{name}"), files) {
                match entry.text() {
                    Some(path) => add(found, at, path, Kind::Lines),
                    None => {
                        for path in entry.all("path").filter_map(Node::text) {
                            add(found, format!("{at}.path"), path, Kind::Lines);
                        }
                    }
                }
            }
        }
    }
    for path in service.all("extends").flat_map(|extends| extends.all("file")).filter_map(Node::text) {
        add(found, format!("{key}.extends.file"), path, Kind::Extends);
    }
    for build in service.all("build") {
        of_build(found, &format!("{key}.build"), build);
    }
}

fn of_build(found: &mut Vec<Reference>, key: &str, build: &Node) {
    if let Some(context) = build.text() {
        return add(found, key, context, Kind::Folder);
    }
    let contexts: Vec<&str> = build.all("context").filter_map(Node::text).collect();
    for context in &contexts {
        add(found, format!("{key}.context"), context, Kind::Folder);
    }
    let context = contexts.first().copied().unwrap_or(".");
    for dockerfile in build.all("dockerfile").filter_map(Node::text) {
        let remote = is_remote(dockerfile);
        let path = if remote {
            dockerfile.to_owned()
        } else {
            Path::new(context).join(dockerfile).display().to_string()
        };
        if remote || !is_remote(context) {
            add(found, format!("{key}.dockerfile"), &path, Kind::Dockerfile);
        }
    }
    for contexts in build.all("additional_contexts") {
        for (name, source) in assigned(contexts) {
            if !["service:", "docker-image://"].iter().any(|form| source.starts_with(form)) {
                add(found, format!("{key}.additional_contexts.{name}"), source, Kind::Folder);
            }
        }
    }
}

fn add(found: &mut Vec<Reference>, key: impl AsRef<str>, path: &str, kind: Kind) {
    let key = key.as_ref().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    found.push(Reference { key, path: path.to_owned(), kind });
}

/// The items of a list with their keys, or the one node.
fn listed<'a>(key: &str, node: &'a Node) -> Vec<(String, &'a Node)> {
    match node {
        Node::Sequence(items) => {
            items.iter().enumerate().map(|(at, item)| (format!("{key}[{at}]"), item)).collect()
        }
        Node::Null => Vec::new(),
        Node::Scalar(_) | Node::Mapping(_) => vec![(key.to_owned(), node)],
    }
}

fn texts<'a>(key: &str, node: &'a Node) -> Vec<(String, &'a str)> {
    listed(key, node).into_iter().filter_map(|(at, item)| Some((at, item.text()?))).collect()
}

/// `{name: value}` or `["name=value"]`.
fn assigned(node: &Node) -> Vec<(&str, &str)> {
    match node {
        Node::Sequence(items) => {
            items.iter().filter_map(Node::text).filter_map(|text| text.split_once('=')).collect()
        }
        Node::Mapping(_) => {
            node.members().into_iter().filter_map(|(name, value)| Some((name, value.text()?))).collect()
        }
        Node::Null | Node::Scalar(_) => Vec::new(),
    }
}
