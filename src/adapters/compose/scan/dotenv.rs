//! The checkout's `.env`, cut down to plain assignments that cannot steer the compose CLI.
//!
//! Written anew from what is understood, not filtered by line: the format allows two assignments on one line and
//! line breaks inside quotes, so that a line is not what it seems.

/// Variables that name engines, folders and programs; `${…}` gets nothing from them.
const STEERING: [&str; 14] = [
    "BUILDKIT_HOST",
    "BUILDX_BUILDER",
    "BUILDX_CONFIG",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "HOME",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PATH",
    "SSH_AUTH_SOCK",
];

/// The text without any `COMPOSE_*` assignment, and without the few others that steer the tools.
pub fn filtered_env(text: &str) -> String {
    assignments(text)
        .into_iter()
        .filter(|(name, _)| !is_steering(name))
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}

/// The names that [`filtered_env`] leaves out.
pub(super) fn dropped_names(text: &str) -> Vec<String> {
    assignments(text).into_iter().map(|(name, _)| name.to_owned()).filter(|name| is_steering(name)).collect()
}

fn is_steering(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper.starts_with("COMPOSE_") || STEERING.contains(&upper.as_str())
}

/// Names and values as written, quotes included. Stops at the first thing that could be read in two ways.
fn assignments(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return found;
        }
        let Some((name, after)) = name(rest) else {
            rest = after_line(rest);
            continue;
        };
        let value = after.trim_start_matches([' ', '\t']);
        match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let Some(end) = closing(value, quote) else { return found };
                let (quoted, after) = value.split_at(end);
                found.push((name, quoted));
                rest = after;
            }
            _ => {
                let line = value.split('\n').next().unwrap_or_default();
                found.push((name, line.trim_end()));
                rest = after_line(value);
            }
        }
    }
}

/// A name with `=` or `:` behind it, with or without `export`.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = match text.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => text,
    };
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix(['=', ':'])?;
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

/// The position behind the closing quote; nothing when there is none, or when parsers differ about which it is.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut backslashes = 0;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote {
            match (quote, backslashes) {
                (_, 0) => return Some(at + 1),
                ('"', 1) => {}
                _ => return None,
            }
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    None
}

fn after_line(text: &str) -> &str {
    text.find('\n').and_then(|at| text.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_assignments_stay_as_they_are() {
        let text = "# note\nA=1\nB='x y' # note\nexport C=\"two\nlines\"\nD: yaml\nE=${A:-x}\nBARE\n";
        assert_eq!(filtered_env(text), "A=1\nB='x y'\nC=\"two\nlines\"\nD=yaml\nE=${A:-x}\n");
    }

    #[test]
    fn no_spelling_brings_a_compose_variable_through() {
        for text in [
            "COMPOSE_FILE=x",
            "  export   COMPOSE_FILE=x",
            "export\tCOMPOSE_FILE = x",
            "COMPOSE_FILE: x",
            "\u{feff}COMPOSE_FILE=x",
            "\u{a0}COMPOSE_FILE=x",
            "A='x' COMPOSE_FILE=y",
            "A=\"x\"COMPOSE_FILE=y",
            "A=\"a\\\\\"\nB=\"\nCOMPOSE_FILE=x\n\"",
            "A='a\\'\nB='\nCOMPOSE_FILE=x\n'",
            "A=\"unclosed\nCOMPOSE_FILE=x",
            "DOCKER_HOST=tcp://x",
            "compose_file=x",
        ] {
            let kept = filtered_env(text);
            let lines = kept.lines().filter(|line| line.contains("COMPOSE") || line.contains("DOCKER"));
            assert_eq!(lines.count(), 0, "{text:?} → {kept:?}");
        }
        assert_eq!(dropped_names("A=1\nCOMPOSE_FILE=x\n"), ["COMPOSE_FILE"]);
    }
}
