//! `drey repo …`: how repositories are shown, and those of a daemon elsewhere.

use serde_json::Value;

use super::arguments::RepoCommand;
use super::client::{Client, encoded};
use super::exit::{Exit, Outcome};
use super::output::{fields, plain, print, print_json, table, text};

pub(super) fn run(client: &Client<'_>, command: &RepoCommand, json: bool) -> Outcome {
    match command {
        RepoCommand::List => list(&client.get("/api/v1/repositories")?, json),
        RepoCommand::Show { name } => {
            show(&client.get(&format!("/api/v1/repositories/{}", encoded(name)))?, json)
        }
    }
}

pub(super) fn list(list: &Value, json: bool) -> Outcome {
    if json {
        print_json(list);
        return Ok(Exit::Done);
    }
    let row = |item: &Value| {
        ["name", "main", "url", "last_polled_at", "poll_error"].map(|key| text(&item[key])).to_vec()
    };
    let rows: Vec<Vec<String>> = list["items"].as_array().into_iter().flatten().map(row).collect();
    table(&["name", "main", "address", "last asked", "error"], &rows);
    Ok(Exit::Done)
}

pub(super) fn show(view: &Value, json: bool) -> Outcome {
    if json {
        print_json(view);
        return Ok(Exit::Done);
    }
    let shown = |(key, value): (&String, &Value)| {
        let parts = value.as_object().map(|parts| {
            let parts = parts.iter().map(|(key, value)| format!("{key} {}", text(value)));
            parts.collect::<Vec<_>>().join(", ")
        });
        (key.clone(), parts.unwrap_or_else(|| text(value)))
    };
    let rows: Vec<(String, String)> =
        view.as_object().into_iter().flatten().filter(|(key, _)| *key != "webhooks").map(shown).collect();
    fields(&rows.iter().map(|(key, value)| (key.as_str(), value.clone())).collect::<Vec<_>>());
    let webhooks = view["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    for webhook in webhooks {
        let forge = text(&webhook["forge"]);
        let is_known = webhooks.len() == 1;
        let head = if is_known {
            format!("webhook at {forge}")
        } else {
            format!("webhook, if the forge is {forge}")
        };
        print(&plain(&format!("\n{head}:")));
        let mut rows =
            ["where", "url", "content_type", "secret"].map(|key| (key, text(&webhook[key]))).to_vec();
        let events: Vec<String> = webhook["events"].as_array().into_iter().flatten().map(text).collect();
        rows.push(("events", events.join("\n")));
        fields(&rows);
    }
    Ok(Exit::Done)
}
