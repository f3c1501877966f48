//! Who asks: over TLS, the certificate checked against drey's own authority.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::front::Front;

/// A connection that is kept.
pub(crate) struct Visitor {
    host: String,
    stream: TlsStream<TcpStream>,
}

/// Status and all of the text, head and body.
pub(crate) type Answer = (u16, String);

impl Visitor {
    pub(crate) async fn come(front: &Front, host: &str) -> std::io::Result<Self> {
        Self::to(front.https, connector(front), host).await
    }

    pub(crate) async fn to(
        address: SocketAddr,
        connector: TlsConnector,
        host: &str,
    ) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        Ok(Self { host: host.to_owned(), stream: connector.connect(name, stream).await? })
    }

    pub(crate) async fn ask(&mut self, line: &str, more: &str, body: &str) -> std::io::Result<Answer> {
        let host = &self.host;
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte).await?;
            text.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&text).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lower = head.to_lowercase();
        if let Some(length) = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()) {
            let mut body = vec![0; length.trim().parse().unwrap()];
            self.stream.read_exact(&mut body).await?;
            text.extend(body);
        }
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Becomes a tunnel that gives back each byte.
    pub(crate) async fn upgrade(mut self) -> TlsStream<TcpStream> {
        let more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Version: 13\r\n";
        let (status, text) = self.ask("GET /ws", more, "").await.unwrap();
        assert_eq!(status, 101, "{text}");
        self.stream
    }
}

pub(crate) async fn echoes(tunnel: &mut TlsStream<TcpStream>, word: &str) -> bool {
    let mut back = vec![0; word.len()];
    tunnel.write_all(word.as_bytes()).await.is_ok()
        && tunnel.read_exact(&mut back).await.is_ok()
        && back == word.as_bytes()
}

/// One request over a connection of its own.
pub(crate) async fn get(front: &Front, host: &str) -> std::io::Result<Answer> {
    Visitor::come(front, host).await?.ask("GET /", "Connection: close\r\n", "").await
}

pub(crate) fn connector(front: &Front) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(front.authority()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
