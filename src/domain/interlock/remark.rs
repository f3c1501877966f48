//! What is told of a label that does not do here what it did with Interlock.

use super::key::Key;

/// What becomes of a label in a branch's compose file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// It means the same, or nothing is lost.
    None,
    /// It has no effect, or another one.
    Note(&'static str),
    /// A branch may not say this.
    Refused(&'static str),
}

/// About one label of a service; none where it is no label of Interlock's.
pub fn remark(label: &str, value: &str) -> Remark {
    if !label.starts_with(super::PREFIX) {
        return Remark::None;
    }
    let Some((key, _)) = Key::parse(label) else {
        return Remark::Note("Interlock knew no such label; it has no effect");
    };
    match key {
        Key::Hostname => Remark::Note(
            "a branch lives under its own name: the service gets this as its part of it (`<slug>--<part>`), or the branch's name itself where it is the primary",
        ),
        Key::Domain => Remark::Note(
            "a branch lives under the domain of the proxy; this tells only which services share a name",
        ),
        Key::AliasDomain => Remark::Note(
            "a branch has no names but its own: the alias becomes a further part of it (`<slug>--<alias>`)",
        ),
        Key::SslCert | Key::SslPrivate if value.contains(['/', '\\']) => {
            Remark::Refused("it names a file of the host")
        }
        Key::SslCert | Key::SslPrivate => {
            Remark::Note("the certificates of branches are set in [proxy.tls]; it has no effect")
        }
        Key::BackendOption => Remark::Note(
            "it is a line of another proxy's configuration, which no branch writes; it has no effect",
        ),
        Key::HealthCheckInterval => {
            Remark::Note("drey asks when a container changes and when a request fails; it has no effect")
        }
        Key::App | Key::ExtName => Remark::Note("a proxy of Interlock's gets no address"),
        Key::Network
        | Key::Port
        | Key::ContextRoot
        | Key::ContextRootRewrite
        | Key::Ssl
        | Key::SslOnly
        | Key::SslBackend
        | Key::SslBackendTlsVerify
        | Key::WebsocketEndpoint
        | Key::HealthCheck
        | Key::BalanceAlgorithm
        | Key::IpHash => Remark::None,
    }
}
