//! The way to a daemon elsewhere: its address, the connection, and whom of certificates is trusted.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::{self, Secret};

/// A daemon that is asked over HTTP, with a token.
#[derive(Debug)]
pub struct Server {
    host: String,
    port: u16,
    is_tls: bool,
    token: Secret,
}

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Server {
    /// The server of the command line, else of `DREY_SERVER`; none when neither names one.
    ///
    /// # Errors
    /// When the address is no good, or there is no token for it.
    pub fn named(argument: Option<&str>) -> Result<Option<Self>, String> {
        let environment = config::environment();
        let named = environment.iter().find(|(name, value)| name == config::SERVER && !value.is_empty());
        let Some(url) = argument.or(named.map(|(_, value)| value.as_str())) else { return Ok(None) };
        let (host, port, is_tls) = parse(url)?;
        let token = config::token(&environment)?;
        Ok(Some(Self { host, port, is_tls, token }))
    }

    /// As the `Host` header has it.
    pub fn authority(&self) -> String {
        let usual = if self.is_tls { 443 } else { 80 };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// As the `Authorization` header has it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token.reveal())
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody answers there, or its certificate is not trusted.
    pub async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true).ok();
        if !self.is_tls {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(encrypted(stream, &self.host, trusted()).await?))
    }
}

async fn encrypted(
    stream: TcpStream,
    host: &str,
    roots: RootCertStore,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from(host.to_owned())?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// What the system trusts, or the file that `SSL_CERT_FILE` names.
fn trusted() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Host, port, and whether it is encrypted.
fn parse(url: &str) -> Result<(String, u16, bool), String> {
    let wrong = || format!("--server: {url:?} is no address such as https://drey.example");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let is_tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(wrong()),
    };
    let authority: http::uri::Authority =
        rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_error| wrong())?;
    if authority.as_str().contains('@') {
        return Err("--server: a user or password has no place in the address".to_owned());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(wrong());
    }
    if !is_tls && !is_this_machine(&host) {
        return Err(format!(
            "--server: over http:// everybody on the way to {host} could read the token; use https://, or a tunnel \
             (`ssh -L 8420:127.0.0.1:8420 …`) and http://127.0.0.1:8420"
        ));
    }
    Ok((host, authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }), is_tls))
}

fn is_this_machine(host: &str) -> bool {
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;

    use super::*;

    #[test]
    fn an_address_is_read_and_a_token_is_not_sent_in_the_open() {
        let read = |url: &str| parse(url).unwrap();
        assert_eq!(read("https://drey.example"), ("drey.example".to_owned(), 443, true));
        assert_eq!(read("https://drey.example:8443/"), ("drey.example".to_owned(), 8443, true));
        assert_eq!(read("http://127.0.0.1:8420"), ("127.0.0.1".to_owned(), 8420, false));
        assert_eq!(read("http://[::1]:8420"), ("::1".to_owned(), 8420, false));
        for bad in ["drey.example", "ftp://x", "https://", "https://u:p@x", "https://x/path", "https://x y"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let open = parse("http://drey.example").unwrap_err();
        assert!(open.contains("https://") && open.contains("ssh -L"), "{open}");
    }
    #[tokio::test]
    async fn a_server_is_believed_only_with_a_certificate_of_whom_is_trusted() {
        let made = rcgen::generate_simple_self_signed(["drey.example".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut ours = RootCertStore::empty();
        ours.add(made.cert.der().clone()).unwrap();
        for (host, roots, is_fine) in [
            ("drey.example", ours.clone(), true),
            ("other.example", ours, false),
            ("drey.example", trusted(), false),
        ] {
            let accepted = async {
                let (stream, _) = listener.accept().await.unwrap();
                acceptor.accept(stream).await.is_ok()
            };
            let connected = async {
                let stream = TcpStream::connect(address).await.unwrap();
                encrypted(stream, host, roots).await.is_ok()
            };
            let (_, connected) = tokio::join!(accepted, connected);
            assert_eq!(connected, is_fine, "{host}");
        }
    }
}
