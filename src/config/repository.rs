//! `[[repo]]` and `[defaults]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use figment::value::Value;

use super::forge::ForgeAccount;
use super::reader::{Section, at_least_one};
use super::secret::Secret;
use super::tls::RepositoryTls;
use super::visitors::Visitors;
use crate::domain::branches::BranchGlobs;
use crate::domain::forge::Forge;
use crate::domain::names::{BranchName, RepoName};
use crate::domain::pull_request::{DeployMode, PullRules, Subject};
use crate::domain::rest::SleepMode;
use crate::domain::sift::PathFilter;
use crate::domain::verdict::Superseded;

/// Each time costs a process here and a connection there.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// `[defaults]`: for every repository; a `[[repo]]` may set its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    pub sleep: SleepMode,
    /// From the last visit or deployment to sleep; zero: never.
    pub sleep_after: Duration,
    /// From the last visit or push to the archive; zero: never.
    pub expire_after: Duration,
    pub merge_grace: Duration,
    /// How often the remote is asked for its branches; zero: never.
    pub poll_every: Duration,
    pub superseded: Superseded,
    pub keep: BranchGlobs,
    /// Who may look at its branches.
    pub visitors: Visitors,
}

impl Defaults {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let read = Self::read_keys(section, None);
        section.finish();
        read
    }

    fn read_keys(section: &mut Section<'_>, parent: Option<&Self>) -> Self {
        section.read("policy", |value| match value.as_str() {
            Some("strict") => Ok(()),
            Some(_) | None => Err("must be \"strict\"; single permissions are given by `allow`".to_owned()),
        });
        let superseded = section.read("superseded", |value| match value.as_str() {
            Some("replace") => Ok(Superseded::Replace),
            Some("queue") => Ok(Superseded::Queue),
            Some(_) | None => Err("must be \"replace\" or \"queue\"".to_owned()),
        });
        let keep = globs(section, "keep");
        let sleep = section.read("sleep", |value| SleepMode::parse(value.as_str()));
        Self {
            sleep: sleep.or_else(|| parent.map(|parent| parent.sleep)).unwrap_or_default(),
            sleep_after: section
                .duration("sleep_after")
                .or_else(|| parent.map(|parent| parent.sleep_after))
                .unwrap_or(Duration::from_secs(30 * 60)),
            expire_after: section
                .duration("expire_after")
                .or_else(|| parent.map(|parent| parent.expire_after))
                .unwrap_or(Duration::from_secs(14 * 24 * 60 * 60)),
            merge_grace: section
                .duration("merge_grace")
                .or_else(|| parent.map(|parent| parent.merge_grace))
                .unwrap_or(Duration::from_secs(600)),
            poll_every: poll_every(section)
                .or_else(|| parent.map(|parent| parent.poll_every))
                .unwrap_or(Duration::from_secs(60)),
            superseded: superseded.or_else(|| parent.map(|parent| parent.superseded)).unwrap_or_default(),
            keep: keep
                .or_else(|| parent.map(|parent| parent.keep.clone()))
                .unwrap_or_else(|| fixed(&["develop", "release/**"])),
            visitors: Visitors::read(section, parent.map(|parent| &parent.visitors)),
        }
    }
}

/// A repository that drey serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    pub name: RepoName,
    /// Path, `https://`, `ssh://` or `user@host:path`.
    pub url: String,
    pub main: BranchName,
    pub branches: BranchGlobs,
    pub ignore: BranchGlobs,
    /// Empty: as Compose finds them.
    pub compose: Vec<PathBuf>,
    /// Starter stack, for repositories without a compose file.
    pub stack: Option<String>,
    pub secret: Option<Secret>,
    pub profiles: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Single permissions that the policy would refuse.
    pub allow: Vec<String>,
    /// A builder that the operator made for it (`docker buildx create`); none: the engine's own.
    pub builder: Option<String>,
    /// Most environments of it that are awake at once.
    pub environments: Option<u64>,
    /// Which pull requests make environments.
    pub pulls: PullRules,
    /// A push that changes nothing of this is passed over.
    pub paths: PathFilter,
    pub subject: Subject,
    /// Where its pull requests are, and what drey may tell there.
    pub forge: Option<ForgeAccount>,
    /// What its hosts ask of their visitors' TLS.
    pub tls: RepositoryTls,
    pub defaults: Defaults,
}

