//! Traefik, 2.11 and newer: it asks drey for its routes by HTTP, or watches a file that drey writes.
//!
//! Nobody can tell it to read them. That they are in force follows from who asked for them and when, or from what Traefik's own
//! API shows; a Traefik that watches a file and shows no API is believed to have taken it.

mod askers;
mod backend;
mod document;
mod rule;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use super::confirm;
use super::disk::{Disk, Rendered};
use super::driver::Driver;
use super::fault::Fault;
use super::model::{Abilities, Frame, Model};
use crate::config::TraefikSyntax;
use askers::Askers;
use document::{GENERATION, MARK_HEADER};

/// The file of a generation: what Traefik is told.
pub const FILE: &str = "traefik.json";
/// How long Traefik may take to serve by what it read: it waits 2 s itself for more changes (`providersThrottleDuration`).
pub const APPLIES_WITHIN: Duration = Duration::from_secs(3);
/// Said of a Traefik that shows nothing.
const ASSUMED: &str = "Traefik watches a file and does not tell what it serves by: it is believed to have taken each change after \
                       3 s; with its API under `proxy.traefik.api` drey would ask";
const NOBODY_ASKS: &str = ": nobody asked for it; `providers.http.endpoint` of Traefik must lead to /api/v1/providers/traefik here, \
                           with a token in `headers`";

/// How this Traefik is run.
#[derive(Clone, Debug)]
pub struct TraefikSettings {
    pub syntax: TraefikSyntax,
    /// Where it reaches the gate; none: where that listens.
    pub gate: Option<String>,
    /// Its entry points for branches.
    pub entry_points: Vec<String>,
    /// Entry points that only redirect to https.
    pub redirected: Vec<String>,
    /// Who gets the certificates, as it is configured; none: by those that it has.
    pub resolver: Option<String>,
    /// What it watches; none: it asks by HTTP.
    pub file: Option<PathBuf>,
    /// Host and port of its API.
    pub api: Option<String>,
    /// How often it asks.
    pub polls_every: Duration,
    /// Mostly [`APPLIES_WITHIN`].
    pub applies_within: Duration,
}

/// A Traefik that comes for its configuration.
pub struct Traefik {
    disk: Disk,
    settings: TraefikSettings,
    askers: Askers,
    /// The mark that the watched file was written with, and when.
    written: Mutex<Option<(String, Instant)>>,
    /// Its API answered when it was last asked.
    answers: AtomicBool,
}

impl Traefik {
    pub fn new(disk: Disk, settings: TraefikSettings) -> Self {
        let askers = Askers::new(settings.polls_every, settings.applies_within);
        Self { disk, settings, askers, written: Mutex::default(), answers: AtomicBool::new(false) }
    }

    /// The configuration that counts, with its mark.
    async fn current(&self) -> Option<(String, String)> {
        let mark = self.disk.current_mark()?;
        let text = tokio::fs::read_to_string(self.disk.generation(&mark).join(FILE)).await.ok()?;
        Some((mark, text))
    }

    /// What Traefik's API says that it serves by.
    async fn told_by_api(&self, api: &str) -> Option<String> {
        let provider = if self.settings.file.is_some() { "file" } else { "http" };
        let body = confirm::get(api, &format!("/api/http/middlewares/{GENERATION}@{provider}")).await;
        self.answers.store(body.is_some(), Ordering::Relaxed);
        let shown: Value = serde_json::from_str(&body?).ok()?;
        shown["headers"]["customResponseHeaders"][MARK_HEADER].as_str().map(str::to_owned)
    }

    /// What the watched file has, once there was time to read it.
    fn assumed_of(&self, file: &Path) -> Option<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mark, at) = written?;
        (at.elapsed() >= self.settings.applies_within && file.exists()).then_some(mark)
    }
}

