//! GitLab, which calls pull requests merge requests.

use serde_json::Value;

use super::value::{Unreadable, at, branch, flag, head, labels, line, moment, number, page, push, text};
use crate::domain::event::{EventKind, PullChange};
use crate::domain::forge::Forge;
use crate::domain::names::BranchName;
use crate::domain::pull_request::{PullRequest, PullState};

/// Where everything about a merge request stands.
const REQUEST: &str = "object_attributes";

pub(super) fn read(event: &str, body: &Value) -> Result<Vec<EventKind>, Unreadable> {
    // Hooks of a whole group or server name the kind in the body alone.
    let kind = match (event, text(body, "object_kind")) {
        ("Push Hook" | "Tag Push Hook", _) | ("System Hook", Some("push" | "tag_push")) => push(body)?,
        ("Merge Request Hook", _) | ("System Hook", Some("merge_request")) => merge_request(body)?,
        (other, _) => EventKind::Ignored { reference: other.to_owned() },
    };
    Ok(vec![kind])
}

fn merge_request(body: &Value) -> Result<EventKind, Unreadable> {
    let request = at(body, REQUEST).ok_or_else(|| Unreadable::new(REQUEST, "is needed"))?;
    let is_new = |key: &str| at(body, "changes").is_some_and(|changes| at(changes, key).is_some());
    // Without an action it is GitLab's button "test".
    let change = match text(request, "action").unwrap_or_default() {
        "open" => PullChange::Opened,
        "update" if at(request, "oldrev").is_some() || is_new("target_branch") => PullChange::Updated,
        "reopen" => PullChange::Reopened,
        "close" => PullChange::Closed,
        "merge" => PullChange::Merged,
        "update" if is_new("labels") || is_new("draft") || is_new("title") => PullChange::Marked,
        _ => PullChange::Described,
    };
    let pull = read_merge_request(change, request, body)?;
    Ok(EventKind::PullRequest { change, pull: Box::new(pull) })
}

fn read_merge_request(change: PullChange, request: &Value, body: &Value) -> Result<PullRequest, Unreadable> {
    let number = number(request, "iid")?;
    let fork = fork(request);
    let state = match (change, text(request, "state")) {
        (PullChange::Merged, _) | (_, Some("merged")) => PullState::Merged,
        (PullChange::Closed, _) | (_, Some("closed")) => PullState::Closed,
        _ => PullState::Open,
    };
    // Whoever did something is told, the author only by a number: that of the one who did it, often.
    let is_by_author = at(request, "author_id") == at(body, "user.id");
    let at_top = labels(body, "labels", "title");
    Ok(PullRequest {
        forge: Forge::Gitlab,
        number,
        title: line(request, "title"),
        author: if is_by_author { line(body, "user.username") } else { String::new() },
        source: line(request, "source_branch"),
        branch: match fork {
            Some(_) => BranchName::pull(number),
            None => branch(request, "source_branch")?,
        },
        target: branch(request, "target_branch")?,
        url: page(request, "url"),
        state,
        draft: flag(request, "draft") || flag(request, "work_in_progress"),
        labels: if at_top.is_empty() { labels(request, "labels", "title") } else { at_top },
        head: head(request, "last_commit.id")?,
        fork,
        // Null where it was merged by fast-forward.
        merge_commit: head(request, "merge_commit_sha")?.filter(|_| state == PullState::Merged),
        changed_at: moment(request, "updated_at"),
    })
}

/// The path of the project that the branch is in, unless it is this one. A fork that was deleted is null.
fn fork(request: &Value) -> Option<String> {
    let (source, target) = (at(request, "source_project_id"), at(request, "target_project_id"));
    if source == target {
        return None;
    }
    let named = line(request, "source.path_with_namespace");
    Some(if named.is_empty() { "a fork that is gone".to_owned() } else { named })
}
