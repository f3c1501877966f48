//! How a service is spoken to beyond its scheme: TLS that is verified, several containers, patience.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::secrets::SecretName;

/// What the labels of a service say of it. Stored with its route: secrets by their names, never by value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manner {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsLabels>,
    pub balance: Balance,
    /// A visitor stays with the container that answered first.
    pub sticky: bool,
    /// How long the head of an answer may take; none: as the proxy is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

impl Manner {
    /// Whether no label says anything.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Secrets without which the service cannot be spoken to.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        let authority = self.tls.as_ref().and_then(|tls| match &tls.authority {
            Some(Authority::Secret(name)) => Some(name),
            Some(Authority::File { .. }) | None => None,
        });
        authority.into_iter().chain(self.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref()))
    }
}

/// The labels `drey.upstream.*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsLabels {
    /// None: whom the system trusts.
    pub authority: Option<Authority>,
    /// Asked for (SNI), and looked for in the certificate. Always there where it is verified.
    pub server_name: Option<String>,
    pub verify: bool,
    /// Certificate chain and key, PEM.
    pub client_certificate: Option<SecretName>,
}

/// Who signs a service's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// A file of the commit. `pem` is what is in it; empty until the stack is made.
    File { path: String, pem: String },
    /// The name of a secret that holds the PEM.
    Secret(SecretName),
}

/// Which of several containers gets a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest open requests.
    LeastConnections,
}

/// TLS to a container with all that it takes, in memory only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BackendTls {
    /// PEM; none: whom the system trusts.
    pub authority: Option<String>,
    pub server_name: Option<String>,
    pub verify: bool,
    /// Certificate chain and key, PEM.
    pub identity: Option<Vec<u8>>,
}

impl fmt::Debug for BackendTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendTls")
            .field("server_name", &self.server_name)
            .field("verify", &self.verify)
            .field("has_authority", &self.authority.is_some())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_has_names_of_secrets_and_what_is_printed_no_key() {
        let manner = Manner {
            tls: Some(TlsLabels {
                authority: Some(Authority::Secret(SecretName::parse("ca").unwrap())),
                server_name: Some("app.internal".to_owned()),
                verify: true,
                client_certificate: Some(SecretName::parse("client").unwrap()),
            }),
            ..Manner::default()
        };
        let names: Vec<&str> = manner.secrets().map(SecretName::as_str).collect();
        assert_eq!(names, ["ca", "client"]);
        let stored = serde_json::to_string(&manner).unwrap();
        assert_eq!(serde_json::from_str::<Manner>(&stored).unwrap(), manner);
        assert!(serde_json::from_str::<Manner>("{}").unwrap().is_usual());
        let tls = BackendTls {
            authority: None,
            server_name: None,
            verify: false,
            identity: Some(b"very-secret".to_vec()),
        };
        assert!(!format!("{tls:?}").contains("very-secret"));
    }
}
