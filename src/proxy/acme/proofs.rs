//! Proofs of one order: shown where the authority looks, and taken away again.

use std::sync::Arc;

use instant_acme::{ChallengeHandle, ChallengeType, Identifier};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::failed::Failed;
use crate::config::{Acme, AcmeChallenge};
use crate::ports::DnsRecords;
use crate::proxy::challenges::Challenges;

/// What is needed to show proofs.
pub(super) struct Stage {
    pub(super) challenges: Arc<Challenges>,
    /// For `dns-01`.
    pub(super) records: Option<Arc<dyn DnsRecords>>,
    pub(super) provider: Arc<CryptoProvider>,
}

/// One proof that is shown.
pub(super) enum Proof {
    Token(String),
    Certificate(String),
    Record { name: String, value: String },
}

impl Stage {
    /// Shows the proof of one challenge.
    pub(super) async fn show(
        &self,
        kind: AcmeChallenge,
        challenge: &ChallengeHandle<'_>,
        shown: &mut Vec<Proof>,
    ) -> Result<(), Failed> {
        let Identifier::Dns(host) = challenge.identifier().identifier else {
            return Err(Failed::Refused("the authority asks for something that is no host".to_owned()));
        };
        let answer = challenge.key_authorization();
        match kind {
            AcmeChallenge::Http01 => {
                self.challenges.put_token(&challenge.token, answer.as_str());
                shown.push(Proof::Token(challenge.token.clone()));
            }
            AcmeChallenge::TlsAlpn01 => {
                let certificate = self.certificate(host, answer.digest().as_ref())?;
                self.challenges.put_certificate(host, certificate);
                shown.push(Proof::Certificate(host.clone()));
            }
            AcmeChallenge::Dns01 => {
                let (name, value) = (format!("_acme-challenge.{host}"), answer.dns_value());
                // Before it is there: what was begun is taken away too.
                shown.push(Proof::Record { name: name.clone(), value: value.clone() });
                self.records()?.present(&name, &value).await?;
            }
        }
        Ok(())
    }

    /// Takes all of them away. What stays in the domain name system harms nobody: it is told.
    pub(super) async fn clear(&self, shown: Vec<Proof>) {
        for proof in shown {
            match proof {
                Proof::Token(token) => self.challenges.remove_token(&token),
                Proof::Certificate(host) => self.challenges.remove_certificate(&host),
                Proof::Record { name, value } => {
                    let Ok(records) = self.records() else { continue };
                    if let Err(error) = records.cleanup(&name, &value).await {
                        tracing::warn!(%error, name, "a record of a challenge is left behind");
                    }
                }
            }
        }
    }

    fn records(&self) -> Result<&Arc<dyn DnsRecords>, Failed> {
        self.records
            .as_ref()
            .ok_or_else(|| Failed::Refused("proxy.tls.acme.hook names no program".to_owned()))
    }

    /// For the host alone, with the digest in a critical extension (RFC 8737, 3).
    fn certificate(&self, host: &str, digest: &[u8]) -> Result<CertifiedKey, Failed> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let pair = KeyPair::generate()?;
        let chain = vec![params.self_signed(&pair)?.der().clone()];
        let key =
            PrivateKeyDer::try_from(pair.serialize_der()).map_err(|why| Failed::Refused(why.to_owned()))?;
        // Not checked against each other: what checks them knows nothing of this extension, and refuses the certificate.
        let key = self.provider.key_provider.load_private_key(key);
        Ok(CertifiedKey::new(chain, key.map_err(|error| Failed::Refused(error.to_string()))?))
    }
}

/// The same in the words of the protocol's client.
pub(super) fn kind_of(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        AcmeChallenge::Dns01 => ChallengeType::Dns01,
    }
}

/// Whether proofs need time until everybody sees them.
pub(super) fn settles(acme: &Acme) -> bool {
    acme.challenge == AcmeChallenge::Dns01 && !acme.propagation.is_zero()
}
