//! The one comment on a pull request, at any forge: found by its hidden marker, edited where it is there, made where it is not.

use async_trait::async_trait;
use serde_json::Value;

use super::client::Answer;
use crate::domain::report::{CommentReport, Marker};
use crate::ports::{ForgeError, ForgeResult};

/// Comments on a page.
pub(super) const PER_PAGE: usize = 50;
/// Pages that are looked through for a comment of ours.
const PAGES: usize = 10;

/// Comments on the pull requests of a project, in the words of its forge.
#[async_trait]
pub(super) trait Comments: Sync {
    /// Which permission the token needs for them.
    fn needs(&self) -> &'static str;
    /// With the marker, hidden from people.
    fn written(&self, report: &CommentReport, marker: &Marker) -> String {
        format!("{}\n\n<!-- {} -->", report.body, marker.as_str())
    }
    /// The text of one in a list.
    fn text<'a>(&self, comment: &'a Value) -> &'a Value {
        &comment["body"]
    }
    /// A list of [`PER_PAGE`] of them, the oldest first; pages are counted from 1.
    async fn page(&self, pull: u64, page: usize) -> ForgeResult<Value>;
    async fn make(&self, pull: u64, text: &str) -> ForgeResult<Answer>;
    async fn edit(&self, pull: u64, id: &str, text: &str) -> ForgeResult<Answer>;
}

/// Edits the comment, and makes it where there is none: gives its id.
///
/// # Errors
/// `Gone`: it was removed.
pub(super) async fn set(
    forge: &impl Comments,
    report: &CommentReport,
    marker: &Marker,
    known: Option<&str>,
) -> ForgeResult<String> {
    let text = forge.written(report, marker);
    let there = match known {
        Some(id) => Some(id.to_owned()),
        None => find(forge, report.pull, marker).await?,
    };
    let Some(id) = there else {
        return made(&forge.make(report.pull, &text).await?.taken(forge.needs())?);
    };
    let answer = forge.edit(report.pull, &id, &text).await?;
    if answer.is_gone() {
        return Err(ForgeError::Gone);
    }
    answer.taken(forge.needs())?;
    Ok(id)
}

/// Id of the first one with the marker: one that somebody copied is younger.
async fn find(forge: &impl Comments, pull: u64, marker: &Marker) -> ForgeResult<Option<String>> {
    for number in 1..=PAGES {
        let page = forge.page(pull, number).await?;
        let all = page.as_array().map_or(&[][..], Vec::as_slice);
        let is_ours = |comment: &&Value| {
            forge.text(comment).as_str().is_some_and(|text| text.contains(marker.as_str()))
        };
        let found = all.iter().find(is_ours).and_then(id);
        if found.is_some() || all.len() < PER_PAGE {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The id of what an answer shows.
pub(super) fn id(thing: &Value) -> Option<String> {
    thing["id"].as_u64().map(|id| id.to_string())
}

/// The id of what was made.
pub(super) fn made(answer: &Answer) -> ForgeResult<String> {
    let nameless = || ForgeError::Passing("the forge made something and gave no id for it".to_owned());
    id(&answer.body).ok_or_else(nameless)
}