/// A name as `docker buildx create --name` takes it.
fn builder(value: &Value) -> Result<String, String> {
    let name = value.as_str().unwrap_or_default();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    is_name
        .then(|| name.to_owned())
        .ok_or_else(|| "must be the name of a builder, as `docker buildx ls` shows it".to_owned())
}

impl Repository {
    pub(super) fn read(section: &mut Section<'_>, defaults: &Defaults) -> Self {
        let name = section.read("name", |value| {
            RepoName::parse(value.as_str().unwrap_or_default()).map_err(|error| error.to_string())
        });
        let url = section.read("url", |value| url(value.as_str().unwrap_or_default()));
        section.needed("name", name.is_some(), "is needed");
        section.needed("url", url.is_some(), "is needed");
        let main = section.read("main", |value| {
            BranchName::parse(value.as_str().unwrap_or_default()).map_err(|error| error.to_string())
        });
        let compose = section.texts("compose").unwrap_or_default();
        if compose.iter().any(|file| file.starts_with('/') || file.split('/').any(|part| part == "..")) {
            section.fault("compose", "must be paths inside the repository");
        }
        let stack = section.text("stack");
        if stack.is_some() && !compose.is_empty() {
            section
                .fault("stack", "goes without `compose`: a starter stack takes the place of a compose file");
        }
        let env = section.map("env").unwrap_or_default();
        if let Some(reserved) =
            env.keys().find(|name| name.starts_with("DREY_") || name.starts_with("COMPOSE_"))
        {
            section.fault(
                "env",
                format!("{reserved}: DREY_* is drey's own and COMPOSE_* never reaches Compose"),
            );
        }
        let read = Self {
            name: name.unwrap_or_else(|| fallback(RepoName::parse("unnamed"))),
            url: url.unwrap_or_default(),
            main: main.unwrap_or_else(|| fallback(BranchName::parse("main"))),
            branches: globs(section, "branches").unwrap_or_else(|| fixed(&["**"])),
            ignore: globs(section, "ignore").unwrap_or_else(|| fixed(&[])),
            compose: compose.into_iter().map(PathBuf::from).collect(),
            stack,
            secret: section.secret(["secret", "secret_file", "secret_env"]),
            profiles: section.texts("profiles").unwrap_or_default(),
            env,
            allow: section.texts("allow").unwrap_or_default(),
            builder: section.read("builder", builder),
            environments: section.read("environments", at_least_one),
            pulls: pulls(section),
            paths: paths(section),
            subject: section.read("subject", subject).unwrap_or_default(),
            forge: ForgeAccount::read(section),
            tls: RepositoryTls::read(&mut section.section("tls")),
            defaults: Defaults::read_keys(section, Some(defaults)),
        };
        read.check_pulls(section);
        section.finish();
        read
    }

    /// What would do nothing, and nobody would know why.
    fn check_pulls(&self, section: &Section<'_>) {
        let PullRules { deploy, label, drafts } = &self.pulls;
        let default = PullRules::default();
        if *deploy == DeployMode::Branches && !*drafts {
            section.fault("drafts", "is for `deploy = \"pull-requests\"` or \"labelled\"");
        }
        if *deploy != DeployMode::Labelled && *label != default.label {
            section.fault("label", "is for `deploy = \"labelled\"`");
        }
        let kind = self.forge.as_ref().map(|account| account.kind);
        if *deploy == DeployMode::Labelled && kind == Some(Forge::Bitbucket) {
            section.fault("deploy", "must not be \"labelled\": Bitbucket has no labels");
        }
        if *deploy != DeployMode::Branches && self.secret.is_none() {
            let message = "needs `secret`: pull requests are known by signed deliveries only";
            section.fault("deploy", message);
        }
        let signing = self.secret.as_ref().and_then(|secret| secret.reveal().strip_prefix("whsec_"));
        if signing.is_some_and(|key| !BASE64.decode(key.as_bytes()).is_ok_and(|key| !key.is_empty())) {
            section.fault(
                "secret",
                "begins with whsec_, and no base64 follows: copy GitLab's signing token whole",
            );
        }
    }

