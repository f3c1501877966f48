//! `drey archive …`, `drey event …`, `drey backup`.

use std::path::Path;

use serde_json::{Value, json};

use super::archives;
use super::arguments::{ArchiveCommand, EventCommand};
use super::client::{Client, encoded};
use super::exit::{Exit, Failure, Outcome};
use super::output::{fields, note, plain, print, print_json, table, text};
use super::restore;

/// What is shown of one archive, where it is there.
const ARCHIVE_KEYS: [&str; 13] = [
    "id",
    "repo",
    "branch",
    "slug",
    "commit",
    "outcome",
    "created_at",
    "size_bytes",
    "verified_at",
    "pinned",
    "removed_at",
    "removed_reason",
    "damage",
];

pub(super) fn archive(client: &Client<'_>, command: &ArchiveCommand, json: bool) -> Outcome {
    match command {
        ArchiveCommand::List { repo, before, all } => {
            let query = query(&[
                ("repo", repo.as_deref()),
                ("before", before.as_deref()),
                ("all", all.then_some("true")),
            ]);
            let mut keys = vec!["id", "repo", "branch", "outcome", "created_at", "size_bytes", "pinned"];
            keys.extend(all.then_some("removed_at"));
            list(&client.get(&format!("/api/v1/archives{query}"))?, &keys, json)
        }
        ArchiveCommand::Show { id } => {
            let item = client.get(&format!("/api/v1/archives/{}", encoded(id)))?;
            show(&item, &ARCHIVE_KEYS, json)
        }
        ArchiveCommand::Restore { id, wait } => restore::restore(client, id, *wait, json),
        ArchiveCommand::Extract { id, path, destination } => {
            restore::extract(client, id, path, destination, json)
        }
        ArchiveCommand::Verify { id, all: _ } => archives::verify(client, id.as_deref(), json),
        ArchiveCommand::Pin { id } => asked(client, id, "pin", json),
        ArchiveCommand::Unpin { id } => asked(client, id, "unpin", json),
        ArchiveCommand::Remove { id } => asked(client, id, "remove", json),
    }
}

/// The archive as it is after what was asked for.
fn asked(client: &Client<'_>, id: &str, what: &str, json: bool) -> Outcome {
    let item = client.post(&format!("/api/v1/archives/{}/{what}", encoded(id)), &json!({}))?;
    show(&item, &ARCHIVE_KEYS, json)
}

pub(super) fn event(client: &Client<'_>, command: &EventCommand, json: bool) -> Outcome {
    let keys =
        ["id", "source", "kind", "repo", "branch", "commit", "delivery_id", "received_at", "state", "reason"];
    match command {
        EventCommand::List { repo, branch, before } => {
            let before = before.map(|before| before.to_string());
            let query = query(&[
                ("repo", repo.as_deref()),
                ("branch", branch.as_deref()),
                ("before", before.as_deref()),
            ]);
            let events = client.get(&format!("/api/v1/events{query}"))?;
            list(&events, &["id", "received_at", "source", "kind", "repo", "branch", "state", "reason"], json)
        }
        EventCommand::Show { id } => show(&client.get(&format!("/api/v1/events/{id}"))?, &keys, json),
        EventCommand::Replay { id } => {
            show(&client.post(&format!("/api/v1/events/{id}/replay"), &json!({}))?, &keys, json)
        }
    }
}

pub(super) fn backup(client: &Client<'_>, file: &Path, json: bool) -> Outcome {
    let path = std::path::absolute(file).map_err(|error| Failure::Failed(error.to_string()))?;
    let Some(path) = path.to_str() else {
        let message = format!("{}: is not UTF-8, which the database's copy needs", path.display());
        return Err(Failure::Usage(message));
    };
    let answer = client.post("/api/v1/backup", &json!({"path": path}))?;
    if json {
        print_json(&answer);
    } else {
        print(&plain(&format!("written: {path}")));
    }
    Ok(Exit::Done)
}

/// What follows the path: the given ones of these, with a `?` in front.
pub(super) fn query(given: &[(&str, Option<&str>)]) -> String {
    let pair = |(key, value): &(&str, Option<&str>)| Some(format!("{key}={}", encoded((*value)?)));
    let pairs: Vec<String> = given.iter().filter_map(pair).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn list(list: &Value, keys: &[&str], json: bool) -> Outcome {
    if json {
        print_json(list);
        return Ok(Exit::Done);
    }
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> =
        items.iter().map(|item| keys.iter().map(|key| text(&item[*key])).collect()).collect();
    table(keys, &rows);
    if let Some(next) = list["next"].as_str() {
        note(&format!("… more: --before {next}"));
    }
    Ok(Exit::Done)
}

fn show(item: &Value, keys: &[&str], json: bool) -> Outcome {
    if json {
        print_json(item);
    } else {
        fields(&keys.iter().map(|key| (*key, text(&item[*key]))).collect::<Vec<_>>());
    }
    Ok(Exit::Done)
}
