//! Text of a branch in Markdown: shown as it is, and nothing else.

use crate::domain::text::clean_line;

/// A span of code: no link, image, mention, reference or HTML comes out of it at any forge. What could end the span or the
/// cell of a table around it is shown by its double; a mention is broken too, since some forges look for it in the raw text.
pub(super) fn code(text: &str, limit: usize) -> String {
    let line = cut(&clean_line(text), limit);
    if line.is_empty() {
        return "–".to_owned();
    }
    let mut span = String::from("`");
    for c in line.chars() {
        match c {
            '`' => span.push('\u{2cb}'),
            '|' => span.push('\u{1c0}'),
            // In a span a backslash is one, except before the `|` of a table and, at some forges, at its end.
            '\\' => span.push('\u{2216}'),
            '@' => span.push_str("@\u{200b}"),
            other => span.push(other),
        }
    }
    span.push('`');
    span
}

/// One line of at most so many characters.
pub(super) fn line(text: &str, limit: usize) -> String {
    cut(&clean_line(text), limit)
}

/// Letters, digits and `/_.`; every other byte as `%` and two digits.
pub(super) fn plain(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
