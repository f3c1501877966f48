//! `drey discovery …`

use serde_json::Value;

use super::arguments::DiscoveryCommand;
use super::client::Client;
use super::exit::{Exit, Outcome};
use super::output::{note, print_json, table, text};

pub(super) fn run(client: &Client<'_>, command: &DiscoveryCommand, json: bool) -> Outcome {
    match command {
        DiscoveryCommand::Status => status(client, json),
    }
}

fn status(client: &Client<'_>, json: bool) -> Outcome {
    let state = client.get("/api/v1/discovery")?;
    if json {
        print_json(&state);
        return Ok(Exit::Done);
    }
    if state["enabled"] != true {
        note("containers that drey did not start are not looked for; set discovery.enabled = true");
        return Ok(Exit::Done);
    }
    if let Some(away) = state["away"].as_str() {
        note(&format!("the engine does not answer, what was found before still counts: {away}"));
    }
    let list = |key: &str, keys: &[&str]| -> Vec<Vec<String>> {
        let row = |item: &Value| keys.iter().map(|key| text(&item[*key])).collect();
        state[key].as_array().into_iter().flatten().map(row).collect()
    };
    let routes = ["host", "path", "container", "address", "is_healthy"];
    table(&routes, &list("routes", &routes));
    let faults = list("faults", &["container", "key", "reason"]);
    if !faults.is_empty() {
        note("not routed:");
        table(&["container", "label", "reason"], &faults);
    }
    Ok(Exit::Done)
}
