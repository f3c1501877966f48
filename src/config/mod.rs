//! Settings of the daemon: flag > environment > file > default; all faults are reported at once.

mod access;
mod acme;
mod acme_binding;
mod archive;
mod discovery;
mod disk;
mod engine;
mod error;
mod forge;
mod gate;
mod log;
mod provider;
mod proxy;
mod proxy_bounds;
mod reader;
mod reload;
mod repository;
mod secret;
mod secrets;
mod sections;
mod size;
mod source;
mod tls;
mod traefik;
mod visitors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};

pub use access::{SERVER, token};
pub use acme::{Acme, AcmeChallenge};
pub use acme_binding::AccountBinding;
pub use archive::Archive;
pub use discovery::Discovery;
pub use disk::Gc;
pub use engine::EngineTls;
pub use error::{ConfigErrors, Fault};
pub use forge::{ForgeAccount, ForgeCredential};
pub use gate::Gate;
pub use log::{Log, LogFormat, LogLevel};
pub use provider::{NginxInclude, OwnProxy, Provider, ProviderKind};
pub use proxy::Proxy;
pub use repository::{Defaults, Repository};
pub use secret::Secret;
pub use secrets::Secrets;
pub use sections::{Engine, Http, Limits, RegistryCredential, Templates};
pub use source::{Stored, foreign};
pub use tls::{CertificateFiles, RepositoryTls, TlsMode, TlsVersion};
pub use traefik::{Traefik, TraefikSyntax};
pub use visitors::{AccessMode, User, Visitors};

use crate::domain::disk::Watermarks;
use reader::{Faults, Section};
use source::Source;

/// Where a file is looked for when none is named.
const DEFAULT_FILES: [&str; 2] = ["drey.toml", "/etc/drey/drey.toml"];
/// Prefix of environment variables that are settings: `DREY__HTTP__LISTEN`.
const PREFIX: &str = "DREY__";

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub http: Http,
    pub proxy: Proxy,
    pub engine: Engine,
    pub registries: Vec<RegistryCredential>,
    pub limits: Limits,
    pub archive: Archive,
    pub disk: Watermarks,
    pub gc: Gc,
    pub discovery: Discovery,
    pub templates: Templates,
    pub secrets: Secrets,
    pub log: Log,
    pub repositories: Vec<Repository>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// What was read from a store, if it was.
    pub store: Option<Stored>,
}

