//! `drey check`, of certificates: whether they are there, whom they are for, how long they live.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::clock::SystemClock;
use super::finding::{Findings, Level};
use crate::config::{Acme, AcmeChallenge, CertificateFiles, Proxy, Settings, TlsMode};
use crate::domain::text::clean_line;
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::proxy::{AcmeState, CertificateFacts, acme_state};

/// A certificate with less left is told.
const LEFT: Duration = Duration::from_secs(14 * 24 * 3600);
/// What is to be done about one of the operator's own.
const RENEW: &str = "renew it; drey takes the new files into use by itself";

/// What visitors are shown.
pub(super) fn tls(settings: &Settings, findings: &mut Findings) {
    if settings.proxy.https.is_none() {
        return findings.add(Level::Warn, "tls", "off: proxy.https is not set");
    }
    clients(settings, findings);
    match &settings.proxy.tls {
        TlsMode::LocalCa => {
            let message = "local authority; browsers trust it after its certificate was installed, from \
                           http://<any host>/.well-known/drey-ca.pem";
            findings.add(Level::Ok, "tls", message);
        }
        TlsMode::Files(files) => certificates(files, &settings.proxy.domain, SystemClock.now(), findings),
        TlsMode::Acme(acme) => {
            let state = acme_state(&settings.data_dir.join("tls"), &acme.directory);
            authority(acme, &state, SystemClock.now(), findings);
            reachable(acme, &settings.proxy, findings);
        }
    }
}

/// Files that repositories name.
fn clients(settings: &Settings, findings: &mut Findings) {
    for repository in &settings.repositories {
        let Some(path) = &repository.tls.client_ca else { continue };
        if let Err(error) = std::fs::File::open(path) {
            let message = format!("repository {}: client_ca: {}: {error}", repository.name, path.display());
            findings.add(Level::Fail, "tls", message);
        }
    }
}

/// What was got of an authority, and what was not.
fn authority(acme: &Acme, state: &AcmeState, now: Timestamp, findings: &mut Findings) {
    let (challenge, directory) = (acme.challenge.word(), &acme.directory);
    let count = state.certificates.len();
    findings.add(Level::Ok, "tls", format!("acme, {challenge}, {directory}: {count} certificates are kept"));
    for (file, facts) in &state.certificates {
        let (level, message) = finding(facts, now, "drey renews it by itself, see its log");
        // One of a branch that is gone ends, and nobody minds.
        let level = if level == Level::Fail { Level::Warn } else { level };
        findings.add(level, "tls", format!("{}: {message}", file.display()));
    }
    for (name, again, reason) in &state.failures {
        let message = format!("{name}: was not got: {}; tried again from {again} on", clean_line(reason));
        findings.add(Level::Warn, "tls", message);
    }
    if let Some(path) = &acme.directory_ca
        && let Err(error) = std::fs::File::open(path)
    {
        let message = format!("proxy.tls.acme.directory_ca: {}: {error}", path.display());
        findings.add(Level::Fail, "tls", message);
    }
    if let Some(program) = acme.hook.first().filter(|program| program.contains('/'))
        && !std::fs::metadata(program).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    {
        let message = format!("proxy.tls.acme.hook: {program} is no program; make it executable");
        findings.add(Level::Fail, "tls", message);
    }
}

/// What an authority elsewhere cannot look at.
fn reachable(acme: &Acme, proxy: &Proxy, findings: &mut Findings) {
    let is_local = proxy.domain == "localhost" || proxy.domain.ends_with(".localhost");
    if is_local && acme.directory_ca.is_none() {
        let message = format!("no public authority signs for {}; use mode = \"local-ca\"", proxy.domain);
        findings.add(Level::Fail, "tls", message);
    }
    let (listener, port, wanted) = match acme.challenge {
        AcmeChallenge::Http01 => ("proxy.http", proxy.http, 80),
        AcmeChallenge::TlsAlpn01 => ("proxy.https", proxy.https, 443),
        AcmeChallenge::Dns01 => return,
    };
    if let Some(address) = port.filter(|address| address.port() != wanted) {
        let message = format!(
            "the authority asks at port {wanted}, {listener} is {address}: right only where something passes it on"
        );
        findings.add(Level::Warn, "tls", message);
    }
}

/// Certificates of the operator's own.
fn certificates(files: &[CertificateFiles], domain: &str, now: Timestamp, findings: &mut Findings) {
    let mut names = Vec::new();
    let mut all_read = true;
    for files in files {
        match CertificateFacts::read(files) {
            Ok(facts) => {
                let (level, message) = finding(&facts, now, RENEW);
                findings.add(level, "tls", format!("{}: {message}", files.certificate.display()));
                names.extend(facts.names);
            }
            Err(error) => {
                all_read = false;
                findings.add(Level::Fail, "tls", error.to_string());
            }
        }
    }
    let wildcard = format!("*.{domain}");
    if all_read && !names.contains(&wildcard) {
        let message = format!("no certificate is for {wildcard}: browsers will refuse most branches");
        findings.add(Level::Warn, "tls", message);
    }
}

fn finding(facts: &CertificateFacts, now: Timestamp, renew: &str) -> (Level, String) {
    let CertificateFacts { valid_from, valid_until, names } = facts;
    if *valid_until <= now {
        return (Level::Fail, format!("was valid until {valid_until}; {renew}"));
    }
    if *valid_from > now {
        return (Level::Fail, format!("is valid from {valid_from} on only"));
    }
    if valid_until.since(now) < LEFT {
        return (Level::Warn, format!("is valid until {valid_until} only; {renew}"));
    }
    (Level::Ok, format!("is for {}, valid until {valid_until}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_certificate_has_a_time() {
        let begin = Timestamp::from_millis(1_780_000_000_000);
        let level = |days: u32| {
            let (valid_from, valid_until) = (begin, begin.plus(DAY * days));
            finding(&CertificateFacts { valid_from, valid_until, names: Vec::new() }, begin.plus(DAY), RENEW)
                .0
        };
        assert_eq!((level(90), level(9), level(1)), (Level::Ok, Level::Warn, Level::Fail));
        let early = CertificateFacts { valid_from: begin, valid_until: begin.plus(DAY), names: Vec::new() };
        assert_eq!(finding(&early, begin.minus(DAY), RENEW).0, Level::Fail);
    }

    #[test]
    fn files_that_cannot_be_read_and_a_domain_without_certificate_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            CertificateFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        let now = Timestamp::from_millis(1_780_000_000_000);
        let found = |domain: &str| {
            let mut findings = Findings::default();
            certificates(std::slice::from_ref(&files), domain, now, &mut findings);
            findings.into_vec().into_iter().map(|it| it.level).collect::<Vec<_>>()
        };
        assert_eq!(found("qa.example"), [Level::Fail]);
        crate::proxy::write_certificate(&files, &["*.qa.example"], (now, now.plus(DAY * 90)));
        assert_eq!(found("qa.example"), [Level::Ok]);
        assert_eq!(found("other.example"), [Level::Ok, Level::Warn]);
    }
}
