//! The images that a Dockerfile builds upon.
//!
//! Source of the rules: the Dockerfile reference. Only what decides which images are read is understood.

use std::collections::{BTreeMap, BTreeSet};

/// Stands for what a variable is made into by means that only the builder has; no name of an image holds it.
const UNKNOWN: char = '\u{1}';

/// References of the images that are needed for `target` (the last stage without one), each once, in order.
///
/// `args` are the build's arguments: they count for those that are declared before the first `FROM`.
/// Stage names and `scratch` are no images. A reference that names an unknown variable is kept with what is known.
pub fn base_images(dockerfile: &str, args: &BTreeMap<String, String>, target: Option<&str>) -> Vec<String> {
    let stages = stages(dockerfile, args);
    let named = |name: &str| stages.iter().position(|stage| stage.is_called(name));
    let numbered = |name: &str| name.parse::<usize>().ok().filter(|number| *number < stages.len());
    let last = stages.len().checked_sub(1);
    let mut pending: Vec<usize> =
        target.and_then(|target| named(target).or_else(|| numbered(target))).or(last).into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut needed = BTreeSet::new();
    while let Some(index) = pending.pop() {
        let Some(stage) = stages.get(index).filter(|_| seen.insert(index)) else { continue };
        for (order, reference) in stage.reads.iter().enumerate() {
            // A stage is only known after it was begun; the newest of a name counts.
            let earlier = stages.get(..index).unwrap_or_default();
            let by_name = earlier.iter().rposition(|other| other.is_called(&reference.text));
            let by_number =
                reference.may_be_number.then(|| numbered(&reference.text)).flatten().filter(|n| *n < index);
            match by_name.or(by_number) {
                Some(other) => pending.push(other),
                None => {
                    needed.insert((index, order, reference.text.clone()));
                }
            }
        }
    }
    let mut told = BTreeSet::new();
    needed
        .into_iter()
        .map(|(_, _, image)| image)
        .filter(|image| !image.is_empty() && image != "scratch" && told.insert(image.clone()))
        .collect()
}

/// References of all images that any stage reads, needed for the target or not.
pub fn all_base_images(dockerfile: &str, args: &BTreeMap<String, String>) -> BTreeSet<String> {
    let stages = stages(dockerfile, args);
    (0..stages.len()).flat_map(|index| base_images(dockerfile, args, Some(&index.to_string()))).collect()
}

/// The image of the builder's front end, where the first lines name one: `# syntax=IMAGE`, or a file that is JSON.
pub fn syntax(dockerfile: &str) -> Option<String> {
    let text = dockerfile.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('{') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
        let named = values.next().and_then(Result::ok)?;
        return named.get("syntax").and_then(serde_json::Value::as_str).map(str::to_owned);
    }
    let directives = dockerfile.trim_start_matches('\u{feff}').lines().map(str::trim);
    let directives = directives.map_while(|line| line.strip_prefix('#').or(line.strip_prefix("//")));
    directives.filter_map(|line| line.split_once('=')).find_map(|(name, value)| {
        name.trim()
            .eq_ignore_ascii_case("syntax")
            .then(|| value.split_whitespace().next().map(str::to_owned))?
    })
}

#[derive(Debug, Default)]
struct Stage {
    name: Option<String>,
    reads: Vec<Reference>,
}

#[derive(Debug)]
struct Reference {
    text: String,
    /// `COPY --from=0` names a stage by number, `FROM 0` does not.
    may_be_number: bool,
}

impl Stage {
    fn is_called(&self, name: &str) -> bool {
        self.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name))
    }
}

fn stages(dockerfile: &str, args: &BTreeMap<String, String>) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut variables = BTreeMap::new();
    for (keyword, rest) in instructions(dockerfile) {
        match keyword.as_str() {
            "ARG" if stages.is_empty() => declare(&rest, args, &mut variables),
            "FROM" => stages.push(stage(&rest, &variables)),
            "COPY" | "RUN" => {
                if let Some(stage) = stages.last_mut() {
                    stage.reads.extend(sources(&keyword, &rest, &variables));
                }
            }
            _ => {}
        }
    }
    stages
}

/// `ARG NAME=default NAME2`
fn declare(rest: &str, args: &BTreeMap<String, String>, variables: &mut BTreeMap<String, String>) {
    for word in rest.split_whitespace() {
        let (name, default) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let default = default.map(|value| substitute(unquoted(value), variables));
        if let Some(value) = args.get(name).cloned().or(default) {
            variables.insert(name.to_owned(), value);
        }
    }
}

