//! The raw scan: compose files are looked at before any tool sees them.
//!
//! Rendering a compose file reads other files and follows includes; so everything it would read must be a plain
//! file of the checkout, and nothing in it may be a bomb. What the stack may do is judged later, on the rendered
//! document: this here decides only what may be read.

mod assignments;
mod dotenv;
mod dropped;
mod inputs;
mod lines;
mod paths;
mod process;
mod references;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::facts::{Resolved, resolve};
use crate::domain::policy::{Action, Finding, PathFact, Rule, Sources};
use inputs::Inputs;
use paths::{Folders, by_text, shown};
use references::{Kind, Reference};
use tree::{FILE_LIMIT, Node};

/// The names that Compose looks for, in its order; the first that is there counts.
const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The same for the file that is put over it.
const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
/// Files that are read line by line: `.env`, `env_file`, `label_file`.
const SMALL_FILE_LIMIT: u64 = 64 << 10;
/// How deep keys are remembered: `services.web.deploy.resources`.
const KEY_DEPTH: usize = 4;
/// How often files may include and extend each other.
const FILE_COUNT_LIMIT: usize = 100;

const HANDS_OVER: &str = "it hands over the host's agent or keys; leave it out";
const PRIVILEGED: &str = "a privileged hook has every power over the host; leave it out";

/// What a clean scan yields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Every compose file that was looked at, relative to the checkout; the ones asked for come first.
    pub files: Vec<PathBuf>,
    /// The checkout's `.env`, filtered; empty when there is none.
    pub environment: String,
    /// Names of the services that the files declare.
    pub services: Vec<String>,
    /// SHA-256 of everything that Compose will read.
    pub inputs: [u8; 32],
    /// One of the files names `DREY_COMMIT`.
    pub names_commit: bool,
    /// What was noticed and is dropped.
    pub findings: Vec<Finding>,
    /// Which of the files says which key.
    pub sources: Sources,
}

/// The compose files of a checkout as Compose itself finds them: one file, and its override if there is one.
pub fn find_files(checkout: &Path) -> Vec<PathBuf> {
    let first = |names: &[&str]| {
        names.iter().map(PathBuf::from).find(|name| fs::symlink_metadata(checkout.join(name)).is_ok())
    };
    match first(&FILE_NAMES) {
        Some(file) => std::iter::once(file).chain(first(&OVERRIDE_NAMES)).collect(),
        None => Vec::new(),
    }
}

/// Scans these files (relative to the checkout) and everything that they would make Compose read.
pub fn scan(checkout: &Path, files: &[PathBuf]) -> Result<Scanned, Vec<Finding>> {
    let folder = files.first().and_then(|file| file.parent()).unwrap_or(Path::new("")).to_path_buf();
    let mut scanner = Scanner::new(checkout);
    for file in files {
        scanner.compose_file(&Origin::default(), file, &folder);
    }
    scanner.dotenv(&folder);
    scanner.find_lines();
    if scanner.refused {
        return Err(scanner.findings);
    }
    let services = scanner.services.into_iter().collect();
    let (inputs, names_commit) = scanner.inputs.finish();
    Ok(Scanned {
        files: scanner.files,
        environment: scanner.environment,
        services,
        inputs,
        names_commit,
        findings: scanner.findings,
        sources: scanner.sources,
    })
}

struct Scanner<'a> {
    checkout: &'a Path,
    files: Vec<PathBuf>,
    /// Extended files and the folder they count from: each is looked at once.
    extended: BTreeSet<(PathBuf, PathBuf)>,
    reads: usize,
    /// The files that are being looked at, each named by the one before it.
    open: Vec<PathBuf>,
    environment: String,
    services: BTreeSet<String>,
    inputs: Inputs,
    findings: Vec<Finding>,
    sources: Sources,
    refused: bool,
}

/// Where a path was written.
#[derive(Clone, Debug, Default)]
struct Origin {
    file: Option<String>,
    key: String,
}

impl<'a> Scanner<'a> {
    fn new(checkout: &'a Path) -> Self {
        Self {
            checkout,
            files: Vec::new(),
            extended: BTreeSet::new(),
            reads: 0,
            open: Vec::new(),
            environment: String::new(),
            services: BTreeSet::new(),
            inputs: Inputs::default(),
            findings: Vec::new(),
            sources: Sources::default(),
            refused: false,
        }
    }

