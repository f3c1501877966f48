//! `drey archive restore` and `drey archive extract`.

use std::path::Path;

use serde_json::{Value, json};

use crate::app::Unpacking;

use super::client::{Client, encoded};
use super::environments::follow_deployment;
use super::exit::{Exit, Failure, Outcome};
use super::output::{note, plain, print, print_json, text};

pub(super) fn restore(client: &Client<'_>, id: &str, wait: bool, json: bool) -> Outcome {
    let answer = client.post(&format!("/api/v1/archives/{}/restore", encoded(id)), &json!({}))?;
    let (repo, branch) = (text(&answer["repo"]), text(&answer["branch"]));
    if wait {
        if !json {
            note(&format!("{repo}/{branch} at {}", text(&answer["url"])));
        }
        let path = format!("/api/v1/environments/{}/{}", encoded(&repo), encoded(&branch));
        return follow_deployment(client, &path, &answer, json);
    }
    if json {
        print_json(&answer);
    } else {
        print(&plain(&told(&answer)));
    }
    Ok(Exit::Done)
}

fn told(answer: &Value) -> String {
    let name = format!("{}/{}", text(&answer["repo"]), text(&answer["branch"]));
    let message = answer["message"].as_str().map(|message| format!(" ({message})")).unwrap_or_default();
    format!("{} {name} at {}{message}", text(&answer["action"]), text(&answer["url"]))
}

pub(super) fn extract(client: &Client<'_>, id: &str, path: &str, destination: &Path, json: bool) -> Outcome {
    let unpacking = Unpacking::start(destination.to_owned());
    let url = format!("/api/v1/archives/{}/files?path={}", encoded(id), encoded(path));
    // The disk's own complaint comes before the stream's: a thread that is gone takes nothing more.
    let streamed = client.download(&url, |chunk| unpacking.push(chunk));
    let unpacked = unpacking.finish();
    if let Err(failure @ (Failure::NotFound(_) | Failure::Usage(_))) = streamed {
        return Err(failure);
    }
    let unpacked = match (unpacked, streamed) {
        (Ok(unpacked), Ok(())) => unpacked,
        (_, Err(Failure::Failed(reason))) => {
            return Err(Failure::Failed(format!(
                "{reason}; what came until then is in {}; `drey archive verify {id}` tells whether the archive is whole",
                destination.display()
            )));
        }
        (_, Err(failure)) => return Err(failure),
        (Err(error), Ok(())) => return Err(Failure::Failed(format!("{}: {error}", destination.display()))),
    };
    if json {
        print_json(&json!({
            "path": unpacked.path, "entries": unpacked.entries, "left_out": unpacked.left_out,
        }));
    } else {
        print(&plain(&format!("{} entries in {}", unpacked.entries, unpacked.path.display())));
        for path in &unpacked.left_out {
            note(&format!("left out, it leads elsewhere: {}", plain(path)));
        }
    }
    Ok(if unpacked.left_out.is_empty() { Exit::Done } else { Exit::Failed })
}
