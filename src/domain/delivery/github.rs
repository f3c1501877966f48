//! GitHub, and Gitea and Forgejo, whose deliveries are made after its.

use serde_json::Value;

use super::value::{
    Unreadable, at, branch, commit, flag, head, labels, line, moment, needed, number, page, push, text,
};
use crate::domain::event::{EventKind, PullChange};
use crate::domain::forge::Forge;
use crate::domain::names::BranchName;
use crate::domain::pull_request::{PullRequest, PullState, TEXT_LIMIT};
use crate::domain::text::clean_line;

pub(super) fn read(forge: Forge, event: &str, body: &Value) -> Result<Vec<EventKind>, Unreadable> {
    let kind = match event {
        "ping" => EventKind::Ping,
        "push" => push(body)?,
        "create" => created(body)?,
        "delete" => deleted(body)?,
        "pull_request" | "pull_request_sync" | "pull_request_label" => pull_request(forge, body)?,
        other => EventKind::Ignored { reference: other.to_owned() },
    };
    Ok(vec![kind])
}

/// GitHub says no object id here.
fn created(body: &Value) -> Result<EventKind, Unreadable> {
    match needed(body, "ref_type")? {
        "branch" => {
            let commit = at(body, "sha").is_some().then(|| commit(body, "sha")).transpose()?;
            Ok(EventKind::BranchCreated { branch: branch(body, "ref")?, commit })
        }
        "tag" => Ok(EventKind::TagCreated { tag: needed(body, "ref")?.to_owned() }),
        other => Ok(EventKind::Ignored { reference: other.to_owned() }),
    }
}

fn deleted(body: &Value) -> Result<EventKind, Unreadable> {
    match needed(body, "ref_type")? {
        "branch" => Ok(EventKind::BranchDeleted { branch: branch(body, "ref")?, before: None }),
        "tag" => Ok(EventKind::TagDeleted { tag: needed(body, "ref")?.to_owned() }),
        other => Ok(EventKind::Ignored { reference: other.to_owned() }),
    }
}

fn pull_request(forge: Forge, body: &Value) -> Result<EventKind, Unreadable> {
    let action = needed(body, "action")?;
    // Gitea tells the former target in another place than GitHub.
    let is_retargeted = at(body, "changes.base").or_else(|| at(body, "changes.ref")).is_some();
    let change = match action {
        "opened" => PullChange::Opened,
        "synchronize" | "synchronized" => PullChange::Updated,
        "edited" if is_retargeted => PullChange::Updated,
        "reopened" => PullChange::Reopened,
        // `merge_commit_sha` is there without a merge too.
        "closed" if flag(body, "pull_request.merged") => PullChange::Merged,
        "closed" => PullChange::Closed,
        "labeled" | "unlabeled" | "label_updated" | "label_cleared" => PullChange::Marked,
        "ready_for_review" | "converted_to_draft" => PullChange::Marked,
        // Gitea's drafts are known by their titles.
        "edited" if forge != Forge::Github => PullChange::Marked,
        _ => PullChange::Described,
    };
    match read_pull_request(forge, change, body) {
        Ok(pull) => Ok(EventKind::PullRequest { change, pull: Box::new(pull) }),
        Err(_) if matches!(change, PullChange::Described | PullChange::Marked) => {
            Ok(EventKind::Ignored { reference: format!("pull_request: {action}") })
        }
        Err(error) => Err(error),
    }
}

fn read_pull_request(forge: Forge, change: PullChange, body: &Value) -> Result<PullRequest, Unreadable> {
    let pull = at(body, "pull_request").ok_or_else(|| Unreadable::new("pull_request", "is needed"))?;
    let number = number(pull, "number").or_else(|_| number(body, "number"))?;
    let (source, fork) = source(body, pull)?;
    let state = match (change, text(pull, "state")) {
        (PullChange::Merged, _) => PullState::Merged,
        (PullChange::Closed, _) => PullState::Closed,
        (_, Some("closed")) if flag(pull, "merged") => PullState::Merged,
        (_, Some("closed")) => PullState::Closed,
        _ => PullState::Open,
    };
    let merge_commit = match state {
        PullState::Merged => head(pull, "merge_commit_sha")?,
        PullState::Open | PullState::Closed => None,
    };
    Ok(PullRequest {
        forge,
        number,
        title: line(pull, "title"),
        author: line(pull, "user.login"),
        source: clean_line(source).chars().take(TEXT_LIMIT).collect(),
        branch: match fork {
            Some(_) => BranchName::pull(number),
            None => BranchName::parse(source)
                .map_err(|error| Unreadable::new("pull_request.head.ref", error.to_string()))?,
        },
        target: branch(pull, "base.ref")?,
        url: page(pull, "html_url"),
        state,
        draft: flag(pull, "draft"),
        labels: labels(pull, "labels", "name"),
        head: head(pull, "head.sha")?,
        fork,
        merge_commit,
        changed_at: moment(pull, "updated_at"),
    })
}

/// The branch it comes from, and whose that is. Once the branch is gone, Gitea and Forgejo call it by the ref of the pull
/// request, as they do where somebody pushed to that ref without a branch: then its name is in the label, or nowhere.
fn source<'a>(body: &Value, pull: &'a Value) -> Result<(&'a str, Option<String>), Unreadable> {
    let (source, fork) = (needed(pull, "head.ref")?, fork(body, pull));
    if !source.starts_with("refs/pull/") {
        return Ok((source, fork));
    }
    match text(pull, "head.label").filter(|label| !label.is_empty()) {
        Some(label) => Ok((label.split_once(':').map_or(label, |(_, name)| name), fork)),
        None => Ok((source, fork.or_else(|| Some("somebody without a branch".to_owned())))),
    }
}

/// Whose repository the branch is in, unless it is this one. A fork that was deleted is null; old deliveries say nothing
/// of repositories, and name the owner in the label.
fn fork(body: &Value, pull: &Value) -> Option<String> {
    let own = text(body, "repository.full_name").or_else(|| text(pull, "base.repo.full_name"));
    let named = text(pull, "head.repo.full_name");
    let is_gone = pull.pointer("/head/repo").is_some_and(Value::is_null);
    let owner = |path: &str| text(pull, path)?.split_once(':').map(|(owner, _)| owner);
    match (named, own) {
        (Some(named), Some(own)) if named.eq_ignore_ascii_case(own) => None,
        (Some(_), _) => Some(line(pull, "head.repo.full_name")),
        (None, _) if is_gone => Some("a fork that is gone".to_owned()),
        (None, _) => match (owner("head.label"), owner("base.label")) {
            (Some(head), Some(base)) if head != base => Some(head.to_owned()),
            _ => None,
        },
    }
}
