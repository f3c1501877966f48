//! From the accepted compose document to the stack that is deployed, to the letter.
//!
//! Input is the canonical document of `docker compose config`, already judged and rid of what is dropped by
//! [`super::policy`]. Here names, networks, volumes, binds, images, labels and variables become drey's own.

mod binds;
mod discovered;
mod discovery;
mod error;
mod files;
mod fit;
mod guards;
mod hosts;
mod labels;
mod network;
mod networks;
mod overlay;
mod primary;
mod scrape;
mod secrets;
mod select;
mod services;
mod spoken;
mod upstream;
mod variables;
mod volumes;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::names::ProjectName;
use super::observed::ImageFacts;
use super::settings::StackSettings;
use super::stack::Stack;

pub use binds::{BoundContent, bound_paths};
pub use discovered::{Discovered, DiscoveredService};
pub use discovery::discover;
pub use error::RewriteError;
pub use fit::{EnvironmentLimits, ServiceLimits, Share, fit};
pub use networks::network_keys;
pub use overlay::overlay_values;
pub use select::select;
pub use services::{may_complete, restart_policy};
pub use upstream::{authority_paths, check_authorities, needed_secrets};
pub use variables::{
    AddressParts, CommitVariables, container_variables, corrected, put_paths, render_variables,
};

/// Everything a rewrite depends on besides the document.
pub struct RewriteContext<'a> {
    pub project: &'a ProjectName,
    /// Constant labels for every service; `drey.service` is added.
    pub labels: &'a BTreeMap<String, String>,
    /// Service → tag, for services with `build`.
    pub tags: &'a BTreeMap<String, String>,
    pub facts: &'a BTreeMap<String, ImageFacts>,
    /// Path inside the checkout → the PEM that a label `drey.upstream.ca` names.
    pub authorities: &'a BTreeMap<String, String>,
    /// Network key → CIDR.
    pub subnets: &'a BTreeMap<String, String>,
    /// Path inside the checkout → what lies there.
    pub contents: &'a BTreeMap<String, BoundContent>,
    pub checkout: &'a Path,
    /// Folder of the environment's bound files.
    pub binds: &'a Path,
    /// Folder of the environment's secrets.
    pub secrets: &'a Path,
    /// For every container; no value of a branch's own file replaces one.
    pub variables: &'a BTreeMap<String, String>,
    /// What each service gets, as [`overlay_values`] makes it; set whatever the overlay template says.
    pub shares: &'a Value,
    /// Fragment from the overlay template; wins over what the file says.
    pub overlay: &'a Value,
    /// Service → its `container_name` in the file.
    pub names: &'a BTreeMap<String, String>,
    /// Where the engine puts the containers among the machine's control groups; none: as it does by itself.
    pub cgroup_parent: Option<&'a str>,
    /// Services whose proper end is exit code 0.
    pub completing: &'a [String],
}

/// Makes the stack. The same input gives the same digest.
///
/// # Errors
/// When no route can be found, a label or setting is no good, or a bound path is unknown; the text names the key.
pub fn rewrite(document: &Value, context: &RewriteContext<'_>) -> Result<Stack, RewriteError> {
    let discovered = discover(document, context.facts)?;
    let settings = StackSettings::read(document).map_err(RewriteError::Settings)?;
    let mut document = document.clone();
    files::mount(&mut document);
    let networks = networks::rewrite(&mut document, context);
    let volumes = volumes::rewrite(&mut document, context);
    let bound = binds::rewrite(&mut document, context)?;
    secrets::bind(&mut document, &settings, context.secrets);
    services::rewrite(&mut document, context);
    guards::set(&mut document, context.shares);
    overlay::merge(&mut document, context.overlay);
    if let Some(top) = document.as_object_mut() {
        top.insert("name".to_owned(), json!(context.project.as_str()));
        top.retain(|key, _| !key.starts_with("x-"));
    }
    let services = services::facts(&document, context);
    let routes = discovered.routes(&networks, &document, context.authorities)?;
    let digest = hex::encode(Sha256::digest(document.to_string().as_bytes()));
    Ok(Stack {
        document,
        digest,
        services,
        networks,
        volumes,
        binds: bound,
        routes,
        readiness: discovered.readiness,
        settings,
    })
}

/// The services of a document, by name.
pub fn services_of(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document.get("services").and_then(Value::as_object).into_iter().flatten()
}

fn services_mut(document: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    document.get_mut("services").and_then(Value::as_object_mut).into_iter().flat_map(|map| map.iter_mut())
}

#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod tests;