    /// Whether the branch gets an environment, else why not. Main only when it is named, not by a glob.
    ///
    /// # Errors
    /// The reason, for the one who pushed.
    pub fn wants(&self, branch: &BranchName) -> Result<(), &'static str> {
        if *branch == self.main {
            return if self.branches.names(branch) {
                Ok(())
            } else {
                Err("the main branch gets no environment")
            };
        }
        if self.ignore.matches(branch) {
            return Err("the configuration ignores the branch (`ignore`)");
        }
        if self.branches.matches(branch) { Ok(()) } else { Err("the branch is not among `branches`") }
    }

    /// Whether the branch outlives its merge.
    pub fn keeps(&self, branch: &BranchName) -> bool {
        self.defaults.keep.matches(branch)
    }
}

fn pulls(section: &mut Section<'_>) -> PullRules {
    let default = PullRules::default();
    PullRules {
        deploy: section.read("deploy", deploy).unwrap_or_default(),
        label: section.text("label").unwrap_or(default.label),
        drafts: section.flag("drafts").unwrap_or(default.drafts),
    }
}

fn deploy(value: &Value) -> Result<DeployMode, String> {
    let found = DeployMode::ALL.into_iter().find(|mode| value.as_str() == Some(mode.word()));
    found.ok_or_else(|| "must be \"branches\", \"pull-requests\" or \"labelled\"".to_owned())
}

fn subject(value: &Value) -> Result<Subject, String> {
    let found = Subject::ALL.into_iter().find(|subject| value.as_str() == Some(subject.word()));
    found.ok_or_else(|| "must be \"head\" or \"merge\"".to_owned())
}

fn paths(section: &mut Section<'_>) -> PathFilter {
    let patterns = section.texts("paths").unwrap_or_default();
    PathFilter::parse(patterns).unwrap_or_else(|message| {
        section.fault("paths", message);
        PathFilter::default()
    })
}

fn poll_every(section: &mut Section<'_>) -> Option<Duration> {
    let every = section.duration("poll_every")?;
    if !every.is_zero() && every < SHORTEST_POLL {
        section.fault("poll_every", "must be 1s or more, or 0s, which switches it off");
        return None;
    }
    Some(every)
}

/// Only transports that drey uses; what git would run or read by other forms is refused here.
fn url(text: &str) -> Result<String, String> {
    let wrong = || "must be a path that begins with /, https://…, ssh://… or user@host:path".to_owned();
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        return Err(wrong());
    }
    let scp = text.split_once(':').is_some_and(|(host, path)| {
        let (user, host) = host.split_once('@').unwrap_or_default();
        let plain = |it: &str| {
            !it.is_empty()
                && !it.starts_with('-')
                && it.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        };
        plain(user) && plain(host) && !path.starts_with("//") && !path.starts_with(':')
    });
    if ssh_password(text) {
        return Err("has a password: ssh takes none from a URL, and each user of the machine could read it among the \
                    arguments of git; take it out and give the user that drey runs as a key in ~/.ssh"
            .to_owned());
    }
    if text.starts_with('/') || text.starts_with("https://") || text.starts_with("ssh://") || scp {
        return Ok(text.to_owned());
    }
    Err(wrong())
}

/// Whether `ssh://` or the short form names more than a user before the host.
fn ssh_password(text: &str) -> bool {
    let authority = match text.split_once("://") {
        Some(("ssh", rest)) => rest.split('/').next(),
        Some(_) => None,
        None if text.starts_with('/') => None,
        None => text.split('/').next(),
    };
    let login = authority.and_then(|authority| authority.rsplit_once('@'));
    login.is_some_and(|(user, _)| user.contains(':') || user.to_ascii_lowercase().contains("%3a"))
}

fn globs(section: &mut Section<'_>, key: &'static str) -> Option<BranchGlobs> {
    let patterns = section.texts(key)?;
    match BranchGlobs::parse(patterns) {
        Ok(globs) => Some(globs),
        Err(message) => {
            section.fault(key, message);
            None
        }
    }
}

fn fixed(patterns: &[&str]) -> BranchGlobs {
    fallback(BranchGlobs::parse(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()))
}

#[expect(clippy::expect_used, reason = "texts of our own that are known to parse")]
fn fallback<T, E: std::fmt::Debug>(parsed: Result<T, E>) -> T {
    parsed.expect("a default parses")
}
