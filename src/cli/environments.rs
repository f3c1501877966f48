//! `drey env …`

use serde_json::{Value, json};

use super::arguments::{EnvCommand, One};
use super::client::{Client, encoded};
use super::exit::{Exit, Failure, Outcome};
use super::output::{fields, note, plain, print, print_json, print_log_line, table, text};

pub(super) fn run(client: &Client<'_>, command: EnvCommand, json: bool) -> Outcome {
    match command {
        EnvCommand::List { all } => list(client, all, json),
        EnvCommand::Show(one) => show(client, &one, json),
        EnvCommand::Url { one, link } => url(client, &one, link, json),
        EnvCommand::Log { one, follow } => log(client, &one, follow, json),
        EnvCommand::Deploy { one, wait, rebuild, pull } => {
            begin(client, &one, ("deploy", &json!({"rebuild": rebuild, "pull": pull})), wait, json)
        }
        EnvCommand::Approve { one, commit, wait } => {
            begin(client, &one, ("approve", &json!({"commit": commit})), wait, json)
        }
        EnvCommand::Sleep(one) => act(client, &one, "sleep", json),
        EnvCommand::Wake(one) => act(client, &one, "wake", json),
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

fn list(client: &Client<'_>, all: bool, json: bool) -> Outcome {
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

fn show(client: &Client<'_>, one: &One, json: bool) -> Outcome {
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
    let pull = &item["pull_request"];
    if !pull.is_null() {
        let [number, state, target, author, title, url] =
            ["number", "state", "target", "author", "title", "url"].map(|key| text(&pull[key]));
        rows.push((
            "pull request",
            format!("#{number}, {state}, into {target}, by {author}: {title}\n{url}"),
        ));
    }
    rows.push(("because", text(&item["fate"]["because"])));
    rows.push(("awake", text(&item["fate"]["awake"])));
    let upcoming = item["fate"]["upcoming"].as_array().cloned().unwrap_or_default();
    let coming = |it: &Value| format!("{} {}: {}", text(&it["at"]), text(&it["what"]), text(&it["why"]));
    rows.push(("comes", upcoming.iter().map(coming).collect::<Vec<_>>().join("\n")));
    for key in ["restored_from", "created_at", "updated_at", "last_visited_at"] {
        rows.push((key, text(&item[key])));
    }
    fields(&rows);
    Ok(Exit::Done)
}

fn url(client: &Client<'_>, one: &One, link: bool, json: bool) -> Outcome {
    if link {
        return self::link(client, one, json);
    }
    let item = client.get(&path(one)?)?;
    if json {
        print_json(&json!({"url": item["url"], "urls": item["urls"]}));
    } else {
        print(&plain(&text(&item["url"])));
    }
    Ok(Exit::Done)
}

/// The address alone on standard output; what has to be known of it beside it.
fn link(client: &Client<'_>, one: &One, json: bool) -> Outcome {
    let item = client.get(&format!("{}/link", path(one)?))?;
    if json {
        print_json(&item);
        return Ok(Exit::Done);
    }
    match item["access"].as_str() {
        Some("link") => note(&format!("whoever has this link may look until {}", text(&item["expires_at"]))),
        Some("basic") => note("a name and a password are asked for: no link leads in"),
        Some("token") => note("a token in the header Drey-Token is asked for: no link leads in"),
        Some(_) | None => note("open to whoever reaches it: no link is needed"),
    }
    print(&plain(&text(&item["url"])));
    Ok(Exit::Done)
}

fn log(client: &Client<'_>, one: &One, follow: bool, json: bool) -> Outcome {
    if json {
        return log_as_json(client, one, follow);
    }
    client.stream(&format!("{}/log?follow={follow}", path(one)?), print_log_line)?;
    Ok(Exit::Done)
}

/// The whole log as one document.
fn log_as_json(client: &Client<'_>, one: &One, follow: bool) -> Outcome {
    if follow {
        let message =
            "--follow has no end that one JSON document could wait for: leave out --json or --follow";
        return Err(Failure::Usage(message.to_owned()));
    }
    let mut items = Vec::new();
    client.stream(&format!("{}/log", path(one)?), |line| items.push(log_line(line)))?;
    print_json(&json!({"items": items, "next": null}));
    Ok(Exit::Done)
}

/// `<time> <source> | <text>`; a line of another form is text alone.
fn log_line(line: &str) -> Value {
    let parts = line.split_once(' ').and_then(|(at, rest)| Some((at, rest.split_once(" | ")?)));
    match parts {
        Some((at, (source, text))) => json!({"at": at, "source": source, "text": text}),
        None => json!({"at": null, "source": null, "text": line}),
    }
}

/// Asks for what begins a deployment.
fn begin(client: &Client<'_>, one: &One, (action, body): (&str, &Value), wait: bool, json: bool) -> Outcome {
    let path = path(one)?;
    let answer = client.post(&format!("{path}/{action}"), body)?;
    if !wait {
        return told(&answer, json);
    }
    follow_deployment(client, &path, &answer, json)
}

/// Shows the log of the deployment that `answer` tells of, until it is over.
pub(super) fn follow_deployment(client: &Client<'_>, path: &str, answer: &Value, json: bool) -> Outcome {
    // A deployment older than this one is nobody's concern.
    let from = answer["generation"].as_i64().map(|from| format!("&generation={from}")).unwrap_or_default();
    client.stream(&format!("{path}/log?follow=true{from}"), |line| {
        if !json {
            print_log_line(line);
        }
    })?;
    deployed(&client.get(path)?, json)
}

/// How a deployment ended that was waited for.
fn deployed(item: &Value, json: bool) -> Outcome {
    let phase = text(&item["phase"]);
    let exit = match phase.as_str() {
        "ready" => Exit::Done,
        "blocked" => Exit::Refused,
        _ => Exit::Failed,
    };
    if json {
        print_json(item);
        return Ok(exit);
    }
    let told = match text(&item["reason"]) {
        reason if reason.is_empty() => phase,
        reason => format!("{phase}: {reason}"),
    };
    match exit {
        Exit::Done => print(&plain(&text(&item["url"]))),
        Exit::Refused => return Err(Failure::Refused(told)),
        Exit::Failed => return Err(Failure::Failed(told)),
    }
    Ok(exit)
}

fn act(client: &Client<'_>, one: &One, action: &str, json: bool) -> Outcome {
    let answer = client.post(&format!("{}/{action}", path(one)?), &json!({}))?;
    told(&answer, json)
}

fn told(answer: &Value, json: bool) -> Outcome {
    if json {
        print_json(answer);
    } else if let Some(action) = answer["action"].as_str() {
        let message = answer["message"].as_str().map(|message| format!(": {message}")).unwrap_or_default();
        print(&plain(&format!("{action}{message}")));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_how_a_deployment_ended() {
        for (phase, code) in [("ready", Exit::Done), ("blocked", Exit::Refused), ("failed", Exit::Failed)] {
            assert_eq!(deployed(&json!({"phase": phase}), true).unwrap(), code, "{phase}");
        }
        assert!(matches!(deployed(&json!({"phase": "blocked"}), false), Err(Failure::Refused(_))));
        let unfinished = deployed(&json!({"phase": "building"}), false);
        assert!(matches!(unfinished, Err(Failure::Failed(message)) if message == "building"));
    }

    #[test]
    fn a_line_of_the_log_has_its_parts() {
        let line = log_line("2026-01-01T00:00:00.000Z web | a | b");
        assert_eq!(line, json!({"at": "2026-01-01T00:00:00.000Z", "source": "web", "text": "a | b"}));
        assert_eq!(log_line("odd")["text"], "odd");
    }
}