impl Settings {
    /// Reads the file (`path`, else `DREY_CONFIG`, `./drey.toml`, `/etc/drey/drey.toml`) and the environment.
    /// `DREY_CONFIG` may be the text itself. What lies in a store is read by whoever can: see [`Settings::store_named`].
    ///
    /// # Errors
    /// Every fault there is, each with its key, its origin and the way out.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        judged(Self::examine(path))
    }

    /// The same, with all faults: what is faulty has its default.
    pub fn examine(path: Option<&Path>) -> (Self, Vec<Fault>) {
        let environment: Vec<(String, String)> = environment();
        let usual = || DEFAULT_FILES.iter().map(PathBuf::from).find(|file| file.exists()).map(Source::File);
        Self::examine_source(Source::named(path, &environment).or_else(usual).as_ref(), &environment)
    }

    /// The address of the store that the configuration lies in, as `path` or the environment names it.
    pub fn store_named(path: Option<&Path>) -> Option<String> {
        match Source::named(path, &environment())? {
            Source::Store(address) => Some(address),
            Source::File(_) | Source::Text(_) => None,
        }
    }

    /// From what a store holds, or why it does not say.
    pub fn from_store(address: &str, text: Result<String, String>) -> (Self, Vec<Fault>) {
        let environment = environment();
        match text {
            Ok(text) => {
                let values = source::read_text(address, &text);
                let stored = Stored { address: address.to_owned(), text };
                let (settings, faults) = Self::examine_values(address, None, values, &environment);
                (Self { store: Some(stored), ..settings }, faults)
            }
            Err(why) => {
                let values = Err(source::fault(address, &why));
                Self::examine_values(address, None, values, &environment)
            }
        }
    }

    /// The same from given parts.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_parts(file: Option<&Path>, environment: &[(String, String)]) -> Result<Self, ConfigErrors> {
        let source = file.map(|file| Source::File(file.to_owned()));
        judged(Self::examine_source(source.as_ref(), environment))
    }

    fn examine_source(source: Option<&Source>, environment: &[(String, String)]) -> (Self, Vec<Fault>) {
        let Some(source) = source else { return Self::examine_nothing(environment) };
        let origin = source.origin();
        match source {
            Source::File(file) => {
                Self::examine_values(&origin, Some(file), source::read_file(file), environment)
            }
            Source::Text(text) => {
                Self::examine_values(&origin, None, source::read_text(&origin, text), environment)
            }
            Source::Store(_) => {
                let why = "this command reads no store; name a file with --config";
                Self::examine_values(&origin, None, Err(source::fault(&origin, why)), environment)
            }
        }
    }

    fn examine_values(
        origin: &str,
        file: Option<&Path>,
        values: Result<Dict, Fault>,
        environment: &[(String, String)],
    ) -> (Self, Vec<Fault>) {
        match values {
            Ok(values) => Self::read(Some(origin), file, values, environment),
            // What else is missing is missing for this one reason.
            Err(fault) => (Self::read(Some(origin), file, Dict::new(), environment).0, vec![fault]),
        }
    }

    fn examine_nothing(environment: &[(String, String)]) -> (Self, Vec<Fault>) {
        let (settings, mut faults) = Self::read(None, None, Dict::new(), environment);
        if !faults.is_empty() {
            if !environment.iter().any(|(name, _)| name.starts_with(PREFIX)) {
                faults.clear();
            }
            faults.insert(0, no_file());
        }
        (settings, faults)
    }

    fn read(
        origin: Option<&str>,
        file: Option<&Path>,
        mut values: Dict,
        environment: &[(String, String)],
    ) -> (Self, Vec<Fault>) {
        let origins = overlay(&mut values, environment);
        let faults = Faults::new(origin, origins);
        let mut top = Section::new("", values, &faults, environment);
        let defaults = Defaults::read(&mut top.section("defaults"));
        let data_dir = top.path("data_dir").unwrap_or_else(|| PathBuf::from("/var/lib/drey"));
        let settings = Self {
            data_dir: beside(file, &data_dir),
            http: Http::read(&mut top.section("http")),
            proxy: Proxy::read(&mut top.section("proxy")),
            engine: Engine::read(&mut top.section("engine")),
            limits: Limits::read(&mut top.section("limits")),
            archive: Archive::read(&mut top.section("archive")),
            disk: disk::read_watermarks(&mut top.section("disk")),
            gc: Gc::read(&mut top.section("gc")),
            discovery: Discovery::read(&mut top.section("discovery")),
            templates: Templates::read(&mut top.section("templates")),
            secrets: Secrets::read(&mut top.section("secrets")),
            log: Log::read(&mut top.section("log")),
            registries: top.sections("registry").iter_mut().map(RegistryCredential::read).collect(),
            repositories: top
                .sections("repo")
                .iter_mut()
                .map(|section| Repository::read(section, &defaults))
                .collect(),
            file: file.map(Path::to_owned),
            store: None,
        };
        settings.check(&faults);
        top.finish();
        (settings, faults.into_found())
    }

    /// What only several keys together can get wrong.
    fn check(&self, faults: &Faults) {
        let provider = &self.proxy.provider;
        if provider.container().is_some() && !self.engine.host.starts_with("unix://") {
            let key = format!("proxy.{}.container", provider.kind.word());
            faults.add(
                &key,
                "needs an engine on this machine (engine.host = \"unix://…\"): it shares a folder with drey",
            );
        }
        let mut seen = BTreeMap::new();
        for (number, repository) in self.repositories.iter().enumerate() {
            if self.proxy.https.is_none() && repository.tls != RepositoryTls::default() {
                faults.add(&format!("repo[{number}].tls"), "needs proxy.https: there is no TLS without it");
            }
            let key = format!("repo[{number}].name");
            // One without a good name has its fault already.
            if faults.has(&key) {
                continue;
            }
            if let Some(first) = seen.insert(repository.name.clone(), number) {
                faults.add(
                    &key,
                    format!("{} is the name of repo[{first}] already; names are unique", repository.name),
                );
            }
        }
    }

    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.name.as_str() == name)
    }
}

fn judged((settings, faults): (Settings, Vec<Fault>)) -> Result<Settings, ConfigErrors> {
    if faults.is_empty() { Ok(settings) } else { Err(ConfigErrors(faults)) }
}

fn no_file() -> Fault {
    let message = format!(
        "no configuration file: neither {} is there; write one (packaging/drey.example.toml is a start), or name one \
         with --config or DREY_CONFIG",
        DEFAULT_FILES.map(Path::new).map(shown).join(" nor ")
    );
    Fault { key: String::new(), origin: None, message }
}

/// With the folder that a relative path is looked for in.
fn shown(file: &Path) -> String {
    std::path::absolute(file).unwrap_or_else(|_no_folder| file.to_owned()).display().to_string()
}

/// A relative path counts from the folder of the file, without a file from the folder we are in: daemon and commands
/// mean the same, wherever they are started.
fn beside(file: Option<&Path>, path: &Path) -> PathBuf {
    let folder = file.and_then(|file| std::path::absolute(file).ok()?.parent().map(Path::to_owned));
    let path = folder.map_or_else(|| path.to_owned(), |folder| folder.join(path));
    std::path::absolute(&path).unwrap_or(path)
}

/// Puts `DREY__SECTION__KEY=value` over what the file says; keys that came so.
fn overlay(values: &mut Dict, environment: &[(String, String)]) -> BTreeMap<String, String> {
    let mut origins = BTreeMap::new();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let Some((last, parents)) = path.split_last() else { continue };
        // Text that is a number, a boolean or a list is one.
        let value = text.parse().unwrap_or_else(|_never| Value::from(text.clone()));
        insert(values, parents, last, value);
        origins.insert(path.join("."), name.clone());
    }
    origins
}

fn insert(values: &mut Dict, parents: &[String], last: &str, value: Value) {
    let Some((first, rest)) = parents.split_first() else {
        values.insert(last.to_owned(), value);
        return;
    };
    let mut inner = values.remove(first).and_then(Value::into_dict).unwrap_or_default();
    insert(&mut inner, rest, last, value);
    values.insert(first.clone(), Value::from(inner));
}

/// The one place that reads this program's environment.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests;
