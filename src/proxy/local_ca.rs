//! A certificate authority of our own, made at the first start, and the wildcard certificate it signs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use time::OffsetDateTime;

use super::private_file;
use super::settings::ProxyError;
use crate::config::CertificateFiles;
use crate::domain::time::Timestamp;

/// Life of the authority.
const AUTHORITY_DAYS: u64 = 3650;
/// Life of a leaf; browsers take 398 days at most.
const LEAF_DAYS: u64 = 397;
/// A leaf with less left is made anew.
const RENEW_DAYS: u64 = 30;
/// Clocks of visitors may be behind.
const SKEW: Duration = Duration::from_secs(24 * 3600);

/// The files of the authority, all in one directory.
pub(super) struct LocalCa {
    directory: PathBuf,
}

impl LocalCa {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    pub(super) fn leaf(&self) -> CertificateFiles {
        let (certificate, key) = (self.directory.join("wildcard.pem"), self.directory.join("wildcard.key"));
        CertificateFiles { certificate, key }
    }

    /// Makes what is missing, old, or for another domain. A key that was written without its certificate (the daemon
    /// died between the two) counts as missing.
    pub(super) fn ensure(&self, domain: &str, now: Timestamp) -> Result<(), ProxyError> {
        let key_file = self.directory.join("ca.key");
        if !self.authority().exists() || !key_file.exists() || !self.may_sign(domain) {
            let (certificate, key) = authority(domain, now)?;
            std::fs::remove_file(self.authority()).ok();
            std::fs::remove_file(self.scope()).ok();
            private_file::write(&key_file, &key)?;
            private_file::write(&self.scope(), &format!("{domain}\n"))?;
            private_file::write(&self.authority(), &certificate)?;
            std::fs::remove_file(self.stamp()).ok();
        }
        let wanted = format!("{domain}\n");
        let stamped = std::fs::read_to_string(self.stamp()).unwrap_or_default();
        let valid = stamped.strip_prefix(&wanted).and_then(|until| Timestamp::parse(until.trim()));
        let soon = now.plus(days(RENEW_DAYS));
        let CertificateFiles { certificate: leaf, key: leaf_key } = self.leaf();
        if valid.is_some_and(|until| until > soon) && leaf.exists() && leaf_key.exists() {
            return Ok(());
        }
        let read =
            |path: &Path| std::fs::read_to_string(path).map_err(|error| ProxyError::certificate(path, error));
        let (certificate, key) = wildcard(domain, &read(&self.authority())?, &read(&key_file)?, now)?;
        std::fs::remove_file(self.stamp()).ok();
        private_file::write(&leaf_key, &key)?;
        private_file::write(&leaf, &certificate)?;
        private_file::write(&self.stamp(), &format!("{wanted}{}\n", now.plus(days(LEAF_DAYS))))
    }

    /// Whether a certificate of the authority for this domain would be believed. One made before there was a scope may
    /// sign for all.
    fn may_sign(&self, domain: &str) -> bool {
        let Ok(scope) = std::fs::read_to_string(self.scope()) else { return true };
        let allowed = domain.strip_suffix(scope.trim());
        let allowed = allowed.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if !allowed {
            tracing::warn!(domain, scope = scope.trim(), "a new local authority is made: trust it once more");
        }
        allowed
    }

    /// Says which domain the authority may sign for.
    fn scope(&self) -> PathBuf {
        self.directory.join("ca.domain")
    }

    /// Says what the leaf is for and until when; written last, so that a half-made leaf is made again.
    fn stamp(&self) -> PathBuf {
        self.directory.join("wildcard.stamp")
    }
}

/// The wildcard certificate of the local authority for a proxy that is not ours, made where it is missing or old; and the
/// authority's own. All of it is kept in this directory.
///
/// # Errors
/// When a file cannot be read or written.
pub fn local_certificate(
    directory: &Path,
    domain: &str,
    now: Timestamp,
) -> Result<(CertificateFiles, PathBuf), ProxyError> {
    let authority = LocalCa::new(directory.to_owned());
    authority.ensure(domain, now)?;
    Ok((authority.leaf(), authority.authority()))
}

/// May sign for names in the domain only: who trusts it need not fear for other sites, should the key be stolen.
fn authority(domain: &str, now: Timestamp) -> Result<(String, String), ProxyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("drey local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
        // What is permitted binds names only: without this it could sign for any address.
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    });
    (params.not_before, params.not_after) = validity(now, AUTHORITY_DAYS);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn wildcard(
    domain: &str,
    authority: &str,
    authority_key: &str,
    now: Timestamp,
) -> Result<(String, String), ProxyError> {
    let names = vec![format!("*.{domain}"), domain.to_owned()];
    let mut params = CertificateParams::new(names).map_err(failed)?;
    // The names are in the alternative names only: a common name may have 64 characters, a domain more.
    params.distinguished_name = named("drey environments");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(now, LEAF_DAYS);
    let issuer_key = KeyPair::from_pem(authority_key).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(authority, issuer_key).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok((format!("{}{authority}", certificate.pem()), key.serialize_pem()))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn validity(now: Timestamp, days_long: u64) -> (OffsetDateTime, OffsetDateTime) {
    let moment = |timestamp: Timestamp| {
        OffsetDateTime::from_unix_timestamp(timestamp.as_millis() / 1000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    (moment(now) - SKEW, moment(now.plus(days(days_long))) - SKEW)
}

fn days(number: u64) -> Duration {
    Duration::from_secs(number * 24 * 3600)
}

fn failed(error: impl std::fmt::Display) -> ProxyError {
    ProxyError::Tls(format!("the local authority cannot be made: {error}"))
}
