//! The table: a row for every key of the Compose schema. What is not here is refused.

mod build;
mod deploy;
mod mounts;
mod resources;
mod runtime;
mod service;

use super::rule::Rule;

pub(super) use resources::DOCUMENT;

/// What policy does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Allow,
    /// A value rule decides.
    Check(Check),
    /// Dropped; what is deployed has drey's own value, or none.
    Neutralise,
    /// Refused, unless it is empty or false.
    Reject,
}

/// The value rules; each is a function of `checks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    AdditionalContexts,
    BuildContext,
    BuildNetwork,
    BuildSecrets,
    CacheFrom,
    Capabilities,
    Cgroup,
    DeployMode,
    Devices,
    Dns,
    DnsOptions,
    Dockerfile,
    Environment,
    ExtraHosts,
    FilesToRead,
    Gpus,
    HealthInterval,
    Image,
    Ipc,
    KeptName,
    Labels,
    Links,
    Mount,
    MustBeEmpty,
    NetworkDriver,
    NetworkDriverOptions,
    NetworkMode,
    OomScore,
    Pid,
    PortCount,
    PortMode,
    ProjectName,
    Replicas,
    ResourceFile,
    Sbom,
    SecurityOptions,
    ServiceImage,
    ServiceLabels,
    ServiceLimits,
    ServiceNetworks,
    ServiceResources,
    ShmSize,
    StopGrace,
    Sysctls,
    Tmpfs,
    Ulimits,
    VolumeDriver,
    VolumeDriverOptions,
    VolumesFrom,
}

/// What may stand below a key; anything else is refused as well.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A scalar or a list of scalars.
    Plain,
    /// Names chosen by the author, with scalars: `environment`, `labels`; also as a list of texts.
    Free,
    /// An object with the keys of a section.
    Section(&'static Section),
    /// Names chosen by the author, each with an object of a section, a scalar or nothing.
    Map(&'static Section),
    /// A list of objects of a section, or of scalars.
    List(&'static Section),
}

/// One kind of object of the schema.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) rows: &'static [&'static [Row]],
    /// A rule over the object as a whole.
    pub(super) whole: Option<Row>,
    /// A scalar may stand for the object (`env_file: [a.env]`).
    pub(super) bare: bool,
}

impl Section {
    pub(super) fn find(&self, key: &str) -> Option<&'static Row> {
        self.rows.iter().copied().flatten().find(|row| row.key == key)
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) key: &'static str,
    pub(super) class: Class,
    pub(super) rule: Rule,
    pub(super) shape: Shape,
    /// Why it is not simply allowed.
    pub(super) why: &'static str,
    /// What to write instead.
    pub(super) instead: &'static str,
}

impl Row {
    const fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }
}

const fn allow(key: &'static str) -> Row {
    Row { key, class: Class::Allow, rule: Rule::Yaml, shape: Shape::Plain, why: "", instead: "" }
}

const fn check(key: &'static str, rule: Rule, check: Check, instead: &'static str) -> Row {
    Row { key, class: Class::Check(check), rule, shape: Shape::Plain, why: "", instead }
}

const fn dropped(key: &'static str, rule: Rule, why: &'static str, instead: &'static str) -> Row {
    Row { key, class: Class::Neutralise, rule, shape: Shape::Plain, why, instead }
}

const fn refused(key: &'static str, rule: Rule, why: &'static str, instead: &'static str) -> Row {
    Row { key, class: Class::Reject, rule, shape: Shape::Plain, why, instead }
}

const LEAVE_OUT: &str = "leave it out";
const INSIDE: &str = "name a file or folder of the repository";
const ENVIRONMENT_HELP: &str = "write a value (`NAME: value`), or `NAME: ${NAME:-}` with a variable of .env or of the repository's configuration";
const LABEL_HELP: &str = "leave it out; of drey's labels a service may have drey.port, drey.host, drey.scheme, drey.primary, drey.ready.path, drey.ready.within, drey.upstream.*, drey.lb, drey.sticky, drey.timeout, drey.alias.N, drey.path, drey.strip-path, drey.network and drey.metrics.*";

#[cfg(test)]
mod tests {
    use super::*;

    fn sections() -> Vec<&'static Section> {
        let mut found: Vec<&'static Section> = vec![&DOCUMENT];
        let mut next = 0;
        while let Some(section) = found.get(next).copied() {
            next += 1;
            for row in section.rows.iter().copied().flatten() {
                if let Shape::Section(inner) | Shape::Map(inner) | Shape::List(inner) = row.shape
                    && !found.iter().any(|known| std::ptr::eq(*known, inner))
                {
                    found.push(inner);
                }
            }
        }
        found
    }

    #[test]
    fn no_key_has_two_rows_and_every_refusal_tells_why() {
        for section in sections() {
            let mut seen = std::collections::BTreeSet::new();
            for row in section.rows.iter().copied().flatten() {
                assert!(seen.insert(row.key), "two rows for {}", row.key);
                match row.class {
                    Class::Allow => {}
                    Class::Check(_) => assert!(!row.instead.is_empty(), "{}", row.key),
                    Class::Neutralise | Class::Reject => {
                        assert!(!row.why.is_empty() && !row.instead.is_empty(), "{}", row.key);
                    }
                }
            }
        }
    }

    /// Whether a key of the schema has a row, or stands below one that is refused or free of form.
    fn has_row(path: &str) -> bool {
        let mut section = &DOCUMENT;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let Some(row) = section.find(part.trim_end_matches("[]")) else { return false };
            if parts.peek() == Some(&"*") {
                parts.next();
            }
            match (row.class, row.shape) {
                (Class::Reject, _) | (_, Shape::Free) => return true,
                (_, Shape::Section(inner) | Shape::Map(inner) | Shape::List(inner)) => section = inner,
                (_, Shape::Plain) => return parts.peek().is_none(),
            }
        }
        true
    }

    #[test]
    fn every_key_of_the_schema_has_a_row() {
        let keys: Vec<&str> =
            include_str!("schema_keys.txt").lines().filter(|line| !line.starts_with('#')).collect();
        let missing: Vec<&&str> = keys.iter().filter(|key| !has_row(key)).collect();
        assert!(keys.len() > 340 && missing.is_empty(), "of {}: {missing:?}", keys.len());
        assert!(!has_row("services.*.unheard_of") && !has_row("services.*.deploy.resources.limits.other"));
    }
}
