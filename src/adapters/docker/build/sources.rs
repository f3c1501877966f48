//! What the builder itself may fetch while it builds, said to the builder: the text of a Dockerfile is read before, but base
//! images bring instructions of their own (`ONBUILD`), and no reading of text sees all that the builder sees.
//!
//! The format is BuildKit's source policy; of several rules that fit the last counts. An engine whose builder
//! does not know it passes it over.

use serde_json::{Value, json};

use crate::ports::BuildRequest;

/// Addresses are fetched by the engine, in this machine's own network.
const ADDRESSES: [&str; 3] = ["http://*", "https://*", "git://*"];
/// Images that drey built: another branch's, unless this build was given them.
const OTHERS: &str = "docker-image://docker.io/drey/*";

/// The policy of one build, as JSON.
pub(super) fn policy(request: &BuildRequest) -> String {
    let rule =
        |action: &str, identifier: &str| json!({"action": action, "selector": {"identifier": identifier}});
    let mut rules: Vec<Value> = Vec::new();
    if !request.remote {
        rules.extend(ADDRESSES.iter().map(|address| rule("DENY", address)));
    }
    rules.push(rule("DENY", OTHERS));
    let given =
        request.additional_contexts.values().filter_map(|value| value.strip_prefix("docker-image://"));
    rules.extend(given.map(|image| rule("ALLOW", &format!("docker-image://docker.io/{image}"))));
    json!({ "rules": rules }).to_string()
}