/// `FROM [--platform=…] image [AS name]`
fn stage(rest: &str, variables: &BTreeMap<String, String>) -> Stage {
    let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
    let image = substitute(unquoted(words.next().unwrap_or_default()), variables);
    let name = words.next().filter(|word| word.eq_ignore_ascii_case("as")).and(words.next());
    Stage { name: name.map(str::to_owned), reads: vec![Reference { text: image, may_be_number: false }] }
}

/// `COPY --from=…` and `RUN --mount=…,from=…`
fn sources(keyword: &str, rest: &str, variables: &BTreeMap<String, String>) -> Vec<Reference> {
    let flags = rest.split_whitespace().take_while(|word| word.starts_with("--"));
    // The builder takes quotes and escapes out of flags, and does not mind the case of what a mount is given.
    let plain =
        |flag: &str| -> String { flag.chars().filter(|c| !matches!(c, '"' | '\'' | '\\' | '`')).collect() };
    let of_mount = |option: &str| {
        let (key, image) = option.split_once('=')?;
        key.trim().eq_ignore_ascii_case("from").then(|| image.to_owned())
    };
    let found = flags.map(plain).flat_map(|flag| match (keyword, flag.split_once('=')) {
        ("COPY", Some(("--from", image))) => vec![image.to_owned()],
        ("RUN", Some(("--mount", options))) => options.split(',').filter_map(of_mount).collect(),
        _ => Vec::new(),
    });
    found.map(|image| Reference { text: substitute(&image, variables), may_be_number: true }).collect()
}

/// What `ADD` takes from the network, whichever stage it is in. Of what variables hold only those of the file and `args` are
/// known: a source whose beginning is not known is given as it is written.
pub fn remote_sources(dockerfile: &str, args: &BTreeMap<String, String>) -> Vec<String> {
    let mut variables = BTreeMap::new();
    let mut found = Vec::new();
    for (keyword, rest) in instructions(dockerfile) {
        match keyword.as_str() {
            "ARG" => declare(&rest, args, &mut variables),
            "ENV" => set(&rest, &mut variables),
            "ADD" => found.extend(rest.split_whitespace().filter_map(|word| remote(word, &variables))),
            "ONBUILD" if rest.to_ascii_uppercase().starts_with("ADD") => {
                found.extend(rest.split_whitespace().skip(1).filter_map(|word| remote(word, &variables)));
            }
            _ => {}
        }
    }
    found
}

/// The word in plain text where it names something in the network; as written where nobody knows.
fn remote(word: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let plain: String = word.chars().filter(|c| !matches!(c, '"' | '\'' | '\\' | '[' | ']' | ',')).collect();
    let meant = substitute(&plain, variables).to_ascii_lowercase();
    let is_remote = meant.contains("://") || meant.starts_with("git@");
    // Its base image may know what nobody here knows.
    let is_open = leading_variable(&plain).is_some_and(|begin| substitute(begin, variables).is_empty());
    let is_unknown = is_open || meant.contains(UNKNOWN);
    (is_remote || is_unknown).then_some(plain)
}

/// `$NAME` or `${…}` at the beginning.
fn leading_variable(text: &str) -> Option<&str> {
    let after = text.strip_prefix('$')?;
    let end = match after.strip_prefix('{') {
        Some(inside) => inside.find('}').map(|at| at + 3)?,
        None => 1 + after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()),
    };
    text.get(..end)
}

/// `ENV NAME=value …`, or the older `ENV NAME value`.
fn set(rest: &str, variables: &mut BTreeMap<String, String>) {
    match rest.split_once(char::is_whitespace) {
        Some((name, value)) if !name.contains('=') => {
            let value = substitute(unquoted(value.trim()), variables);
            variables.insert(name.to_owned(), value);
        }
        _ => declare(rest, &BTreeMap::new(), variables),
    }
}

