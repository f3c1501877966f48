//! Our own attacks and honest wishes, a line each, in `variations.txt`.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::checked::{Checked, check, each, write};

const ROWS: &str = include_str!("variations.txt");

/// One line: `<verdict> <RULE> | <where> | <text> [## <file>: <content>]…`.
struct Row {
    number: usize,
    verdict: String,
    rule: String,
    document: String,
    files: BTreeMap<String, String>,
}

impl Row {
    fn read(number: usize, line: &str) -> Self {
        let mut parts = line.splitn(3, '|').map(str::trim);
        let mut words = parts.next().unwrap().split_whitespace().map(str::to_owned);
        let (verdict, rule) = (words.next().unwrap(), words.next().unwrap_or_default());
        let place = parts.next().unwrap_or_else(|| panic!("line {number}: no place"));
        let mut texts = parts.next().unwrap().split(" ## ");
        let text = unescaped(texts.next().unwrap());
        let files = texts.map(|file| file.split_once(": ").unwrap());
        let files = files.map(|(name, content)| (name.to_owned(), unescaped(content))).collect();
        Self { number, verdict, rule, document: document(place, &text), files }
    }

    fn lay_out(&self, checkout: &Path) {
        for folder in ["data/deep", ".git/hooks", "ops"] {
            std::fs::create_dir_all(checkout.join(folder)).unwrap();
        }
        for (name, content) in [
            ("conf", "x\n"),
            ("data/f", "x\n"),
            ("Dockerfile", "FROM drey-demo/tiny:1\n"),
            ("some.env", "A=1\n"),
            ("evil.yaml", "services: {web: {image: x, privileged: true}, base: {image: x, pid: host}}\n"),
            ("far.yaml", "include: [\"https://example.org/x.git\"]\nservices: {far: {image: x}}\n"),
            ("up.yaml", "services: {web: {image: x, env_file: ../secret}}\n"),
            ("../secret", "S=1\n"),
        ] {
            write(checkout, name, content);
        }
        for (name, target) in [
            ("out", "/etc"),
            ("outfile", "/etc/passwd"),
            ("up", ".."),
            ("git", ".git"),
            ("loop", "loop"),
            ("data/away", "../../secret"),
            ("in", "data"),
        ] {
            symlink(target, checkout.join(name)).unwrap();
        }
        write(checkout, "compose.yaml", &self.document);
        for (name, content) in &self.files {
            write(checkout, name, content);
        }
    }

    fn holds(&self, found: &Checked) -> bool {
        let rule = &self.rule;
        let has =
            |action: &str| found.findings().iter().any(|it| it.starts_with(&format!("{action} {rule} ")));
        match self.verdict.as_str() {
            "refused" => found.is_refused() && (rule.is_empty() || has("reject")),
            "dropped" => found.is_accepted() && has("neutralise"),
            "set" => found.is_accepted() && has("set"),
            "fine" => found.is_accepted() && found.findings().iter().all(|it| it.starts_with("set LIMITS ")),
            other => panic!("line {}: no verdict is called {other}", self.number),
        }
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// The compose file around a text: of the service `web`, of its build, of the network, config or secret `n`, of the
/// volume `kept`, or of the file as a whole.
fn document(place: &str, text: &str) -> String {
    let with = |service: &str, top: &str| format!("services: {{web: {{{service}}}}}\n{top}\n");
    match place {
        "web" => with(&format!("image: 'x:1', {text}"), "volumes: {v: }"),
        "bare" => with(text, ""),
        "build" => with(&format!("build: {{context: ., {text}}}"), ""),
        "network" => with("image: 'x:1', networks: [n]", &format!("networks: {{n: {{{text}}}}}")),
        "volume" => with("image: 'x:1', volumes: ['kept:/n']", &format!("volumes: {{kept: {{{text}}}}}")),
        "config" => with("image: 'x:1', configs: [n]", &format!("configs: {{n: {{{text}}}}}")),
        "secret" => with("image: 'x:1', secrets: [n]", &format!("secrets: {{n: {{{text}}}}}")),
        "top" => with("image: 'x:1'", text),
        "file" => text.to_owned(),
        other => panic!("no place is called {other}"),
    }
}

#[test]
fn every_variation_is_decided_as_it_should_be() {
    let lines = ROWS.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let rows: Vec<Row> = lines.map(|(at, line)| Row::read(at + 1, line)).collect();
    assert!(rows.len() >= 150, "{} rows", rows.len());
    let faults = each(&rows, |row| {
        let parent = tempfile::tempdir().unwrap();
        let checkout = parent.path().join("checkout");
        row.lay_out(&checkout);
        let found = check(&checkout);
        if row.holds(&found) && found.tells_all() {
            return Ok(());
        }
        Err(format!("line {}, {} {}: {}\n{:#}", row.number, row.verdict, row.rule, row.document, found.said))
    });
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
}
