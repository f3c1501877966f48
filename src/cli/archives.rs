//! `drey archive verify`: one archive, or each that there is.

use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::exit::{Exit, Failure, Outcome};
use super::output::{print_json, table, text};

/// Without an id all of them, newest first. One that cannot be read does not keep the others from being read.
pub(super) fn verify(client: &Client<'_>, id: Option<&str>, json: bool) -> Outcome {
    let items = match id {
        Some(id) => vec![verify_one(client, id)?],
        None => verify_all(client)?,
    };
    let exit = if items.iter().all(|item| item["whole"] == true) { Exit::Done } else { Exit::Failed };
    if json {
        print_json(&json!({"items": items, "next": null}));
        return Ok(exit);
    }
    let row = |item: &Value| {
        let result = if item["whole"] == true { "whole" } else { "damaged" };
        vec![result.to_owned(), text(&item["id"]), text(&item["reason"])]
    };
    table(&["result", "id", "reason"], &items.iter().map(row).collect::<Vec<_>>());
    Ok(exit)
}

fn verify_all(client: &Client<'_>) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    let mut path = "/api/v1/archives".to_owned();
    loop {
        let page = client.get(&path)?;
        for archive in page["items"].as_array().into_iter().flatten() {
            let id = archive["id"].as_str().unwrap_or_default();
            items.push(match verify_one(client, id) {
                Ok(item) => item,
                Err(failure) => {
                    json!({"id": id, "whole": false, "reason": failure.to_string(), "verified_at": null})
                }
            });
        }
        let Some(next) = page["next"].as_str() else { return Ok(items) };
        path = format!("/api/v1/archives?before={}", encoded(next));
    }
}

fn verify_one(client: &Client<'_>, id: &str) -> Result<Value, Failure> {
    client.post(&format!("/api/v1/archives/{}/verify", encoded(id)), &json!({}))
}