    /// Reads one compose file and follows what it names. Paths in it count from `folder`.
    fn compose_file(&mut self, origin: &Origin, file: &Path, folder: &Path) {
        self.reads += 1;
        if self.reads > FILE_COUNT_LIMIT {
            if self.reads == FILE_COUNT_LIMIT + 1 {
                self.refuse(
                    origin,
                    Rule::Yaml,
                    format!("more than {FILE_COUNT_LIMIT} files include or extend each other; use fewer"),
                );
            }
            return;
        }
        let name = file.display().to_string();
        let resolved = resolve(self.checkout, file);
        let at = Origin { file: origin.file.clone().or(Some(name.clone())), key: origin.key.clone() };
        let Some(node) = self.parsed(&at, &name, &resolved) else { return };
        let relative = self.relative(&resolved.path);
        let own_folder = relative.parent().unwrap_or(Path::new("")).to_path_buf();
        if !self.files.contains(&relative) {
            self.files.push(relative);
        }
        self.services.extend(node.all("services").flat_map(Node::members).map(|(name, _)| name.to_owned()));
        self.sources.begin_file(&name);
        keys_of(&mut self.sources, &node, "", KEY_DEPTH);
        self.notes(&name, &node, origin.file.is_none());
        let folders = Folders { declared: folder.to_path_buf(), own: own_folder };
        self.open.push(resolved.path);
        for reference in references::of(&node) {
            self.reference(&name, &reference, &folders);
        }
        self.open.pop();
    }

    fn parsed(&mut self, origin: &Origin, name: &str, resolved: &Resolved) -> Option<Node> {
        self.inputs.add(name, resolved);
        if let Some(reason) = unreadable(resolved, FILE_LIMIT) {
            self.refuse(origin, Rule::FileReference, format!("the compose file `{name}` {reason}"));
            return None;
        }
        let bytes = fs::read(&resolved.path).map_err(|error| error.to_string());
        let node = bytes.as_ref().map_err(Clone::clone).and_then(|bytes| tree::parse(bytes));
        match node {
            Ok(node) => {
                let text = bytes.unwrap_or_default();
                self.sources.add_lines(name, lines::of(&String::from_utf8_lossy(&text)));
                Some(node)
            }
            Err(reason) => {
                let whole = Origin { file: Some(name.to_owned()), key: String::new() };
                let line = lines::named_in(&reason);
                self.refuse(&whole, Rule::Yaml, format!("the compose file `{name}` {reason}"));
                if let Some(finding) = self.findings.last_mut() {
                    finding.line = line;
                }
                None
            }
        }
    }

    /// Remarks and refusals that need only the file itself.
    fn notes(&mut self, name: &str, node: &Node, is_own: bool) {
        if !is_own && node.all("x-drey").next().is_some() {
            self.findings.push(Finding {
                file: Some(name.to_owned()),
                line: None,
                key: "x-drey".to_owned(),
                rule: Rule::Setting,
                action: Action::Neutralise,
                message: "is read from the compose file itself, not from one that it includes or extends; move it there"
                    .to_owned(),
            });
        }
        self.findings.extend(dropped::in_file(name, node));
        if node.all("name").next().is_some() {
            self.findings.push(Finding {
                file: Some(name.to_owned()),
                line: None,
                key: "name".to_owned(),
                rule: Rule::Name,
                action: Action::Neutralise,
                message: "drey names the project after the branch; leave it out".to_owned(),
            });
        }
        // Compose says what it thinks of these in words of its own, or does not know them yet.
        let keys = references::keys_for_builds(node).into_iter().map(|key| (key, Rule::Build, HANDS_OVER));
        let hooks = references::privileged_hooks(node).into_iter().map(|key| (key, Rule::Hook, PRIVILEGED));
        for (key, rule, message) in keys.chain(hooks) {
            self.refuse(&Origin { file: Some(name.to_owned()), key }, rule, message.to_owned());
        }
        for process::Taken { key, name: variable } in process::in_file(node) {
            let origin = Origin { file: Some(name.to_owned()), key };
            let message = format!(
                "`{}` would be taken from the process that reads the file; write the value, or `$$` where the container's \
                 own variable is meant",
                shown(&variable)
            );
            self.refuse(&origin, Rule::HostEnvironment, message);
        }
    }

    fn reference(&mut self, name: &str, reference: &Reference, folders: &Folders) {
        let origin = Origin { file: Some(name.to_owned()), key: reference.key.clone() };
        if let Some((rule, reason)) = refused_form(reference) {
            return self.refuse(&origin, rule, format!("`{}` {reason}", shown(&reference.path)));
        }
        if reference.path.contains('$') {
            // Known only after rendering: then it is judged on the rendered document.
            return;
        }
        // Compose's rule depends on how the file was reached; a path must hold from each place it may count from.
        let found: Vec<(PathBuf, Resolved)> = folders
            .both()
            .into_iter()
            .flat_map(|folder| self.readings(&folder.join(&reference.path)))
            .collect();
        let faults: Vec<&str> =
            found.iter().filter_map(|(_, resolved)| reference.kind.fault(resolved)).collect();
        if let Some(reason) = faults.first() {
            let message =
                format!("`{}` {reason}; name a file or folder of the repository", shown(&reference.path));
            return self.refuse(&origin, Rule::FileReference, message);
        }
        if reference.kind.is_read_by_compose() {
            for (path, resolved) in &found {
                self.inputs.add(&path.display().to_string(), resolved);
                if reference.kind == Kind::Lines {
                    self.lines(&origin, &path.display().to_string(), resolved);
                }
            }
        }
        if reference.kind.is_compose_file() {
            self.compose_files(&origin, reference, &found, folders);
        }
    }

