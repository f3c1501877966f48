//! The TLS handshake: what a client is shown depends on what its first message asks for.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{Acceptor, ClientHello};
use tokio_rustls::server::TlsStream;

use super::challenges::PROTOCOL;

/// Receives clients over TLS.
#[derive(Clone)]
pub(super) struct Handshakes {
    /// For an authority that validates a host; none where nobody was asked to.
    pub(super) validations: Option<Arc<ServerConfig>>,
}

impl Handshakes {
    /// The connection of a visitor; none where an authority looked, which is all that it wants.
    /// `choose` says how a visitor is received who asks for this host.
    pub(super) async fn receive<S>(
        &self,
        stream: S,
        choose: impl FnOnce(Option<&str>) -> Arc<ServerConfig>,
    ) -> io::Result<Option<TlsStream<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        if let Some(config) = &self.validations
            && is_validation(&begun.client_hello())
        {
            begun.into_stream(config.clone()).await?.shutdown().await?;
            return Ok(None);
        }
        let config = choose(begun.client_hello().server_name());
        begun.into_stream(config).await.map(Some)
    }
}

/// It offers this one protocol, and no other (RFC 8737, 3).
fn is_validation(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut protocols| protocols.next() == Some(PROTOCOL) && protocols.next().is_none())
}
