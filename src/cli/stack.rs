//! How the answer of `drey stack check` is shown to a person.

use super::output::{plain, print, table};
use crate::app::stack_check::Report;
use crate::domain::policy::{Action, Finding};
use crate::domain::route::Scheme;

/// What is shown first, and how it is called.
const ORDER: [(Action, &str); 3] =
    [(Action::Reject, "refused"), (Action::Neutralise, "dropped"), (Action::Set, "set")];

pub(super) fn show(report: &Report) {
    for line in remarks(&report.verdict.findings) {
        print(&plain(&line));
    }
    if !report.routes.is_empty() {
        table(&["service", "address", "port", "scheme"], &routes(report));
        print("");
    }
    print(&summary(report));
}

/// Lines of where and a line of why; what is said of several keys is said once.
fn remarks(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for (action, word) in ORDER {
        let mut groups: Vec<Vec<&Finding>> = Vec::new();
        for finding in findings.iter().filter(|finding| finding.action == action) {
            let same = |group: &&mut Vec<&Finding>| {
                group.iter().all(|it| (it.rule, &it.message) == (finding.rule, &finding.message))
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(finding),
                None => groups.push(vec![finding]),
            }
        }
        for group in groups {
            let begins = std::iter::once(word).chain(std::iter::repeat(""));
            lines.extend(begins.zip(&group).map(|(begin, finding)| format!("{begin:8} {}", place(finding))));
            let message = group.first().map(|finding| finding.message.as_str()).unwrap_or_default();
            lines.extend(message.lines().map(|line| format!("{:8}   {line}", "")));
            lines.push(String::new());
        }
    }
    lines
}

/// `compose.yaml:7: services.web.privileged (PRIV)`: an editor finds the place.
fn place(finding: &Finding) -> String {
    let file = match (&finding.file, finding.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.clone(),
        (None, _) => String::new(),
    };
    let parts = [file.as_str(), finding.key.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{} ({})", parts.join(": "), finding.rule)
}

fn routes(report: &Report) -> Vec<Vec<String>> {
    let address = |label: &str, scheme| match (scheme, label) {
        (Scheme::Tcp, _) => "probed, not routed".to_owned(),
        (_, "") => format!("<slug>.{}", report.domain),
        (_, label) => format!("<slug>--{label}.{}", report.domain),
    };
    let rows = |route: &crate::domain::rewrite::DiscoveredService| {
        let path = if route.path.is_root() { "" } else { route.path.as_str() };
        let row = |label: &String| {
            let address = address(label, route.scheme) + path;
            vec![route.service.clone(), address, route.port.to_string(), route.scheme.word().to_owned()]
        };
        std::iter::once(&route.label).chain(&route.aliases).map(row).collect::<Vec<_>>()
    };
    report.routes.iter().flat_map(rows).collect()
}

fn summary(report: &Report) -> String {
    let counted = |(action, word): (Action, &str)| {
        let count = report.verdict.findings.iter().filter(|finding| finding.action == action).count();
        (count > 0).then(|| format!("{count} {word}"))
    };
    let counts = ORDER.into_iter().filter_map(counted).collect::<Vec<_>>().join(", ");
    let counts = if counts.is_empty() { counts } else { format!(" ({counts})") };
    match (report.verdict.is_accepted(), report.routes.is_empty()) {
        (false, _) => format!("refused{counts}"),
        (true, false) => format!("accepted{counts}"),
        (true, true) => {
            format!("accepted{counts}; which service and port are routed is known once the images are there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Rule;

    #[test]
    fn refusals_come_first_and_the_same_is_said_once() {
        let finding = |key: &str, action, rule, message: &str| Finding {
            file: Some("compose.yaml".to_owned()),
            line: (!key.is_empty()).then_some(key.len()),
            key: key.to_owned(),
            rule,
            action,
            message: message.to_owned(),
        };
        let lines = remarks(&[
            finding("services.a", Action::Set, Rule::Limits, "limits are set"),
            finding("services.b", Action::Set, Rule::Limits, "limits are set"),
            finding("services.b.privileged", Action::Reject, Rule::Privileged, "no; leave it out"),
            finding("", Action::Reject, Rule::Yaml, "one\ntwo"),
        ]);
        insta::assert_snapshot!(lines.join("\n"), @r"
        refused  compose.yaml:21: services.b.privileged (PRIV)
                   no; leave it out

        refused  compose.yaml (YAML)
                   one
                   two

        set      compose.yaml:10: services.a (LIMITS)
                 compose.yaml:10: services.b (LIMITS)
                   limits are set
        ");
    }
}