    /// Goes on with what an include or an extension has found.
    fn compose_files(
        &mut self,
        origin: &Origin,
        reference: &Reference,
        found: &[(PathBuf, Resolved)],
        folders: &Folders,
    ) {
        if found.iter().all(|(_, resolved)| resolved.fact == PathFact::Missing) {
            let message = format!("`{}` is not in the repository", shown(&reference.path));
            return self.refuse(origin, Rule::FileReference, message);
        }
        for (path, resolved) in found.iter().filter(|(_, resolved)| resolved.fact == PathFact::File) {
            if matches!(reference.kind, Kind::Include { .. }) && self.open.contains(&resolved.path) {
                let message = format!(
                    "`{}` includes itself, by way of `{}`; take one of the two out",
                    path.display(),
                    origin.file.as_deref().unwrap_or_default()
                );
                return self.refuse(origin, Rule::Yaml, message);
            }
            self.follow(origin, reference, path, folders);
        }
    }

    /// The path as its text says and as its links lead; by its text alone where that is the same.
    fn readings(&self, path: &Path) -> Vec<(PathBuf, Resolved)> {
        let text = by_text(path);
        let (by_links, by_text) = (resolve(self.checkout, path), resolve(self.checkout, &text));
        if by_links == by_text {
            vec![(text, by_text)]
        } else {
            vec![(path.to_owned(), by_links), (text, by_text)]
        }
    }

    /// Goes into an included or extended file.
    fn follow(&mut self, origin: &Origin, reference: &Reference, path: &Path, folders: &Folders) {
        let own = path.parent().unwrap_or(Path::new("")).to_path_buf();
        match &reference.kind {
            Kind::Include { project: Some(project) } => {
                for folder in folders.both() {
                    self.compose_file(origin, path, &folder.join(project));
                }
            }
            Kind::Include { project: None } => {
                let dotenv =
                    Reference { key: reference.key.clone(), path: ".env".to_owned(), kind: Kind::Lines };
                let name = origin.file.clone().unwrap_or_default();
                self.reference(&name, &dotenv, &Folders { declared: own.clone(), own: own.clone() });
                self.compose_file(origin, path, &own);
            }
            Kind::Extends => {
                if self.extended.insert((path.to_path_buf(), own.clone())) {
                    self.compose_file(origin, path, &own);
                }
            }
            Kind::Lines | Kind::ProjectFolder | Kind::Mounted | Kind::Folder | Kind::Dockerfile => {}
        }
    }

    fn relative(&self, real: &Path) -> PathBuf {
        let root = fs::canonicalize(self.checkout).unwrap_or_else(|_| self.checkout.to_path_buf());
        real.strip_prefix(&root).map_or_else(|_| real.to_path_buf(), Path::to_path_buf)
    }

    fn refuse(&mut self, origin: &Origin, rule: Rule, message: String) {
        self.refused = true;
        self.findings.push(Finding {
            file: origin.file.clone(),
            line: None,
            key: origin.key.clone(),
            rule,
            action: Action::Reject,
            message,
        });
    }
}

/// Remembers the keys of mappings, and those of what merge keys bring in.
fn keys_of(sources: &mut Sources, node: &Node, above: &str, depth: usize) {
    let Some(below) = depth.checked_sub(1) else { return };
    for (name, value) in node.members() {
        let key = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        if sources.add(&key) {
            keys_of(sources, value, &key, below);
        }
    }
}

/// Forms that are refused before anything is looked up.
fn refused_form(reference: &Reference) -> Option<(Rule, &'static str)> {
    let path = reference.path.as_str();
    if references::is_remote(path) {
        return Some((
            Rule::Remote,
            "is not a file of the repository; put what it names into the repository",
        ));
    }
    if path.starts_with('~') {
        return Some((Rule::FileReference, "is in a home folder; name a file of the repository"));
    }
    if reference.kind.is_read_by_compose() && path.contains('$') {
        let reason = "has a variable in the path of a file that is read early; write the path out";
        return Some((Rule::FileReference, reason));
    }
    None
}

/// Why a file that will be read may not be.
fn unreadable(resolved: &Resolved, limit: u64) -> Option<&'static str> {
    match resolved.fact {
        PathFact::File if resolved.size <= limit => None,
        PathFact::File => Some("is too large"),
        PathFact::Missing => Some("is not in the repository"),
        PathFact::Outside => Some("leads out of the repository"),
        PathFact::Git => Some("leads into the git data"),
        PathFact::Directory | PathFact::Root | PathFact::Special => Some("is not a regular file"),
    }
}
