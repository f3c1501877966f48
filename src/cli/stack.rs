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

/// A line of where and a line of why; what is said of several keys is said once.
fn remarks(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for (action, word) in ORDER {
        let mut groups: Vec<(&Finding, Vec<&str>)> = Vec::new();
        for finding in findings.iter().filter(|finding| finding.action == action) {
            let same = |it: &&mut (&Finding, Vec<&str>)| {
                (&it.0.file, it.0.rule, &it.0.message) == (&finding.file, finding.rule, &finding.message)
            };
            match groups.iter_mut().find(same) {
                Some((_, keys)) => keys.push(&finding.key),
                None => groups.push((finding, vec![&finding.key])),
            }
        }
        for (finding, keys) in groups {
            let file = finding.file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
            let place = format!("{file}{}", keys.join(", "));
            let place = place.trim_end_matches(": ");
            lines.push(format!("{word:8} {place} ({})", finding.rule));
            lines.extend(finding.message.lines().map(|line| format!("{:8} {line}", "")));
            lines.push(String::new());
        }
    }
    lines
}

fn routes(report: &Report) -> Vec<Vec<String>> {
    let address = |label: &str, scheme| match (scheme, label) {
        (Scheme::Tcp, _) => "probed, not routed".to_owned(),
        (_, "") => format!("<slug>.{}", report.domain),
        (_, label) => format!("<slug>--{label}.{}", report.domain),
    };
    let row = |route: &crate::domain::rewrite::DiscoveredService| {
        let port = route.port.to_string();
        vec![route.service.clone(), address(&route.label, route.scheme), port, route.scheme.word().to_owned()]
    };
    report.routes.iter().map(row).collect()
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
        refused  compose.yaml: services.b.privileged (PRIV)
                 no; leave it out

        refused  compose.yaml (YAML)
                 one
                 two

        set      compose.yaml: services.a, services.b (LIMITS)
                 limits are set
        ");
    }
}
