//! The labels that Interlock knew, exactly.

/// A label of Interlock, without its prefix and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Hostname,
    Domain,
    Network,
    Port,
    AliasDomain,
    ContextRoot,
    ContextRootRewrite,
    Ssl,
    SslOnly,
    SslCert,
    SslPrivate,
    SslBackend,
    SslBackendTlsVerify,
    WebsocketEndpoint,
    HealthCheck,
    HealthCheckInterval,
    BalanceAlgorithm,
    BackendOption,
    IpHash,
    App,
    ExtName,
}

const ALL: [(Key, &str); 21] = [
    (Key::Hostname, "hostname"),
    (Key::Domain, "domain"),
    (Key::Network, "network"),
    (Key::Port, "port"),
    (Key::AliasDomain, "alias_domain"),
    (Key::ContextRoot, "context_root"),
    (Key::ContextRootRewrite, "context_root_rewrite"),
    (Key::Ssl, "ssl"),
    (Key::SslOnly, "ssl_only"),
    (Key::SslCert, "ssl_cert"),
    (Key::SslPrivate, "ssl_cert_key"),
    (Key::SslBackend, "ssl_backend"),
    (Key::SslBackendTlsVerify, "ssl_backend_tls_verify"),
    (Key::WebsocketEndpoint, "websocket_endpoint"),
    (Key::HealthCheck, "health_check"),
    (Key::HealthCheckInterval, "health_check_interval"),
    (Key::BalanceAlgorithm, "balance_algorithm"),
    (Key::BackendOption, "backend_option"),
    (Key::IpHash, "ip_hash"),
    (Key::App, "app"),
    (Key::ExtName, "ext.name"),
];

impl Key {
    /// `interlock.alias_domain.2` → its key and number; one without a number comes before all others. None for what
    /// Interlock never knew.
    pub(super) fn parse(label: &str) -> Option<(Self, u64)> {
        let name = label.strip_prefix(super::PREFIX)?;
        let known = |name: &str| ALL.iter().find(|(_, known)| *known == name).map(|(key, _)| *key);
        if let Some(key) = known(name) {
            return Some((key, 0));
        }
        let (name, number) = name.rsplit_once('.')?;
        let key = known(name).filter(|key| key.is_list())?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|_| is_number)?;
        Some((key, number.saturating_add(1)))
    }

    /// It may be there several times, with a number.
    const fn is_list(self) -> bool {
        matches!(self, Self::AliasDomain | Self::WebsocketEndpoint | Self::BackendOption)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_known_by_their_whole_name() {
        assert_eq!(Key::parse("interlock.ssl"), Some((Key::Ssl, 0)));
        assert_eq!(Key::parse("interlock.ext.name"), Some((Key::ExtName, 0)));
        assert_eq!(Key::parse("interlock.alias_domain"), Some((Key::AliasDomain, 0)));
        assert_eq!(Key::parse("interlock.alias_domain.0"), Some((Key::AliasDomain, 1)));
        assert_eq!(Key::parse("interlock.alias_domain.10"), Some((Key::AliasDomain, 11)));
        for other in [
            "interlock.ssl_",
            "interlock.port.1",
            "interlock.alias_domain.x",
            "interlock.alias_domain.+1",
            "interlock.alias_domains",
            "my.interlock.port",
            "Interlock.port",
            "interlock.",
        ] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }
}
