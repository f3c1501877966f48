//! Keeps the house in order: reads `src/` and fails on an import against the table of floors, on a crate outside
//! its home, on an import loop between files, and on a file that is too long. The table is in ARCHITECTURE.md.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module → modules of ours that it may use besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("ports", &["domain"]),
    ("supervisor", &[]),
    ("adapters", &["domain", "ports", "config"]),
    ("store", &["domain", "config"]),
    ("proxy", &["domain", "ports", "config", "supervisor"]),
    ("orchestrator", &["domain", "ports", "store", "supervisor"]),
    ("web", &["domain", "ports", "store", "orchestrator", "supervisor"]),
    (
        "app",
        &["domain", "config", "ports", "supervisor", "adapters", "store", "proxy", "orchestrator", "web"],
    ),
    ("cli", &["domain", "config", "app"]),
];

/// Crate → the only places (path prefixes below `src/`) that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("bollard", &["adapters/docker"]),
    ("serde_yaml", &["adapters/compose"]),
    ("tera", &["adapters/template", "web"]),
    ("git2", &["adapters/git"]),
    ("tar", &["adapters/archive"]),
    ("zstd", &["adapters/archive"]),
    ("landlock", &["adapters/process"]),
    ("sqlx", &["store"]),
    ("tokio_rustls", &["proxy", "app/remote.rs", "adapters/forge", "adapters/tls.rs"]),
    ("ring", &["adapters/forge", "app/remote.rs", "adapters/tls.rs", "proxy"]),
    ("age", &["adapters/vault"]),
    ("rustls_native_certs", &["app/remote.rs", "adapters/forge", "adapters/tls.rs", "proxy"]),
    ("instant_acme", &["proxy/acme"]),
    ("rcgen", &["proxy"]),
    ("axum", &["web"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("figment", &["config"]),
    ("toml", &["config"]),
    ("metrics", &["ports/meters.rs", "app/figures.rs"]),
    ("metrics_exporter_prometheus", &["app/figures.rs"]),
    ("x509_parser", &["proxy"]),
];

/// What the pure floor must not name.
const IMPURE: &[&str] = &["tokio::", "async_trait::", "std::fs::", "std::env::", "SystemTime", "TcpStream"];

const LONGEST_FILE: usize = 400;

#[test]
fn imports_go_down_the_floors() {
    let mut faults = Vec::new();
    for file in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == file.module) else { continue };
        for used in file.imports.iter().filter_map(|path| path.split("::").next()) {
            let known = MAY_USE.iter().any(|(name, _)| *name == used);
            if known && used != file.module && !allowed.contains(&used) {
                faults.push(format!("{}: {} may not use {used}", file.path, file.module));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_stay_at_home() {
    let mut faults = Vec::new();
    for file in sources() {
        for (name, homes) in HOMES {
            let named = file.code.lines().any(|line| names_crate(line, name));
            if named && !homes.iter().any(|home| file.path.starts_with(home)) {
                faults.push(format!("{}: {name} may only be used in {}", file.path, homes.join(", ")));
            }
        }
        for impure in IMPURE.iter().filter(|name| file.module == "domain" && file.code.contains(**name)) {
            faults.push(format!("{}: domain is pure, it may not use {impure}", file.path));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_do_not_import_each_other_in_a_loop() {
    let files = sources();
    let owners: BTreeMap<String, &str> = files.iter().map(|file| (file.name(), file.path.as_str())).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &files {
        for owner in file.imports.iter().filter_map(|import| longest_owner(import, &owners)) {
            // A folder's `mod.rs` declares its files and belongs to them: what they take from it is no loop.
            let own_folder = Path::new(&file.path).parent().map(|folder| folder.join("mod.rs"));
            if owner != file.path && own_folder.as_deref() != Some(Path::new(owner)) {
                edges.entry(&file.path).or_default().insert(owner);
            }
        }
    }
    for start in edges.keys() {
        let mut trail = vec![*start];
        let found = reaches(start, start, &edges, &mut trail, &mut BTreeSet::new());
        assert!(!found, "loop: {}", trail.join(" → "));
    }
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|file| file.lines > LONGEST_FILE)
        .map(|file| format!("{}: {} lines", file.path, file.lines))
        .collect();
    assert!(long.is_empty(), "over {LONGEST_FILE} lines: {}", long.join(", "));
}

#[test]
fn every_failpoint_is_listed_and_every_listed_one_is_there() {
    let files = sources();
    let named = |call: &str| -> Vec<&str> {
        let calls = files.iter().flat_map(|file| file.code.split(call).skip(1));
        calls.filter_map(|rest| rest.split('"').next()).collect()
    };
    let (fixed, in_plans) = (named(" failpoint(\""), named(".failpoint(\""));
    let steps = files.iter().find(|file| file.path == "domain/plan.rs").unwrap();
    let listed = drey::ports::FAILPOINTS;
    for place in &fixed {
        assert_eq!(fixed.iter().filter(|other| *other == place).count(), 1, "{place} has one place");
        assert!(listed.contains(place), "{place} is not listed");
    }
    for what in &in_plans {
        assert!(listed.iter().any(|place| place.split_once('.').unwrap().1 == *what), "{what} is not listed");
    }
    for place in listed {
        let what = place.split_once('.').unwrap().1;
        let is_there = in_plans.contains(&what) || steps.code.contains(&format!("\"{what}\""));
        assert!(is_there || fixed.contains(place), "{place} is nowhere");
        assert_eq!(listed.iter().filter(|other| *other == place).count(), 1, "{place} is listed once");
    }
}

struct Source {
    /// Below `src/`.
    path: String,
    module: String,
    /// Without comments and without what follows `#[cfg(test)]`.
    code: String,
    /// Lines before `#[cfg(test)]`.
    lines: usize,
    /// `crate::…`, `super::…` and `self::…` paths, resolved; re-exports (`pub use`) left out.
    imports: BTreeSet<String>,
}

impl Source {
    /// Module path of the file: `domain::plan`.
    fn name(&self) -> String {
        self.path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    found
        .iter()
        .filter(|path| !path.to_string_lossy().contains("/tests"))
        .map(|path| read(&root, path))
        .collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let body = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let code =
        body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    let module = relative.split(['/', '.']).next().unwrap_or_default().to_owned();
    let lines = body.lines().count();
    let mut source = Source { path: relative, module, code, lines, imports: BTreeSet::new() };
    source.imports = imports(&source);
    source
}

/// Every `use` of ours, groups unfolded, and every path that is written out in the code.
fn imports(source: &Source) -> BTreeSet<String> {
    let flat = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
    let here: Vec<String> = source.name().split("::").map(str::to_owned).collect();
    let mut imports = BTreeSet::new();
    for (position, _) in flat.match_indices("use ") {
        let before = flat[..position].trim_end();
        if before.ends_with("pub") || before.ends_with("pub(crate)") || before.ends_with("pub(super)") {
            continue;
        }
        let statement = flat[position + 4..].split(';').next().unwrap_or_default();
        unfold(statement.trim(), "", &mut |path| imports.extend(resolve(path, &here)));
    }
    for (position, _) in flat.match_indices("crate::") {
        if !flat[..position].trim_end().ends_with("use") {
            let path =
                flat[position + 7..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'));
            imports.insert(path.collect::<String>().trim_end_matches(':').to_owned());
        }
    }
    imports
}

/// `a::{b, c::{d}}` → `a::b`, `a::c::d`.
fn unfold(text: &str, prefix: &str, found: &mut impl FnMut(&str)) {
    let Some(open) = text.find('{') else { return found(&format!("{prefix}{}", text.trim())) };
    let head = format!("{prefix}{}", text[..open].trim());
    let inner = &text[open + 1..];
    let (mut depth, mut start) = (0_u32, 0);
    for (position, c) in inner.char_indices() {
        let ends_part = depth == 0 && matches!(c, ',' | '}');
        if ends_part {
            let part = inner[start..position].trim();
            if !part.is_empty() {
                unfold_dyn(part, &head, found);
            }
            start = position + 1;
            if c == '}' {
                return;
            }
        } else if c == '{' {
            depth += 1;
        } else if c == '}' {
            depth -= 1;
        }
    }
}

fn unfold_dyn(text: &str, prefix: &str, found: &mut dyn FnMut(&str)) {
    unfold(text, prefix, &mut |path: &str| found(path));
}

fn resolve(path: &str, here: &[String]) -> Option<String> {
    if let Some(absolute) = path.strip_prefix("crate::") {
        return Some(absolute.to_owned());
    }
    let (mut base, mut rest) = (here.to_vec(), path);
    while let Some(inner) = rest.strip_prefix("super::") {
        base.pop();
        rest = inner;
    }
    rest = rest.strip_prefix("self::").unwrap_or(rest);
    (rest != path).then(|| format!("{}::{rest}", base.join("::")))
}

fn longest_owner<'a>(import: &str, owners: &BTreeMap<String, &'a str>) -> Option<&'a str> {
    let parts: Vec<&str> = import.split("::").collect();
    (1..=parts.len()).rev().find_map(|length| owners.get(&parts[..length].join("::")).copied())
}

fn reaches<'a>(
    from: &'a str,
    goal: &str,
    edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    trail: &mut Vec<&'a str>,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    for next in edges.get(from).into_iter().flatten() {
        trail.push(next);
        if *next == goal || (seen.insert(next) && reaches(next, goal, edges, trail, seen)) {
            return true;
        }
        trail.pop();
    }
    false
}

fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(position, _)| {
        let before = line[..position].chars().next_back();
        let after = &line[position + name.len()..];
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '"' | '.' | '/'));
        whole
            && (after.starts_with("::") || (line.trim_start().starts_with("use ") && after.starts_with(';')))
    })
}