#[async_trait]
impl Driver for Traefik {
    fn name(&self) -> &'static str {
        "traefik"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            h2c: true,
            sticky: true,
            timeout: true,
            even_only: true,
            no_keys: true,
            unseen: true,
            ..Abilities::default()
        }
    }

    async fn render(&self, frame: &Frame, model: &Model) -> Result<Rendered, Fault> {
        let text = format!("{:#}\n", document::document(frame, model, &self.settings));
        Ok(Rendered::new(BTreeMap::from([(FILE.to_owned(), text)]), BTreeMap::new()))
    }

    /// Traefik judges nothing beforehand. What it would stumble over are texts that are no certificates.
    async fn validate(&self, folder: &Path) -> Result<(), Fault> {
        let file = folder.join(FILE);
        let text = tokio::fs::read_to_string(&file).await;
        let text = text.map_err(|error| Fault::Disk(format!("{}: {error}", file.display())))?;
        let document: Value = serde_json::from_str(&text)
            .map_err(|error| Fault::Refused(format!("{}: {error}", file.display())))?;
        let named = |part: &Value| part.as_object().cloned().unwrap_or_default();
        let transports = named(&document["http"]["serversTransports"]);
        let transports = transports.iter().map(|(name, transport)| (name, &transport["rootCAs"]));
        let options = named(&document["tls"]["options"]);
        let options = options.iter().map(|(name, options)| (name, &options["clientAuth"]["caFiles"]));
        for (name, authorities) in transports.chain(options) {
            for authority in authorities.as_array().into_iter().flatten() {
                if !is_certificate(authority.as_str().unwrap_or_default()) {
                    return Err(Fault::Refused(format!("{name}: its authority is no certificate in PEM")));
                }
            }
        }
        Ok(())
    }

    /// It comes by itself. The file that it watches is replaced as a whole.
    async fn reload(&self) -> Result<(), Fault> {
        let Some(file) = self.settings.file.clone() else { return Ok(()) };
        let Some((mark, text)) = self.current().await else {
            let current = self.disk.current();
            return Err(Fault::Disk(format!("{}: it is gone", current.display())));
        };
        replace(&file, text.as_bytes())
            .map_err(|error| Fault::Disk(format!("proxy.traefik.file: {}: {error}", file.display())))?;
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some((mark, Instant::now()));
        Ok(())
    }

    async fn serving(&self) -> Option<String> {
        match (&self.settings.api, &self.settings.file) {
            (Some(api), _) => self.told_by_api(api).await,
            (None, Some(file)) => self.assumed_of(file),
            (None, None) => self.askers.serving(Instant::now()),
        }
    }

    async fn last_words(&self) -> String {
        let asks = self.settings.file.is_none() && self.settings.api.is_none();
        match asks && !self.askers.is_anybody_here(Instant::now()) {
            true => NOBODY_ASKS.to_owned(),
            false => String::new(),
        }
    }

    fn lag(&self) -> Duration {
        if self.settings.file.is_some() { Duration::ZERO } else { self.settings.polls_every * 2 }
    }

    fn gives_way(&self) -> bool {
        match (&self.settings.api, &self.settings.file) {
            (Some(_), _) => !self.answers.load(Ordering::Relaxed),
            (None, Some(_)) => false,
            (None, None) => {
                !self.disk.current_mark().is_some_and(|mark| self.askers.has_got(&mark, Instant::now()))
            }
        }
    }

    fn assumed(&self) -> Option<&'static str> {
        (self.settings.file.is_some() && self.settings.api.is_none()).then_some(ASSUMED)
    }

    async fn hand_out(&self, asker: &str) -> Option<String> {
        let (mark, text) = self.current().await?;
        self.askers.got(asker, &mark, Instant::now());
        Some(text)
    }
}

fn is_certificate(pem: &str) -> bool {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    found.peek().is_some() && found.all(|certificate| certificate.is_ok())
}

/// Whoever watches it sees the old file or the new one, whole.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    let mut options = std::fs::File::options();
    let mut open = options.write(true).create(true).truncate(true).mode(0o644).open(&new)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    std::fs::rename(&new, file)
}

#[cfg(test)]
mod tests;
