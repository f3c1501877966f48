//! The certificates in use stay valid ones: read anew when their files change, made anew when they are ours and old.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_util::sync::CancellationToken;

use super::acme::kept::Kept;
use super::aside::aside;
use super::certificates::{Certificates, Names};
use super::examine::Shown;
use super::local_ca::LocalCa;
use super::settings::{ProxyError, ProxySettings, TlsSettings};
use crate::config::CertificateFiles;
use crate::domain::time::Timestamp;
use crate::ports::{Clock, meters};

/// How often it is looked whether files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often the certificate is looked at that is ours to renew: much more often than in its last month.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Keeps the certificates in use valid ones.
pub(super) struct Renewal {
    domain: String,
    source: TlsSettings,
    provider: Arc<CryptoProvider>,
    pub(super) certificates: Arc<Certificates>,
    /// The files as they were when they were last read.
    seen: Mutex<Vec<Stamp>>,
    renewing: Mutex<()>,
    nudges: Notify,
}

/// What tells one state of a file from another: a copy, a rename and a link that is turned each change it.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

impl Renewal {
    /// Reads or makes the certificates for the first time.
    pub(super) fn begin(
        settings: &ProxySettings,
        provider: &Arc<CryptoProvider>,
        now: Timestamp,
    ) -> Result<Self, ProxyError> {
        let seen = Mutex::new(stamps(&settings.tls));
        let names = names(&settings.tls, &settings.domain, provider, now)?;
        Ok(Self {
            domain: settings.domain.clone(),
            source: settings.tls.clone(),
            provider: provider.clone(),
            certificates: Arc::new(Certificates::new(&settings.domain, names)),
            seen,
            renewing: Mutex::default(),
            nudges: Notify::new(),
        })
    }

    /// Until the daemon drains.
    pub(super) async fn run(self: Arc<Self>, clock: Arc<dyn Clock>, draining: CancellationToken) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let is_due = renewed.elapsed() >= RENEW_EVERY;
            let (this, now) = (self.clone(), clock.now());
            if aside(move || Ok(this.look(now, is_due))).await.unwrap_or_default() {
                renewed = Instant::now();
            }
        }
    }

    /// Renews when it is due, or when files have changed. What cannot be renewed stays as it was, and is tried again when
    /// the files change once more.
    pub(super) fn look(&self, now: Timestamp, is_due: bool) -> bool {
        if !is_due && *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == stamps(&self.source) {
            return false;
        }
        match self.renew(now) {
            Ok(()) => tracing::info!("the certificates are read anew"),
            Err(error) => {
                tracing::error!(%error, "the certificates cannot be renewed; the old ones stay in use");
            }
        }
        true
    }

    /// Waits until a visitor asked for a host that has no certificate, or somebody asked to look at once.
    pub(super) async fn asked(&self) {
        tokio::select! {
            () = self.certificates.missed() => {}
            () = self.nudges.notified() => {}
        }
    }

    /// The hosts of such visitors, the first one first.
    pub(super) fn take_asked(&self) -> Vec<String> {
        self.certificates.take_missed()
    }

    /// Asks to look at once whether a certificate is due.
    pub(super) fn nudge(&self) {
        self.nudges.notify_one();
    }

    /// Makes the certificate anew where it is ours and old, and takes what is in the files into use.
    pub(super) fn renew(&self, now: Timestamp) -> Result<(), ProxyError> {
        // What was read earlier never takes the place of what was read later.
        let _alone = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        // Before they are read: what changes meanwhile is seen by the next look.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.source);
        self.certificates.replace(names(&self.source, &self.domain, &self.provider, now)?);
        Ok(())
    }
}

/// The certificates that are valid now, where it is ours to see to that.
fn names(
    source: &TlsSettings,
    domain: &str,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<Names, ProxyError> {
    let local = |directory: &PathBuf| {
        let local = LocalCa::new(directory.clone());
        local.ensure(domain, now)?;
        Shown::read(&local.leaf(), provider)
    };
    // The first one is for whoever names no host, and for hosts that none is for.
    let (first, others) = match source {
        TlsSettings::LocalCa { directory } => (local(directory)?, Vec::new()),
        TlsSettings::Files(files) => {
            let shown = files.iter().map(|files| Shown::read(files, provider));
            let mut shown = shown.collect::<Result<Vec<_>, _>>()?.into_iter();
            let first = shown.next().ok_or_else(|| ProxyError::Tls("there is no certificate".to_owned()))?;
            (first, shown.collect())
        }
        TlsSettings::Acme { directory, acme, .. } => {
            let kept = Kept::new(directory, &acme.directory).certificates(provider).into_iter();
            let valid = kept.map(|(_, shown)| shown).filter(|shown| shown.facts.valid_until > now).collect();
            return Ok(beside(local(directory)?, valid));
        }
    };
    let mut names = Names::only(first.key.clone());
    std::iter::once(&first).chain(&others).for_each(|shown| names.add(shown));
    tell_end(std::iter::once(&first).chain(&others));
    Ok(names)
}

/// Certificates of an authority; the local one is shown where there is none yet, and by that alone known as missing.
#[expect(clippy::needless_pass_by_value, reason = "they are of no use any more")]
fn beside(local: Shown, issued: Vec<Shown>) -> Names {
    let mut names = Names::only(local.key.clone());
    issued.iter().for_each(|shown| names.add(shown));
    tell_end(issued.iter());
    names
}

fn tell_end<'a>(shown: impl Iterator<Item = &'a Shown>) {
    if let Some(until) = shown.map(|shown| shown.facts.valid_until).min() {
        meters::certificate_expires(until);
    }
}

/// Of the files that others change.
fn stamps(source: &TlsSettings) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
    };
    match source {
        TlsSettings::LocalCa { .. } | TlsSettings::Acme { .. } => Vec::new(),
        TlsSettings::Files(files) => {
            let both = |files: &CertificateFiles| [stamp(&files.certificate), stamp(&files.key)];
            files.iter().flat_map(both).collect()
        }
    }
}