/// Keyword in upper case and what follows it; continued lines joined, comments and here-documents left out.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    let escape = escape_character(dockerfile);
    let mut found = Vec::new();
    let mut lines = dockerfile.trim_start_matches('\u{feff}').lines();
    while let Some(first) = lines.next() {
        let mut whole = String::new();
        let mut line = Some(first);
        while let Some(part) = line {
            if part.trim_start().starts_with('#') || (part.trim().is_empty() && !whole.is_empty()) {
                // Inside a continued instruction comments and empty lines do not end it.
                line = if whole.is_empty() { None } else { lines.next() };
                continue;
            }
            // The builder joins with nothing, and an escaped escape character joins nothing.
            let continued = part.trim_end().strip_suffix(escape).filter(|before| !before.ends_with(escape));
            let Some(continued) = continued else {
                whole.push_str(part.trim_end());
                break;
            };
            whole.push_str(continued);
            line = lines.next();
        }
        let whole = whole.trim();
        let (keyword, rest) = whole.split_once(char::is_whitespace).unwrap_or((whole, ""));
        let keyword = keyword.to_ascii_uppercase();
        if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
            for (word, may_indent) in here_documents(rest) {
                let ends = |line: &str| word == if may_indent { line.trim_start_matches('\t') } else { line };
                lines.by_ref().find(|line| ends(line));
            }
        }
        if !keyword.is_empty() {
            found.push((keyword, rest.trim().to_owned()));
        }
    }
    found
}

/// The `# escape=` directive; it stands before everything but other directives.
fn escape_character(dockerfile: &str) -> char {
    let directives = dockerfile.trim_start_matches('\u{feff}').lines().map(str::trim);
    directives
        .map_while(|line| line.strip_prefix('#')?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("escape"))
        .and_then(|(_, value)| value.trim().chars().next())
        .filter(|value| *value == '`')
        .unwrap_or('\\')
}

/// Ends of the here-documents that an instruction opens (`<<EOF`, `<<-"EOF"`), in order, and whether tabs may
/// stand before them.
fn here_documents(text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let openings = text.match_indices("<<").map(|(at, _)| at);
    for at in openings {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 2..).unwrap_or_default());
        // `<<<` is a here-string; a digit may stand before the sign, a word may not.
        let is_opening = !before.ends_with('<')
            && before
                .trim_end_matches(|c: char| c.is_ascii_digit())
                .chars()
                .last()
                .is_none_or(char::is_whitespace);
        let (may_indent, word) = after.strip_prefix('-').map_or((false, after), |word| (true, word));
        let word = word.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '>' | '<' | ')'));
        let word = unquoted(word.into_iter().next().unwrap_or_default());
        let is_word = word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if is_opening && is_word {
            found.push((word.to_owned(), may_indent));
        }
    }
    found
}

/// `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}`, also without the colon. Unknown is empty.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        whole.push_str(before);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some((inside, after)) = after.strip_prefix('{').and_then(braced) {
            let (name, operator) = inside.split_at(inside.find(|c| !is_name(c)).unwrap_or(inside.len()));
            whole.push_str(&expand(variables.get(name).map(String::as_str), operator, variables));
            rest = after;
        } else {
            let (name, after) = after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len()));
            whole.push_str(variables.get(name).map_or("", String::as_str));
            rest = after;
        }
    }
    whole.push_str(rest);
    whole
}

/// What lies before the brace that closes, and what after it.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (at, character) in text.char_indices() {
        depth += match character {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
    }
    None
}

