//! The checkout's `.env`, cut down to plain assignments that cannot steer the compose CLI.
//!
//! Read as Compose reads it (compose-go, package `dotenv`) and written anew, not filtered by line: the format allows
//! two assignments on one line and line breaks inside quotes, so that a line is not what it seems. What Compose would
//! not take is refused, never passed over.

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

/// What is taken of a `.env`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dotenv {
    /// Written anew, without any `COMPOSE_*` assignment and the few others that steer the tools.
    pub(super) text: String,
    /// The names that were left out.
    pub(super) dropped: Vec<String>,
}

/// Reads a `.env` as Compose does.
///
/// # Errors
/// The line (from 1) that Compose does not take either, and why.
pub(super) fn read(text: &str) -> Result<Dotenv, (usize, String)> {
    let mut found = Dotenv::default();
    for (name, value) in assignments(text)? {
        if is_steering(name) {
            found.dropped.push(name.to_owned());
        } else {
            found.text.push_str(&format!("{name}={value}\n"));
        }
    }
    Ok(found)
}

fn is_steering(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper.starts_with("COMPOSE_") || STEERING.contains(&upper.as_str())
}

/// Names and values as written, quotes included. A name without a value is passed over: it would be taken from the
/// process that reads the file.
fn assignments(text: &str) -> Result<Vec<(&str, &str)>, (usize, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        if rest.starts_with('#') {
            rest = after_line(rest);
            continue;
        }
        let fault = |reason: String| (text[..text.len() - rest.len()].matches('\n').count() + 1, reason);
        let end = rest.find(['=', ':', '\n']).unwrap_or(rest.len());
        let (before, after) = rest.split_at(end);
        let name = name(before).map_err(fault)?;
        let Some(value) = after.strip_prefix(['=', ':']) else {
            rest = after;
            continue;
        };
        let value = value.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let end = closing(value, quote).ok_or_else(|| {
                    fault(format!("the quote {quote} before the value of {name} is not closed"))
                })?;
                value.split_at(end)
            }
            _ => {
                let line = value.split('\n').next().unwrap_or_default();
                (line.trim_end(), after_line(value))
            }
        };
        if !name.is_empty() {
            found.push((name, value));
        }
        rest = after;
    }
}

/// What stands before `=` or `:`, with or without `export`.
fn name(text: &str) -> Result<&str, String> {
    let text = match text.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => text,
    };
    let text = text.trim_end();
    match text.chars().find(|c| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-' | '[' | ']')) {
        None => Ok(text),
        Some(_) => Err(format!("{:?} is no name of a variable", text.chars().take(40).collect::<String>())),
    }
}

/// The position behind the closing quote: the next that has no backslash of its own before it, in both kinds of
/// quotes.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn after_line(text: &str) -> &str {
    text.find('\n').and_then(|at| text.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        read(text).map(|found| found.text).unwrap_or_default()
    }

    #[test]
    fn plain_assignments_stay_as_they_are() {
        let text = "# note\nA=1\nB='x y' # note\nexport C=\"two\nlines\"\nD: yaml\nE=${A:-x}\nBARE\n=x\n";
        assert_eq!(kept(text), "A=1\nB='x y'\nC=\"two\nlines\"\nD=yaml\nE=${A:-x}\n");
    }

    #[test]
    fn a_backslash_takes_the_quote_behind_it_and_nothing_is_lost() {
        for text in [
            "A=\"x\\\"y\"\nB=1\n",
            "A=\"C:\\\\\"\nB=1\n",
            "A='it\\'s'\nB=1\n",
            "A='x\\\\'\nB=1\n",
            "A=it's\nB=1\n",
        ] {
            assert_eq!(kept(text), text, "{text}");
        }
        for (text, line, reason) in [
            ("A=1\n\nB='x\\'\nC=1\n", 3, "the quote ' before the value of B is not closed"),
            ("A=\"x\nB=1\n", 1, "the quote \" before the value of A is not closed"),
            ("A=1\nB C=1\n", 2, "\"B C\" is no name of a variable"),
            ("A=\"x\" {y\n", 1, "\"{y\" is no name of a variable"),
        ] {
            assert_eq!(read(text), Err((line, reason.to_owned())), "{text}");
        }
    }

    #[test]
    fn no_spelling_brings_a_compose_variable_through() {
        for text in [
            "COMPOSE_FILE=x",
            "  export   COMPOSE_FILE=x",
            "export\tCOMPOSE_FILE = x",
            "COMPOSE_FILE: x",
            "A=\u{a0}\"x\nB=\"\nCOMPOSE_FILE=x\n\"",
            "A=\r\"x\nB=\"\nCOMPOSE_FILE=x\n\"",
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
            let kept = kept(text);
            // Inside of a quoted value the words mean nothing.
            let lines = kept.lines().filter(|line| line.contains("COMPOSE") || line.contains("DOCKER"));
            let quoted = kept.contains("B=\"\n");
            assert!(quoted || lines.count() == 0, "{text:?} → {kept:?}");
        }
        let found = read("A=1\nCOMPOSE_FILE=x\n").unwrap();
        assert_eq!((found.text.as_str(), found.dropped), ("A=1\n", vec!["COMPOSE_FILE".to_owned()]));
    }
}
