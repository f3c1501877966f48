//! Accepts connections and drives each in a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connection::ConnectionInfo;
use super::front::Front;
use super::in_force::InForce;
use super::limits::Limits;
use super::seats::Seats;
use super::serving::{Service, Serving};
use crate::supervisor::Supervisor;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Pause after `accept` failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listening socket.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<Arc<Front>>,
    pub(super) service: Service,
    pub(super) places: Arc<Semaphore>,
    pub(super) seats: Seats,
    pub(super) bounds: Arc<InForce>,
    pub(super) supervisor: Supervisor,
}

impl Listener {
    /// Until the daemon drains.
    pub(super) async fn run(self) {
        let draining = self.supervisor.draining();
        loop {
            // At the limit nobody is accepted: clients wait in the kernel's queue instead of being cut.
            let place = tokio::select! {
                () = draining.cancelled() => return,
                place = self.places.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let accepted = tokio::select! {
                () = draining.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.receive(stream, peer, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn receive(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let trusted = self.bounds.trusting(peer.ip());
        let limits = self.bounds.limits();
        // Behind a proxy are many: they are not counted as one.
        let most = limits.per_address.filter(|_| trusted.is_none());
        let seat = most.map(|most| self.seats.take(peer.ip(), most));
        if matches!(seat, Some(None)) {
            tracing::debug!(%peer, "the address has too many connections");
            return;
        }
        let info =
            ConnectionInfo::new(peer, self.tls.is_some(), place).trusted(trusted).seated(seat.flatten());
        self.spawn(stream, peer, Arc::new(info), limits);
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, info: Arc<ConnectionInfo>, limits: Limits) {
        let (tls, draining) = (self.tls.clone(), self.supervisor.draining());
        let front = tls.clone();
        let serving = Serving { service: self.service.clone(), front, info: info.clone(), limits, draining };
        self.supervisor.spawn("connection", async move {
            stream.set_nodelay(true).ok();
            let served = match tls {
                None => serving.in_plain(stream).await,
                // In a box: it is large, and over soon.
                Some(tls) => match timeout(HANDSHAKE_LIMIT, Box::pin(tls.receive(stream, &info))).await {
                    Ok(Ok(Some(stream))) => serving.over_tls(Box::new(stream)).await,
                    Ok(Ok(None)) => Ok(()),
                    Ok(Err(error)) => Err(error.into()),
                    Err(_slow) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                },
            };
            if let Err(error) = served {
                tracing::debug!(error, %peer, "a client's connection ended");
            }
        });
    }
}