fn expand(value: Option<&str>, operator: &str, variables: &BTreeMap<String, String>) -> String {
    let (operator, value) = match operator.strip_prefix(':') {
        Some(operator) => (operator, value.filter(|value| !value.is_empty())),
        None => (operator, value),
    };
    match (operator.chars().next(), value) {
        (Some('-'), None) | (Some('+'), Some(_)) => {
            substitute(operator.get(1..).unwrap_or_default(), variables)
        }
        (Some('+'), None) => String::new(),
        // What cuts and replaces (`#`, `%`, `/`) is the builder's: nobody here knows what comes out.
        (Some('#' | '%' | '/'), Some(_)) => UNKNOWN.to_string(),
        (_, value) => value.unwrap_or_default().to_owned(),
    }
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inside;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(dockerfile: &str, args: &[(&str, &str)], target: Option<&str>) -> Vec<String> {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        base_images(dockerfile, &args, target)
    }

    #[test]
    fn arguments_before_the_first_from_count() {
        let text = "# syntax=docker/dockerfile:1\nARG BASE=debian TAG=\"12\"\nARG FULL=${BASE}:${TAG}\n\
                    FROM --platform=$BUILDPLATFORM ${FULL} AS a\nARG TAG=13\nFROM $BASE-${OTHER:-slim}";
        assert_eq!(images(text, &[], Some("a")), ["debian:12"]);
        assert_eq!(images(text, &[("TAG", "11")], Some("A")), ["debian:11"]);
        assert_eq!(images(text, &[("OTHER", "x")], None), ["debian-slim"]);
    }

    #[test]
    fn only_what_the_target_needs() {
        let text = "FROM golang:1 AS build\nRUN --mount=type=bind,from=tools:2,target=/t make\n\
                    FROM build AS test\nFROM scratch\nCOPY --chown=1:1 --from=build /a /a\nCOPY --from=nginx:1 /b /b\n\
                    COPY --from=0 /c /c\nFROM unused:1 as other";
        assert_eq!(images(text, &[], Some("2")), ["golang:1", "tools:2", "nginx:1"]);
        assert_eq!(images(text, &[], Some("test")), ["golang:1", "tools:2"]);
        assert_eq!(images(text, &[], None), ["unused:1"]);
    }

    #[test]
    fn text_that_looks_like_instructions_is_not_read() {
        let text = "from a:1 \\\n# a comment inside\n\n  as x\nRUN <<EOF cat > y <<-'TWO'\nFROM not:1\nEOF\nFROM nor:1\n\tTWO\n\
                    RUN echo 1 <<< FROM\nRUN a \\\n FROM never:1\nCOPY --from=b:2 . .";
        assert_eq!(images(text, &[], None), ["a:1", "b:2"]);
        assert_eq!(images("# escape=`\nFROM a:1 `\n AS b\nFROM B", &[], None), ["a:1"]);
        assert!(images("", &[], Some("x")).is_empty());
        assert!(images("FROM", &[], None).is_empty());
    }

    #[test]
    fn a_stage_may_have_an_images_name() {
        assert_eq!(images("FROM debian AS debian\nFROM debian", &[], None), ["debian"]);
    }

    #[test]
    fn the_front_end_and_every_stages_images_are_known() {
        assert_eq!(
            syntax("# escape=`\n# syntax = docker/dockerfile:1 \nFROM a\n").as_deref(),
            Some("docker/dockerfile:1")
        );
        assert_eq!(syntax("FROM a\n# syntax=late\n"), None);
        let all = all_base_images("FROM a AS one\nFROM b\nCOPY --from=c / /\n", &BTreeMap::new());
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn what_the_builder_reads_in_other_words_is_seen() {
        let none = BTreeMap::new();
        for text in [
            "FROM a\nRUN --mount=type=bind,FROM=drey/x:1 ls\n",
            "FROM a\nRUN --mount=type=bind,\"from=drey/x:1\" ls\n",
            "FROM a\nRUN --mount=\"from=drey/x:1,type=bind\" ls\n",
            "FROM a\nRUN --mount=type=bind,fr\\om=drey/x:1 ls\n",
            "FROM a\nRUN --network=none --mount=from=b,from=drey/x:1 ls\n",
            "FROM a\nCOPY --\"from=drey/x:1\" / /\n",
        ] {
            assert!(all_base_images(text, &none).contains("drey/x:1"), "{text}");
        }
        let cut = all_base_images("ARG X=zzdrey/x:1\nFROM ${X#zz}\n", &none);
        assert!(cut.iter().all(|image| image.contains(UNKNOWN)) && cut.len() == 1, "{cut:?}");
        assert_eq!(syntax("{\"syntax\": \"evil/x\"}\nFROM a").as_deref(), Some("evil/x"));
    }

    #[test]
    fn what_is_added_from_the_network_is_seen() {
        let found = |text: &str| remote_sources(text, &BTreeMap::new()).len();
        for text in [
            "FROM a\nADD http://10.0.0.1/x /x\n",
            "FROM a\nADD --chown=1:1 [\"https://h/x\", \"/x\"]\n",
            "FROM a\nADD git@h:a/b.git /x\n",
            "FROM a\nARG U=http\nADD ${U}://h/x /x\n",
            "FROM a\nENV U=http://h\nADD $U/x /x\n",
            "FROM a\nENV U http://h\nADD $U/x /x\n",
            "FROM a\nADD $OF_THE_BASE /x\n",
            "FROM a\nADD ${OF_THE_BASE}//h/x /x\n",
            "FROM a\nONBUILD ADD http://h/x /x\n",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        assert_eq!(found("FROM a\nARG J=app.jar\nADD $J conf /x/\nADD . .\nRUN wget http://h/x\n"), 0);
    }
}
