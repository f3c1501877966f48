//! `drey proxy …`: the proxy in front.

use serde_json::Value;

use super::arguments::ProxyCommand;
use super::client::Client;
use super::exit::{Exit, Outcome};
use super::output::{fields, plain, print, print_json, text};

const KEYS: [&str; 11] = [
    "provider",
    "state",
    "generation",
    "applied_at",
    "last_apply_ms",
    "direct",
    "reloads",
    "adjustments",
    "failures",
    "failing_since",
    "assumed",
];

pub(super) fn run(client: &Client<'_>, command: &ProxyCommand, json: bool) -> Outcome {
    match command {
        ProxyCommand::Status => status(&client.get("/api/v1/proxy")?, json),
        ProxyCommand::Render => render(&client.get("/api/v1/proxy/files")?, json),
    }
}

fn status(status: &Value, json: bool) -> Outcome {
    if json {
        print_json(status);
        return Ok(Exit::Done);
    }
    let mut rows = KEYS.map(|key| (key, text(&status[key]))).to_vec();
    rows.push(("error", text(&status["error"])));
    rows.extend(container(&status["container"]));
    let quarantined = status["quarantined"].as_array().map(Vec::as_slice).unwrap_or_default();
    for bad in quarantined {
        rows.push(("quarantined", format!("{}: {}", text(&bad["environment"]), text(&bad["reason"]))));
    }
    fields(&rows);
    Ok(Exit::Done)
}

/// Where the proxy runs in one.
fn container(container: &Value) -> Vec<(&'static str, String)> {
    if container.is_null() {
        return Vec::new();
    }
    let joined = container["joined"].as_array().map(Vec::as_slice).unwrap_or_default();
    let joined: Vec<String> = joined.iter().map(text).collect();
    let name = format!("{} ({})", text(&container["name"]), text(&container["state"]));
    vec![("container", name), ("joined", joined.join(" "))]
}

fn render(files: &Value, json: bool) -> Outcome {
    if json {
        print_json(files);
        return Ok(Exit::Done);
    }
    for file in files["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
        print(&plain(&format!("# {}", text(&file["path"]))));
        print(&plain(file["content"].as_str().unwrap_or_default()));
    }
    Ok(Exit::Done)
}
