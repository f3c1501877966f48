//! Bitbucket Cloud: one delivery for all refs of a push, object ids of pull requests cut to twelve digits.

use serde_json::Value;

use super::value::{Unreadable, at, branch, commit, flag, head, line, moment, needed, number, page, text};
use crate::domain::event::{EventKind, PullChange};
use crate::domain::forge::Forge;
use crate::domain::names::{BranchName, CommitSha};
use crate::domain::pull_request::{PullRequest, PullState};

pub(super) fn read(event: &str, body: &Value) -> Result<Vec<EventKind>, Unreadable> {
    let change = match event {
        "repo:push" => return pushed(body),
        "pullrequest:created" => PullChange::Opened,
        "pullrequest:updated" => PullChange::Updated,
        "pullrequest:fulfilled" => PullChange::Merged,
        "pullrequest:rejected" => PullChange::Closed,
        "diagnostics:ping" => return Ok(vec![EventKind::Ping]),
        other => return Ok(vec![EventKind::Ignored { reference: other.to_owned() }]),
    };
    let pull = read_pull_request(change, body)?;
    Ok(vec![EventKind::PullRequest { change, pull: Box::new(pull) }])
}

/// A push of many refs comes without any: then git is asked.
fn pushed(body: &Value) -> Result<Vec<EventKind>, Unreadable> {
    let changes = at(body, "push.changes").and_then(Value::as_array);
    let changes = changes.ok_or_else(|| Unreadable::new("push.changes", "must be a list"))?;
    if changes.is_empty() {
        let ignored = EventKind::Ignored { reference: "a push whose changes are not listed".to_owned() };
        return Ok(vec![ignored, EventKind::Look]);
    }
    changes.iter().map(change).collect()
}

fn change(change: &Value) -> Result<EventKind, Unreadable> {
    let (old, new) = (at(change, "old"), at(change, "new"));
    let Some(present) = new.or(old) else {
        return Err(Unreadable::new("push.changes", "a change has neither `old` nor `new`"));
    };
    let name = || needed(present, "name").map(ToOwned::to_owned);
    match (needed(present, "type")?, new.is_some()) {
        ("branch" | "named_branch", _) => {
            let branch = branch(present, "name")?;
            let before = old.map(|old| commit(old, "target.hash")).transpose()?;
            let after = new.map(|new| commit(new, "target.hash")).transpose()?;
            Ok(moved(branch, before, after))
        }
        ("tag" | "annotated_tag", true) => Ok(EventKind::TagCreated { tag: name()? }),
        ("tag" | "annotated_tag", false) => Ok(EventKind::TagDeleted { tag: name()? }),
        (other, _) => Ok(EventKind::Ignored { reference: other.to_owned() }),
    }
}

fn moved(branch: BranchName, before: Option<CommitSha>, after: Option<CommitSha>) -> EventKind {
    match (before, after) {
        (Some(before), Some(commit)) => EventKind::BranchPushed { branch, before, commit },
        (None, commit) => EventKind::BranchCreated { branch, commit },
        (before, None) => EventKind::BranchDeleted { branch, before },
    }
}

fn read_pull_request(change: PullChange, body: &Value) -> Result<PullRequest, Unreadable> {
    let pull = at(body, "pullrequest").ok_or_else(|| Unreadable::new("pullrequest", "is needed"))?;
    let number = number(pull, "id")?;
    let fork = fork(pull);
    let state = match (change, text(pull, "state")) {
        (PullChange::Merged, _) | (_, Some("MERGED")) => PullState::Merged,
        (PullChange::Closed, _) | (_, Some("DECLINED" | "SUPERSEDED")) => PullState::Closed,
        _ => PullState::Open,
    };
    let author = ["author.nickname", "author.username", "author.display_name"];
    let author = author.into_iter().map(|path| line(pull, path)).find(|name| !name.is_empty());
    Ok(PullRequest {
        forge: Forge::Bitbucket,
        number,
        title: line(pull, "title"),
        author: author.unwrap_or_default(),
        source: line(pull, "source.branch.name"),
        branch: match fork {
            Some(_) => BranchName::pull(number),
            None => branch(pull, "source.branch.name")?,
        },
        target: branch(pull, "destination.branch.name")?,
        url: page(pull, "links.html.href"),
        state,
        draft: flag(pull, "draft"),
        labels: Vec::new(),
        head: head(pull, "source.commit.hash")?,
        fork,
        merge_commit: head(pull, "merge_commit.hash")?.filter(|_| state == PullState::Merged),
        changed_at: moment(pull, "updated_on"),
    })
}

/// Whose repository the branch is in, unless it is this one. A fork that was deleted is null.
fn fork(pull: &Value) -> Option<String> {
    let (source, own) =
        (text(pull, "source.repository.full_name"), text(pull, "destination.repository.full_name"));
    match (source, own) {
        (Some(source), Some(own)) if source == own => None,
        (Some(_), _) => Some(line(pull, "source.repository.full_name")),
        (None, _) => Some("a fork that is gone".to_owned()),
    }
}
