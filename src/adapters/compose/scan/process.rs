//! Values of the process that reads the files: it runs with few variables, and no file may take one of them.

use super::super::tool::OWN_VARIABLES;
use super::tree::Node;

/// A place that would take a value of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// For instance `services.web.build.args.PATH`.
    pub(super) key: String,
    /// As the file has it.
    pub(super) name: String,
}

/// Names without a value where Compose fills one in, and variables in any text.
pub(super) fn in_file(file: &Node) -> Vec<Taken> {
    let mut found = Vec::new();
    for (service, node) in file.all("services").flat_map(Node::members) {
        let of_build = node.all("build").flat_map(|build| build.all("args")).map(|args| ("build.args", args));
        let places = node.all("environment").map(|environment| ("environment", environment)).chain(of_build);
        for (place, names) in places {
            for name in bare_in(names) {
                found
                    .push(Taken { key: format!("services.{service}.{place}.{name}"), name: name.to_owned() });
            }
        }
    }
    texts(file, "", &mut |key, text| {
        if let Some(name) = substituted(text) {
            found.push(Taken { key: key.to_owned(), name: name.to_owned() });
        }
    });
    found
}

/// The first line (from 1) of a file of assignments that would take a value of the process, and which.
pub(super) fn in_lines(text: &str) -> Option<(usize, &str)> {
    text.lines().enumerate().find_map(|(at, line)| {
        // A name may stand behind a quoted value, too.
        let bare = line.rsplit(['"', '\'']).next().unwrap_or_default().trim().trim_start_matches('\u{feff}');
        let bare = bare.strip_prefix("export").map_or(bare, str::trim_start);
        let name = if is_of_the_process(bare) { Some(bare) } else { substituted(line) };
        name.map(|name| (at + 1, name))
    })
}

/// Names without a value that Compose would fill in; one that is made of variables may turn out to be such a name.
fn bare_in(names: &Node) -> Vec<&str> {
    let is_open = |name: &str| is_of_the_process(name) || name.contains('$');
    match names {
        Node::Sequence(items) => items
            .iter()
            .filter_map(Node::text)
            .filter(|text| match text.split_once('=') {
                Some((name, _)) => name.contains('$'),
                None => is_open(text),
            })
            .collect(),
        Node::Mapping(_) => names
            .members()
            .into_iter()
            .filter(|(name, value)| **value == Node::Null && is_open(name))
            .map(|(name, _)| name)
            .collect(),
        Node::Null | Node::Scalar(_) => Vec::new(),
    }
}

/// A variable of the process in `$NAME` or `${NAME…}`; `$$` is a dollar sign.
fn substituted(text: &str) -> Option<&'static str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
            continue;
        }
        let name = after.strip_prefix('{').unwrap_or(after);
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        if let Some((own, _)) = OWN_VARIABLES.iter().find(|(own, _)| *own == &name[..end]) {
            return Some(own);
        }
        rest = after;
    }
    None
}

/// What the process runs with, and what it would give of itself.
fn is_of_the_process(name: &str) -> bool {
    let name = name.trim().to_ascii_uppercase();
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return false;
    }
    ["PATH", "HOME", "PWD"].contains(&name.as_str())
        || name.starts_with("COMPOSE_")
        || name.starts_with("DOCKER_")
}

fn texts(node: &Node, key: &str, look: &mut impl FnMut(&str, &str)) {
    match node {
        Node::Null => {}
        Node::Scalar(text) => look(key, text),
        Node::Sequence(items) => items.iter().for_each(|item| texts(item, key, look)),
        Node::Mapping(members) => {
            for (name, value) in members {
                let below = match (name.as_str(), key) {
                    // What a merge key brings in stands in the mapping itself.
                    ("<<", _) => key.to_owned(),
                    (_, "") => name.clone(),
                    _ => format!("{key}.{name}"),
                };
                texts(value, &below, look);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    fn taken(text: &str) -> Vec<String> {
        let mut found: Vec<_> =
            in_file(&parse(text.as_bytes()).unwrap()).into_iter().map(|it| it.key).collect();
        found.dedup();
        found
    }

    #[test]
    fn nothing_of_the_process_is_taken_in_any_form() {
        for (text, key) in [
            ("services: {web: {environment: [DOCKER_CONFIG]}}", "services.web.environment.DOCKER_CONFIG"),
            ("services: {web: {environment: {HOME: }}}", "services.web.environment.HOME"),
            (
                "services: {web: {environment: ['${X:-DOCKER}_CONFIG']}}",
                "services.web.environment.${X:-DOCKER}_CONFIG",
            ),
            ("services: {web: {environment: ['${X-A=b}']}}", "services.web.environment.${X-A=b}"),
            ("services: {web: {build: {args: [PATH]}}}", "services.web.build.args.PATH"),
            (
                "a: &a {args: {COMPOSE_MENU: }}\nservices: {web: {build: {<<: *a}}}",
                "services.web.build.args.COMPOSE_MENU",
            ),
            ("services: {web: {image: 'x:${DOCKER_CONFIG}'}}", "services.web.image"),
            ("services: {web: {image: 'x:${A:-$DOCKER_CONFIG}'}}", "services.web.image"),
            ("services: {web: {command: [a, '$$$COMPOSE_EXPERIMENTAL_GIT_REMOTE']}}", "services.web.command"),
            ("x-a: [{b: '${DOCKER_CONFIG:-x}'}]", "x-a.b"),
        ] {
            assert_eq!(taken(text), [key], "{text}");
        }
    }

    #[test]
    fn what_looks_like_it_is_let_through() {
        for text in [
            "services: {web: {environment: [A, 'B=$X', PATH=/bin, 'HOME=']}}",
            "services: {web: {command: 'echo $$DOCKER_CONFIG ${PATH} $DOCKER_CONFIGS ${COMPOSE_PROJECT_NAME}'}}",
            "services: {web: {labels: [DOCKER_CONFIG], build: {args: {A: }}}}",
        ] {
            assert_eq!(taken(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn lines_are_looked_at_too() {
        assert_eq!(in_lines("A=1\nexport DOCKER_CONFIG\n"), Some((2, "DOCKER_CONFIG")));
        assert_eq!(in_lines("A=\"x\ny ${DOCKER_CONFIG}\"\n"), Some((2, "DOCKER_CONFIG")));
        assert_eq!(in_lines("A='x' HOME\n"), Some((1, "HOME")));
        assert_eq!(in_lines("A=1\nDOCKER_CONFIG=x\nB=$$DOCKER_CONFIG\nC\n"), None);
    }
}
