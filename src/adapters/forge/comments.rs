//! The hidden marker of a comment: how it is written, and how a comment is found by it.

use serde_json::Value;

use crate::domain::report::{CommentReport, Marker};

/// Comments on a page.
pub(super) const PER_PAGE: usize = 50;
/// Pages that are looked through for a comment of ours.
pub(super) const PAGES: usize = 10;

/// With the marker in a comment of HTML.
pub(super) fn in_html(report: &CommentReport, marker: &Marker) -> String {
    format!("{}\n\n<!-- {} -->", report.body, marker.as_str())
}

/// With the marker in a link reference that nothing uses: for a forge that shows comments of HTML.
pub(super) fn in_reference(report: &CommentReport, marker: &Marker) -> String {
    format!("{}\n\n[//]: # ({})", report.body, marker.as_str())
}

/// Id of the first one with the marker: one that somebody copied is younger.
pub(super) fn find(comments: &Value, marker: &Marker, text: impl Fn(&Value) -> &Value) -> Option<String> {
    let mut all = comments.as_array()?.iter();
    id(all.find(|comment| text(comment).as_str().is_some_and(|it| it.contains(marker.as_str())))?)
}

/// The id of what an answer shows.
pub(super) fn id(thing: &Value) -> Option<String> {
    thing["id"].as_u64().map(|id| id.to_string())
}

/// How many things a page has.
pub(super) fn count(page: &Value) -> usize {
    page.as_array().map_or(0, Vec::len)
}
