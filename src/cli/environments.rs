//! `drey env …`

use serde_json::{Value, json};

use super::arguments::{EnvCommand, One};
use super::client::{Client, encoded};
use super::exit::{Exit, Failure, Outcome};
use super::output::{fields, plain, print, print_json, table, text};

pub(super) fn run(client: &Client, command: EnvCommand, json: bool) -> Outcome {
    match command {
        EnvCommand::List { all } => list(client, all, json),
        EnvCommand::Show(one) => show(client, &one, json),
        EnvCommand::Url(one) => url(client, &one, json),
        EnvCommand::Log { one, follow } => log(client, &one, follow),
        EnvCommand::Deploy { one, wait, rebuild, pull } => {
            deploy(client, &one, &json!({"rebuild": rebuild, "pull": pull}), wait, json)
        }
        EnvCommand::Pin(one) => act(client, &one, "pin", json),
        EnvCommand::Unpin(one) => act(client, &one, "unpin", json),
        EnvCommand::Archive(one) => act(client, &one, "archive", json),
        EnvCommand::Destroy(one) => act(client, &one, "destroy", json),
    }
}

/// Path of an environment in the API.
fn path(one: &One) -> Result<String, Failure> {
    match one.name.split_once('/') {
        Some((repo, branch)) if !repo.is_empty() && !branch.is_empty() => {
            Ok(format!("/api/v1/environments/{}/{}", encoded(repo), encoded(branch)))
        }
        Some(_) | None => Err(Failure::Usage(format!("{:?} is not REPO/BRANCH", one.name))),
    }
}

fn list(client: &Client, all: bool, json: bool) -> Outcome {
    let list = client.get(&format!("/api/v1/environments?all={all}"))?;
    if json {
        print_json(&list);
        return Ok(Exit::Done);
    }
    let items = list["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        print("no environments; push a branch to make one");
        return Ok(Exit::Done);
    }
    let row = |item: &Value| {
        let name = format!("{}/{}", text(&item["repo"]), text(&item["branch"]));
        let commit = text(&item["running_commit"]).chars().take(8).collect();
        let reason = text(&item["reason"]).lines().next().unwrap_or_default().chars().take(60).collect();
        vec![name, text(&item["phase"]), commit, text(&item["url"]), reason]
    };
    table(&["environment", "phase", "runs", "address", "reason"], &items.iter().map(row).collect::<Vec<_>>());
    Ok(Exit::Done)
}

fn show(client: &Client, one: &One, json: bool) -> Outcome {
    let item = client.get(&path(one)?)?;
    if json {
        print_json(&item);
        return Ok(Exit::Done);
    }
    let mut rows = vec![("environment", format!("{}/{}", text(&item["repo"]), text(&item["branch"])))];
    for key in ["phase", "reason", "url", "commit", "running_commit", "generation", "serving", "pinned"] {
        rows.push((key, text(&item[key])));
    }
    let urls = item["urls"].as_object().cloned().unwrap_or_default();
    let urls: Vec<String> = urls.iter().map(|(service, url)| format!("{service}: {}", text(url))).collect();
    rows.push(("services", urls.join("\n")));
    if let Some(ending) = item["ending"].as_object() {
        rows.push(("ends", format!("{} ({})", text(&ending["due_at"]), text(&ending["outcome"]))));
    }
    for key in ["created_at", "updated_at", "last_visited_at"] {
        rows.push((key, text(&item[key])));
    }
    fields(&rows);
    Ok(Exit::Done)
}

fn url(client: &Client, one: &One, json: bool) -> Outcome {
    let item = client.get(&path(one)?)?;
    if json {
        print_json(&json!({"url": item["url"], "urls": item["urls"]}));
    } else {
        print(&text(&item["url"]));
    }
    Ok(Exit::Done)
}

fn log(client: &Client, one: &One, follow: bool) -> Outcome {
    client.stream(&format!("{}/log?follow={follow}", path(one)?), |line| print(&plain(line)))?;
    Ok(Exit::Done)
}

fn deploy(client: &Client, one: &One, body: &Value, wait: bool, json: bool) -> Outcome {
    let path = path(one)?;
    let answer = client.post(&format!("{path}/deploy"), body)?;
    if !wait {
        return told(&answer, json);
    }
    client.stream(&format!("{path}/log?follow=true"), |line| {
        if !json {
            print(&plain(line));
        }
    })?;
    let item = client.get(&path)?;
    if json {
        print_json(&item);
    } else if item["phase"] == "ready" {
        print(&text(&item["url"]));
    } else {
        return Err(Failure::Failed(format!("{}: {}", text(&item["phase"]), text(&item["reason"]))));
    }
    Ok(if item["phase"] == "ready" { Exit::Done } else { Exit::Failed })
}

fn act(client: &Client, one: &One, action: &str, json: bool) -> Outcome {
    let answer = client.post(&format!("{}/{action}", path(one)?), &json!({}))?;
    told(&answer, json)
}

fn told(answer: &Value, json: bool) -> Outcome {
    if json {
        print_json(answer);
    } else if let Some(action) = answer["action"].as_str() {
        let message = answer["message"].as_str().map(|message| format!(": {message}")).unwrap_or_default();
        print(&format!("{action}{message}"));
    }
    Ok(Exit::Done)
}
