//! `drey repo …`: how repositories are shown, and those of a daemon elsewhere.

use serde_json::Value;

use super::arguments::RepoCommand;
use super::client::{Client, encoded};
use super::exit::{Exit, Outcome};
use super::output::{fields, print_json, table, text};

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
    let rows: Vec<(&str, String)> =
        view.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), text(value))).collect();
    fields(&rows);
    Ok(Exit::Done)
}
