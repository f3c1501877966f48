//! Which HTTP a container speaks: by its scheme, or as it chooses in the TLS handshake (ALPN).

use std::io;
use std::sync::Arc;

use tokio::time::Instant;

use super::line::Line;
use super::pool::{BUFFER_SIZE, Pool, within};
use super::upstream_tls::Offer;
use crate::domain::route::Scheme;

impl Pool {
    /// Whether a request is to be HTTP/2; an upgrade never is where there is a choice. Where the container has not
    /// chosen yet, a connection is made, and kept.
    pub(super) async fn speaks_http2(
        self: &Arc<Self>,
        is_upgrade: bool,
        connect_by: Option<Instant>,
    ) -> io::Result<bool> {
        match self.scheme() {
            Scheme::H2c => Ok(true),
            Scheme::Http | Scheme::Tcp => Ok(false),
            Scheme::Https if is_upgrade => Ok(false),
            Scheme::Https => match self.chosen.is_http2() {
                Some(http2) => Ok(http2),
                None => within(Some(self.connect_by(connect_by)), Box::pin(self.negotiate())).await,
            },
        }
    }

    async fn negotiate(self: &Arc<Self>) -> io::Result<bool> {
        let _only_one_dials = self.dialing.lock().await;
        if let Some(http2) = self.chosen.is_http2() {
            return Ok(http2);
        }
        let stream = self.connect(Offer::Either).await?;
        let is_http2 = stream.is_http2();
        if is_http2 {
            self.share(stream).await?;
        } else {
            self.put(Line::begin(stream, BUFFER_SIZE).await?);
        }
        self.chosen.set(is_http2);
        Ok(is_http2)
    }
}
