//! The proxy as a whole: listeners, table, upkeep.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

use super::door::Door;
use super::gate::Gate;
use super::limits::Limits;
use super::listener::{Listener, Service};
use super::pages::Pages;
use super::pool::Dialer;
use super::redirect::Redirect;
use super::settings::{ProxyError, ProxySettings};
use super::table::Table;
use super::tls::{Renewal, Tls};
use super::upstream_tls;
use crate::domain::names::EnvironmentId;
use crate::domain::route::RouteTable;
use crate::domain::time::Timestamp;
use crate::domain::visitors::KnownTokens;
use crate::ports::meters::Answers;
use crate::ports::traffic::Traffic;
use crate::ports::{Clock, RoutePublisher};
use crate::supervisor::Supervisor;

/// How often idle connections to containers are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// Knocks that wait for whoever wakes; each visitor's page knocks again by itself.
const KNOCK_BUFFER: usize = 64;

/// A running proxy.
pub struct Proxy {
    gate: Arc<Gate>,
    heard: Mutex<Option<mpsc::Receiver<EnvironmentId>>>,
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    renewal: Option<Arc<Renewal>>,
}

impl Proxy {
    /// Binds the listeners and begins to answer; until a table is published every host is unknown.
    ///
    /// # Errors
    /// Names the key, the reason and the way out.
    pub async fn bind(
        settings: ProxySettings,
        supervisor: &Supervisor,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProxyError> {
        Self::bind_within(settings, Limits::new(), supervisor, clock).await
    }

    pub(super) async fn bind_within(
        settings: ProxySettings,
        limits: Limits,
        supervisor: &Supervisor,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProxyError> {
        if settings.https.is_none() && settings.http.is_none() {
            return Err(ProxyError::NothingToListenOn);
        }
        let provider = Arc::new(ring::default_provider());
        let now = clock.now();
        let (knocks, heard) = mpsc::channel(KNOCK_BUFFER);
        let gate = Arc::new(gate(&settings, limits, supervisor, clock, &provider, knocks)?);
        let places = Arc::new(Semaphore::new(limits.connections));
        let heard = Mutex::new(Some(heard));
        let mut proxy = Self { gate: gate.clone(), heard, https: None, http: None, renewal: None };
        let mut authority = None;
        if let Some(address) = settings.https {
            let tls = Tls::new(&settings, &provider, now)?;
            let socket = listen("proxy.https", address).await?;
            proxy.https = socket.local_addr().ok();
            authority = tls.authority;
            let (renewal, clock, draining) = (tls.renewal.clone(), gate.clock.clone(), supervisor.draining());
            supervisor.spawn("certificate", async move { renewal.run(clock, draining).await });
            proxy.renewal = Some(tls.renewal);
            let service = Service::Gate(gate.clone());
            let (places, supervisor) = (places.clone(), supervisor.clone());
            run(Listener { socket, tls: Some(tls.acceptor), service, places, limits, supervisor });
        }
        if let Some(address) = settings.http {
            let socket = listen("proxy.http", address).await?;
            proxy.http = socket.local_addr().ok();
            let service = match proxy.https {
                Some(https) => Service::Redirect(Arc::new(Redirect { https_port: https.port(), authority })),
                None => Service::Gate(gate.clone()),
            };
            run(Listener { socket, tls: None, service, places, limits, supervisor: supervisor.clone() });
        }
        supervisor.spawn("proxy upkeep", async move { upkeep(gate).await });
        Ok(proxy)
    }

    /// Where HTTPS is really listened on.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Where HTTP is really listened on.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Environments that sleep and somebody stands at their door, as they knock. Given once.
    pub fn knocks(&self) -> Option<mpsc::Receiver<EnvironmentId>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reads the certificate again: handshakes from now on get what is there now.
    ///
    /// # Errors
    /// When it cannot be read; then the old one stays in use.
    pub fn renew_certificate(&self) -> Result<(), ProxyError> {
        self.renewal.as_ref().map_or(Ok(()), |renewal| renewal.renew(self.gate.clock.now()))
    }

    /// What visitors asked for since the daemon began, by environment.
    pub fn traffic(&self) -> Vec<Traffic> {
        self.gate.table.traffic()
    }

    /// The last visit of each environment that had one since this was last asked.
    pub fn take_visits(&self) -> Vec<(EnvironmentId, Timestamp)> {
        self.gate.table.take_visits()
    }
}

impl RoutePublisher for Proxy {
    fn publish(&self, table: RouteTable) {
        self.gate.table.publish(table);
    }

    fn know(&self, tokens: KnownTokens) {
        self.gate.door.know(tokens);
    }
}

fn gate(
    settings: &ProxySettings,
    limits: Limits,
    supervisor: &Supervisor,
    clock: Arc<dyn Clock>,
    provider: &Arc<CryptoProvider>,
    knocks: mpsc::Sender<EnvironmentId>,
) -> Result<Gate, ProxyError> {
    let tls = upstream_tls::unverified(provider).map_err(|error| ProxyError::Tls(error.to_string()))?;
    Ok(Gate {
        table: Table::new(Dialer { supervisor: supervisor.clone(), tls }),
        pages: Pages::new(settings.dashboard_url.clone()),
        clock,
        supervisor: supervisor.clone(),
        draining: supervisor.draining(),
        limits,
        knocks,
        answers: Answers::new(),
        door: Door::default(),
        robots: settings.robots,
        access_log: settings.access_log.clone(),
    })
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, ProxyError> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::AddrInUse {
            "; another program listens there, end it or choose another port"
        } else if error.kind() == std::io::ErrorKind::PermissionDenied {
            "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
        } else {
            ""
        };
        ProxyError::Listen { key, address, reason: format!("{error}{hint}") }
    })
}

fn run(listener: Listener) {
    let supervisor = listener.supervisor.clone();
    supervisor.spawn("listener", listener.run());
}

async fn upkeep(gate: Arc<Gate>) {
    loop {
        tokio::select! {
            () = gate.draining.cancelled() => return gate.table.drain(),
            () = tokio::time::sleep(SWEEP_EVERY) => gate.table.sweep(),
        }
    }
}
