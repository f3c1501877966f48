//! On which line of a file a key stands. Only for remarks to people: nothing is decided by it.
//!
//! Reads indentation alone, so it is right for what people write and says nothing of a key inside of `{…}` on a line of
//! another one: there the line of the nearest key above counts.

use std::collections::BTreeMap;

use super::Scanner;

impl Scanner<'_> {
    /// Puts lines to the keys of all remarks, once all files are known.
    pub(super) fn find_lines(&mut self) {
        for finding in self.findings.iter_mut().filter(|finding| finding.line.is_none()) {
            let file = finding.file.as_deref().unwrap_or_default();
            finding.line = self.sources.line(file, &finding.key);
        }
    }
}

/// A key or an item that the lines below may belong to.
struct Open {
    indent: usize,
    is_item: bool,
    path: String,
}

/// Keys as remarks name them (`services.web.ports[0]`) and their lines, from 1; the first of each.
pub(super) fn of(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut items: BTreeMap<String, usize> = BTreeMap::new();
    // Below this indentation goes a text of several lines.
    let mut inside_text: Option<usize> = None;
    for (at, line) in text.lines().enumerate() {
        let mut rest = line.trim_start_matches(' ');
        let mut indent = line.len() - rest.len();
        if rest.trim().is_empty() || inside_text.is_some_and(|above| indent > above) {
            continue;
        }
        inside_text = None;
        if rest.starts_with(['#', '%']) || rest.starts_with("---") {
            continue;
        }
        while let Some(item) = rest.strip_prefix('-').filter(|it| it.is_empty() || it.starts_with(' ')) {
            close(&mut open, |it| it.indent > indent || (it.indent == indent && it.is_item));
            let above = above(&open);
            let number = items.entry(above.to_owned()).or_default();
            let path = format!("{above}[{number}]");
            *number += 1;
            found.push((path.clone(), at + 1));
            open.push(Open { indent, is_item: true, path });
            let next = item.trim_start_matches(' ');
            indent += rest.len() - next.len();
            rest = next;
        }
        let Some((key, value)) = key(rest) else { continue };
        close(&mut open, |it| it.indent >= indent);
        let above = above(&open);
        let path = if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
        found.push((path.clone(), at + 1));
        open.push(Open { indent, is_item: false, path });
        if value.starts_with(['|', '>']) {
            inside_text = Some(indent);
        }
    }
    found
}

/// The line that the reader of YAML names in its complaint.
pub(super) fn named_in(reason: &str) -> Option<usize> {
    let (_, rest) = reason.split_once(" at line ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn close(open: &mut Vec<Open>, is_over: impl Fn(&Open) -> bool) {
    while open.last().is_some_and(&is_over) {
        open.pop();
    }
}

fn above(open: &[Open]) -> &str {
    open.last().map_or("", |it| it.path.as_str())
}

/// `key: value`, with or without quotes around the key.
fn key(text: &str) -> Option<(&str, &str)> {
    let (key, rest) = match text.chars().next()? {
        quote @ ('"' | '\'') => text.get(1..)?.split_once(quote)?,
        _ => {
            let end = text.match_indices(':').map(|(at, _)| at).find(|at| ends_key(text, *at))?;
            (text.get(..end)?.trim_end(), text.get(end..)?)
        }
    };
    let value = rest.trim_start().strip_prefix(':')?;
    (!key.is_empty()).then(|| (key, value.trim_start()))
}

fn ends_key(text: &str, at: usize) -> bool {
    text.get(at + 1..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
# a file
services:
  web.1:
    image: \"x:1\"
    command: |
      privileged: no key
      - nor an item
    ports:
    - \"80:80\"
    - target: 81
      published: 82
    volumes:
      - ./a:/a

      - type: bind
        source: /etc
  \"db\": {image: x, privileged: true}
networks: {}
";

    #[test]
    fn keys_are_on_their_lines() {
        let found: BTreeMap<String, usize> = of(TEXT).into_iter().collect();
        for (key, line) in [
            ("services", 2),
            ("services.web.1", 3),
            ("services.web.1.command", 5),
            ("services.web.1.ports[0]", 9),
            ("services.web.1.ports[1]", 10),
            ("services.web.1.ports[1].published", 11),
            ("services.web.1.volumes[1]", 15),
            ("services.web.1.volumes[1].source", 16),
            ("services.db", 17),
            ("networks", 18),
        ] {
            assert_eq!(found.get(key), Some(&line), "{key}: {found:?}");
        }
        assert!(!found.keys().any(|key| key.contains("privileged")));
    }

    proptest! {
        #[test]
        fn any_text_has_lines(text in "([ \\-:a-c\"'|#\n]|\\PC){0,200}") {
            let count = text.lines().count();
            prop_assert!(of(&text).iter().all(|(_, line)| (1..=count).contains(line)));
        }
    }
}
