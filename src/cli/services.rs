//! `drey services`.

use serde_json::Value;

use super::arguments::ServicesFilter;
use super::client::Client;
use super::exit::{Exit, Outcome};
use super::output::{note, print_json, table, text};
use super::records::query;

pub(super) fn run(client: &Client<'_>, filter: &ServicesFilter, json: bool) -> Outcome {
    let query = query(&[
        ("repo", filter.repo.as_deref()),
        ("branch", filter.branch.as_deref()),
        ("service", filter.service.as_deref()),
        ("after", filter.after.as_deref()),
    ]);
    let list = client.get(&format!("/api/v1/services{query}"))?;
    if json {
        print_json(&list);
        return Ok(Exit::Done);
    }
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let head = ["environment", "service", "container", "state", "health", "address", "ports", "since"];
    table(&head, &items.iter().map(row).collect::<Vec<_>>());
    if let Some(next) = list["next"].as_str() {
        note(&format!("… more: --after {next}"));
    }
    Ok(Exit::Done)
}

fn row(item: &Value) -> Vec<String> {
    let addresses = item["addresses"].as_object().into_iter().flatten();
    let addresses: Vec<String> = addresses.map(|(_, address)| text(address)).collect();
    let ports = item["ports"].as_array().into_iter().flatten();
    let ports: Vec<String> =
        ports.map(|port| format!("{}/{}", text(&port["port"]), text(&port["protocol"]))).collect();
    vec![
        format!("{}/{}", text(&item["repo"]), text(&item["branch"])),
        text(&item["service"]),
        text(&item["container"]),
        text(&item["state"]),
        text(&item["health"]),
        addresses.join(" "),
        ports.join(" "),
        text(&item["since"]),
    ]
}
