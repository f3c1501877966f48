//! Settings of drey's that Compose drops without a word.

use super::tree::Node;
use crate::domain::policy::{Action, Finding, Rule};

/// `x-drey` on a service: Compose resolves it away.
pub(super) fn in_file<'a>(name: &'a str, file: &'a Node) -> impl Iterator<Item = Finding> + 'a {
    let services = file.all("services").flat_map(Node::members);
    services.filter(|(_, service)| service.all("x-drey").next().is_some()).map(move |(service, _)| Finding {
        file: Some(name.to_owned()),
        line: None,
        key: format!("services.{service}.x-drey"),
        rule: Rule::Setting,
        action: Action::Neutralise,
        message: format!(
            "is not read on a service; write it at the top of the file, for instance `x-drey: {{secrets: {{{service}: \
             [NAME]}}}}`"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    #[test]
    fn what_a_service_would_say_is_told_to_be_moved() {
        let text = "services:\n  web:\n    image: a\n    x-drey: {secrets: [A]}\n  db: {image: b}\n";
        let file = tree::parse(text.as_bytes()).unwrap();
        let told: Vec<String> =
            in_file("compose.yaml", &file).map(|it| format!("{}: {}", it.key, it.message)).collect();
        assert_eq!(
            told,
            [
                "services.web.x-drey: is not read on a service; write it at the top of the file, for instance `x-drey: \
              {secrets: {web: [NAME]}}`"
            ]
        );
    }
}
