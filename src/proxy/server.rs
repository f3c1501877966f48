//! The proxy as a whole: listeners, table, upkeep.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

use super::aside::aside;
use super::bounds::Bounds;
use super::challenges::Challenges;
use super::door::Door;
use super::front::Front;
use super::gate::Gate;
use super::in_force::InForce;
use super::keepalive;
use super::limits::Limits;
use super::listener::Listener;
use super::pages::Pages;
use super::pool::Dialer;
use super::redirect::Redirect;
use super::renewal::Renewal;
use super::seats::Seats;
use super::serving::Service;
use super::settings::{ProxyError, ProxySettings, Sockets, TlsRules};
use super::table::Table;
use super::tls::{Acme, Tls};
use super::upstream_tls::TlsClient;
use super::waiting::WaitingRoom;
use crate::domain::dashboard::Origin;
use crate::domain::names::EnvironmentId;
use crate::domain::network::Network;
use crate::domain::presence::Presence;
use crate::domain::route::RouteTable;
use crate::domain::time::Timestamp;
use crate::domain::visitors::KnownTokens;
use crate::ports::meters::Answers;
use crate::ports::traffic::Traffic;
use crate::ports::{Clock, RoutePublisher, Visitors};
use crate::supervisor::Supervisor;

/// How often idle connections to containers are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// Knocks that wait for whoever wakes; each visitor's page knocks again by itself.
const KNOCK_BUFFER: usize = 64;

