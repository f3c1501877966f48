//! `drey token …`

use serde_json::{Value, json};

use super::arguments::TokenCommand;
use super::client::Client;
use super::exit::{Exit, Failure, Outcome};
use super::output::{note, plain, print, print_json, table, text};
use crate::domain::duration::parse_duration;

pub(super) fn run(client: &Client<'_>, command: &TokenCommand, json: bool) -> Outcome {
    match command {
        TokenCommand::Create { role, expires, name } => {
            create(client, (name, role), expires.as_deref(), json)
        }
        TokenCommand::List => list(client, json),
        TokenCommand::Revoke { name } => {
            let answer = client.post("/api/v1/tokens/revoke", &json!({"name": name}))?;
            if json {
                print_json(&answer);
            } else {
                print(&plain(&format!("revoked: {name}")));
            }
            Ok(Exit::Done)
        }
    }
}

/// The token alone on standard output, so that it can be piped into a file.
fn create(client: &Client<'_>, (name, role): (&str, &str), expires: Option<&str>, json: bool) -> Outcome {
    let expires = expires.map(parse_duration).transpose();
    let expires = expires.map_err(|error| Failure::Usage(format!("--expires: {error}")))?;
    let asked = json!({"name": name, "role": role, "expires_after": expires.map(|it| it.as_secs())});
    let made = client.post("/api/v1/tokens/create", &asked)?;
    if json {
        print_json(&made);
        return Ok(Exit::Done);
    }
    let end = made["expires_at"].as_str().map_or_else(String::new, |end| format!(" until {end}"));
    note(&format!("{name} has the role {role}{end}; the token is shown this once:"));
    print(&text(&made["token"]));
    Ok(Exit::Done)
}

fn list(client: &Client<'_>, json: bool) -> Outcome {
    let list = client.get("/api/v1/tokens")?;
    if json {
        print_json(&list);
        return Ok(Exit::Done);
    }
    let keys = ["name", "role", "created_at", "expires_at"];
    let row = |item: &Value| keys.map(|key| text(&item[key])).to_vec();
    let rows: Vec<Vec<String>> = list["items"].as_array().into_iter().flatten().map(row).collect();
    table(&keys, &rows);
    Ok(Exit::Done)
}
