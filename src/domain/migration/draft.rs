//! drey's configuration while it is put together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::value::{Setting, Verdict, quoted};
use super::{Judged, Migration, Outcome};

/// Sections in the order of drey's own example.
const ORDER: [&str; 8] =
    ["http", "proxy", "proxy.tls", "proxy.timeouts", "proxy.limits", "proxy.nginx", "engine", "discovery"];

#[derive(Default)]
pub(super) struct Draft {
    /// Section → key → TOML. What came first counts.
    settings: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    options: Vec<Judged>,
}

impl Draft {
    pub(super) fn take(&mut self, option: &str, verdict: Verdict) {
        let (outcome, to, reason) = match verdict {
            Verdict::Mapped(settings) => {
                let to: Vec<String> =
                    settings.iter().map(|it| format!("{}.{}", it.section, it.key)).collect();
                let lines: Vec<String> =
                    settings.iter().map(|it| format!("{}.{} = {}", it.section, it.key, it.value)).collect();
                settings.into_iter().for_each(|setting| self.set(setting));
                (Outcome::Mapped, to, lines.join(", "))
            }
            Verdict::Ignored(why) => (Outcome::Ignored, Vec::new(), why.to_owned()),
            Verdict::Replaced(why) => (Outcome::Replaced, Vec::new(), why.to_owned()),
        };
        self.options.push(Judged { option: option.to_owned(), outcome, to, reason });
    }

    fn set(&mut self, Setting { section, key, value }: Setting) {
        self.settings.entry(section).or_default().entry(key).or_insert(value);
    }

    pub(super) fn finish(mut self) -> Migration {
        let proxy = self.settings.entry("proxy").or_default();
        let is_reachable = proxy.contains_key("http") || proxy.contains_key("https");
        if !is_reachable {
            proxy.insert("http", quoted("0.0.0.0:80"));
        }
        proxy.entry("provider").or_insert_with(|| quoted("embedded"));
        self.settings.entry("discovery").or_default().insert("enabled", "true".to_owned());
        Migration { toml: self.toml(), options: self.options }
    }

    fn toml(&self) -> String {
        let mut toml = String::from(
            "# Made from a configuration of Interlock. What became of each of its options is in the report.\n\
             data_dir = \"/var/lib/drey\"\n",
        );
        for section in ORDER {
            let Some(settings) = self.settings.get(section) else { continue };
            let mut lines = format!("\n[{section}]\n");
            if section == "proxy" {
                lines.push_str("domain = \"local\"   # the domain below which branches live; Interlock took it from labels\n");
            }
            if section == "discovery" {
                lines.push_str("# Containers with labels of Interlock that drey did not start are routed, as Interlock did.\n");
            }
            for (key, value) in settings {
                // Writing into memory does not fail.
                writeln!(lines, "{key} = {value}").unwrap_or_default();
            }
            toml.push_str(&lines);
        }
        toml.push_str("\n# A table for each repository whose branches get environments:\n# [[repo]]\n# name = \"shop\"\n");
        toml.push_str("# url = \"/srv/git/shop.git\"\n");
        toml
    }
}
