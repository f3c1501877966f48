//! `drey secret …`

use std::io::{IsTerminal, Read};

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::arguments::SecretCommand;
use super::client::{Client, encoded};
use super::exit::{Exit, Failure, Outcome};
use super::output::{note, plain, print, print_json, table, text};
use crate::domain::secrets::{LONGEST_VALUE, check_value};

pub(super) fn run(client: &Client<'_>, command: &SecretCommand, json: bool) -> Outcome {
    let (answer, done) = match command {
        SecretCommand::List { repo } => return list(client, repo.as_deref(), json),
        SecretCommand::Set { repo, name, branches } => {
            let value = BASE64.encode(&value()?);
            let asked = json!({"repo": repo, "name": name, "branches": branches, "value": value});
            (client.post("/api/v1/secrets/set", &asked)?, "set")
        }
        SecretCommand::Remove { repo, name, branches } => {
            let asked = json!({"repo": repo, "name": name, "branches": branches});
            (client.post("/api/v1/secrets/remove", &asked)?, "removed")
        }
    };
    if json {
        print_json(&answer);
    } else {
        let [repo, name, branches] = ["repo", "name", "branches"].map(|key| text(&answer[key]));
        print(&plain(&format!("{done}: {repo} {name} for {branches}")));
    }
    Ok(Exit::Done)
}

/// Standard input to its end: an argument could be read by everybody on the machine. Bytes as they are, but for the line
/// break of somebody who types.
fn value() -> Result<Vec<u8>, Failure> {
    let input = std::io::stdin();
    let typed = input.is_terminal();
    if typed {
        note("the value, then Enter and Ctrl-D; it is shown while you type:");
    }
    let mut value = Vec::new();
    let most = u64::try_from(LONGEST_VALUE).unwrap_or(u64::MAX).saturating_add(2);
    input
        .lock()
        .take(most)
        .read_to_end(&mut value)
        .map_err(|error| Failure::Failed(format!("standard input: {error}")))?;
    if typed && value.last() == Some(&b'\n') {
        value.pop();
    }
    check_value(&value).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(value)
}

fn list(client: &Client<'_>, repo: Option<&str>, json: bool) -> Outcome {
    let query = repo.map(|repo| format!("?repo={}", encoded(repo))).unwrap_or_default();
    let list = client.get(&format!("/api/v1/secrets{query}"))?;
    if json {
        print_json(&list);
        return Ok(Exit::Done);
    }
    let keys = ["repo", "name", "branches", "updated_at"];
    let row = |item: &Value| keys.map(|key| text(&item[key])).to_vec();
    let rows: Vec<Vec<String>> = list["items"].as_array().into_iter().flatten().map(row).collect();
    table(&keys, &rows);
    Ok(Exit::Done)
}