/// A running proxy.
pub struct Proxy {
    gate: Arc<Gate>,
    heard: Mutex<Option<mpsc::Receiver<EnvironmentId>>>,
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    renewal: Option<Arc<Renewal>>,
    front: Option<Arc<Front>>,
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
        Self::on(settings, Sockets::default(), supervisor, clock).await
    }

    /// The same on sockets that listen already.
    ///
    /// # Errors
    /// Names the key, the reason and the way out.
    pub async fn on(
        settings: ProxySettings,
        sockets: Sockets,
        supervisor: &Supervisor,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProxyError> {
        let limits = Limits::of(&settings.bounds);
        Self::start(settings, limits, sockets, supervisor, clock).await
    }

    #[cfg(test)]
    pub(super) async fn bind_within(
        settings: ProxySettings,
        limits: Limits,
        supervisor: &Supervisor,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProxyError> {
        Self::start(settings, limits, Sockets::default(), supervisor, clock).await
    }

    async fn start(
        settings: ProxySettings,
        limits: Limits,
        sockets: Sockets,
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
        let (bounds, seats) = (gate.bounds.clone(), Seats::default());
        let places = Arc::new(Semaphore::new(limits.connections));
        let heard = Mutex::new(Some(heard));
        let mut proxy =
            Self { gate: gate.clone(), heard, https: None, http: None, renewal: None, front: None };
        let (mut authority, mut challenges) = (None, None);
        if let Some(address) = settings.https {
            let tls = Tls::new(&settings, &provider, now)?;
            let socket = listen("proxy.https", address, sockets.https).await?;
            proxy.https = socket.local_addr().ok();
            authority = tls.authority;
            let (renewal, clock, draining) = (tls.renewal.clone(), gate.clock.clone(), supervisor.draining());
            supervisor.spawn("certificate", async move { renewal.run(clock, draining).await });
            proxy.renewal = Some(tls.renewal);
            challenges = tls.acme.map(|acme| issue(acme, &gate, supervisor));
            let front = Arc::new(Front::new(gate.clone(), tls.handshakes, tls.policies));
            proxy.front = Some(front.clone());
            let service = Service::Gate(gate.clone());
            let (places, supervisor) = (places.clone(), supervisor.clone());
            let (seats, bounds) = (seats.clone(), bounds.clone());
            run(Listener { socket, tls: Some(front), service, places, seats, bounds, supervisor });
        }
        if let Some(address) = settings.http {
            let socket = listen("proxy.http", address, sockets.http).await?;
            proxy.http = socket.local_addr().ok();
            let service = match proxy.https {
                Some(https) => {
                    let https_port = https.port();
                    Service::Redirect(Arc::new(Redirect { https_port, authority, challenges }))
                }
                None => Service::Gate(gate.clone()),
            };
            let supervisor = supervisor.clone();
            run(Listener { socket, tls: None, service, places, seats, bounds, supervisor });
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

    /// Reads the certificates again: handshakes from now on get what is there now. One that is due is ordered.
    ///
    /// # Errors
    /// When it cannot be read; then the old one stays in use.
    pub async fn renew_certificate(&self) -> Result<(), ProxyError> {
        let Some(renewal) = self.renewal.clone() else { return Ok(()) };
        renewal.nudge();
        let now = self.gate.clock.now();
        aside(move || renewal.renew(now)).await
    }

    /// What visitors asked for since the daemon began, by environment.
    pub fn traffic(&self) -> Vec<Traffic> {
        self.gate.table.traffic()
    }

    /// Handshakes and answers from now on go by these rules.
    ///
    /// # Errors
    /// When a file that they name cannot be read; then nothing changes.
    pub fn set_tls_rules(&self, rules: &TlsRules) -> Result<(), ProxyError> {
        self.front.as_ref().map_or(Ok(()), |front| front.set_rules(rules))
    }

    /// From now on these count, for new connections and requests; the number of connections in all stays.
    pub fn tune(&self, bounds: &Bounds) {
        self.gate.bounds.replace(bounds);
    }

    /// The proxy in front of this one has these addresses now: its word on the client is believed.
    pub fn stands_in_front(&self, addresses: &[IpAddr]) {
        let networks = addresses.iter().filter_map(|address| Network::parse(&address.to_string()).ok());
        self.gate.bounds.stands_in_front(networks.collect());
    }

    /// From now on pages link to the dashboard there.
    pub fn link_to(&self, dashboard: Option<Origin>) {
        self.gate.pages.link_to(dashboard);
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

#[async_trait]
impl Visitors for Proxy {
    fn take_visits(&self) -> Vec<(EnvironmentId, Timestamp)> {
        self.gate.table.take_visits()
    }

    fn presence(&self, environment: EnvironmentId) -> Presence {
        self.gate.table.presence(environment)
    }

    async fn dismiss(&self, environment: EnvironmentId) {
        if let Some(visits) = self.gate.table.visits(environment) {
            visits.dismiss().await;
        }
    }

    fn cut(&self, environment: EnvironmentId) {
        if let Some(visits) = self.gate.table.visits(environment) {
            visits.cut();
        }
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
    let tls = Arc::new(TlsClient::new(None, provider).map_err(ProxyError::Tls)?);
    let bounds = Arc::new(InForce::new(limits, settings.bounds.trusted_proxies.clone()));
    Ok(Gate {
        table: Table::new(
            Dialer {
                supervisor: supervisor.clone(),
                bounds: bounds.clone(),
                provider: provider.clone(),
                tls,
            },
            clock.clone(),
        ),
        pages: Pages::new(settings.dashboard_url.clone()),
        waiting: WaitingRoom::new(settings.hold),
        clock,
        supervisor: supervisor.clone(),
        draining: supervisor.draining(),
        bounds,
        knocks,
        answers: Answers::new(),
        door: Door::default(),
        robots: settings.robots,
        access_log: settings.access_log.clone(),
    })
}

/// Orders certificates from now on; gives back what shows that hosts are ours.
fn issue(acme: Acme, gate: &Arc<Gate>, supervisor: &Supervisor) -> Arc<Challenges> {
    let (gate, draining) = (gate.clone(), supervisor.draining());
    let issuer = acme.issuer;
    supervisor.spawn("issuer", async move { issuer.run(&gate.table, gate.clock.clone(), draining).await });
    acme.challenges
}

async fn listen(
    key: &'static str,
    address: SocketAddr,
    passed: Option<std::net::TcpListener>,
) -> Result<TcpListener, ProxyError> {
    let listener = match passed {
        None => bind(key, address).await?,
        Some(socket) => {
            let taken = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
            taken.map_err(|error| ProxyError::Listen { key, address, reason: error.to_string() })?
        }
    };
    if let Err(error) = keepalive::ask_the_silent(&listener) {
        tracing::warn!(%error, key, "clients that vanish will not be noticed");
    }
    Ok(listener)
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, ProxyError> {
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
