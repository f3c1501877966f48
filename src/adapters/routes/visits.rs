//! Who comes to environments past drey's gate: what the proxy tells of each request, and which connections to containers
//! are open.
//!
//! Both are needed. A request that is over leaves no connection, and a WebSocket of an hour is told when it ends.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::container::Seat;
use super::publisher::Tables;
use crate::domain::names::EnvironmentId;
use crate::domain::presence::Presence;
use crate::domain::route::{Answer, RouteTable};
use crate::domain::time::Timestamp;
use crate::ports::{Clock, Visitors};

/// How often connections are looked at: a proxy keeps one that is idle for longer.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What this machine's connections are told in.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// State of a connection that both sides have open.
const ESTABLISHED: &str = "01";
/// A message is a host and a few words.
const LARGEST_MESSAGE: usize = 4096;

/// What is known of those who pass.
pub struct Passing {
    tables: Tables,
    clock: Arc<dyn Clock>,
    /// The container of the proxy, whose connections this machine's tables do not tell.
    seat: Option<watch::Receiver<Seat>>,
    seen: Mutex<BTreeMap<EnvironmentId, Timestamp>>,
    open: Mutex<BTreeMap<EnvironmentId, usize>>,
}

impl Passing {
    pub fn new(tables: Tables, clock: Arc<dyn Clock>) -> Self {
        Self { tables, clock, seat: None, seen: Mutex::default(), open: Mutex::default() }
    }

    /// The same for a proxy in a container.
    #[must_use]
    pub fn beside(self, seat: watch::Receiver<Seat>) -> Self {
        Self { seat: Some(seat), ..self }
    }

    /// What tells which connections are open.
    fn sources(&self) -> Vec<String> {
        let process = self.seat.as_ref().and_then(|seat| seat.borrow().first_process);
        let of_container =
            process.iter().flat_map(|it| TABLES.map(|path| path.replace("self", &it.to_string())));
        TABLES.iter().map(ToString::to_string).chain(of_container).collect()
    }

    /// Hears of requests and looks at connections until the daemon ends.
    pub async fn watch(&self, socket: Option<&Path>, ending: CancellationToken) {
        let hears = async {
            match socket.map(bind) {
                None => {}
                Some(Ok(socket)) => self.hear(&socket).await,
                Some(Err(error)) => {
                    tracing::error!(%error, "requests past the gate are not heard of: only open connections count as use");
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ending.cancelled() => {}
            () = hears => {}
            () = self.look() => {}
        }
    }

    async fn hear(&self, socket: &UnixDatagram) {
        let mut buffer = vec![0; LARGEST_MESSAGE];
        loop {
            match socket.recv(&mut buffer).await {
                Ok(length) => {
                    let message = buffer.get(..length).unwrap_or_default();
                    if let Some(host) = host_of(&String::from_utf8_lossy(message)) {
                        self.requested(host);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a request past the gate was not heard of");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    fn requested(&self, host: &str) {
        let table = self.tables.borrow().clone();
        let Some(route) = table.as_ref().and_then(|table| table.hosts.get(host)) else { return };
        // What is not served is the gate's to count.
        if matches!(route.answer, Answer::Proxy(_)) {
            lock(&self.seen).insert(route.environment, self.clock.now());
        }
    }

    async fn look(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(table) = self.tables.borrow().clone() else { continue };
            let targets = targets(&table);
            let mut open = BTreeMap::new();
            for path in self.sources() {
                let text = tokio::fs::read_to_string(path).await.unwrap_or_default();
                for environment in connected(&text).filter_map(|address| targets.get(&address)) {
                    *open.entry(*environment).or_insert(0) += 1;
                }
            }
            let now = self.clock.now();
            lock(&self.seen).extend(open.keys().map(|environment| (*environment, now)));
            *lock(&self.open) = open;
        }
    }
}

/// The gate's visitors, and those who pass it.
pub struct AllVisitors {
    pub gate: Arc<dyn Visitors>,
    pub passing: Arc<Passing>,
}

#[async_trait]
impl Visitors for AllVisitors {
    fn take_visits(&self) -> Vec<(EnvironmentId, Timestamp)> {
        let mut all = std::mem::take(&mut *lock(&self.passing.seen));
        for (environment, at) in self.gate.take_visits() {
            let newest = all.entry(environment).or_insert(at);
            *newest = (*newest).max(at);
        }
        all.into_iter().collect()
    }

    fn presence(&self, environment: EnvironmentId) -> Presence {
        let gate = self.gate.presence(environment);
        let passing = lock(&self.passing.open).get(&environment).copied().unwrap_or_default();
        Presence { requests: gate.requests.max(passing), ..gate }
    }

    /// What passes the gate ends with its container.
    async fn dismiss(&self, environment: EnvironmentId) {
        self.gate.dismiss(environment).await;
    }

    /// What passes the gate is the other proxy's to end.
    fn cut(&self, environment: EnvironmentId) {
        self.gate.cut(environment);
    }
}

/// Workers of the proxy are other users.
fn bind(path: &Path) -> std::io::Result<UnixDatagram> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::remove_file(path).ok();
    let socket = UnixDatagram::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(socket)
}

/// The last word of a message of syslog (RFC 3164).
fn host_of(message: &str) -> Option<&str> {
    let host = message.trim_end().rsplit([' ', '\t']).next()?;
    (!host.is_empty()).then_some(host)
}

/// Addresses of containers that routes lead to, with whose they are.
fn targets(table: &RouteTable) -> BTreeMap<SocketAddr, EnvironmentId> {
    let mut targets = BTreeMap::new();
    for route in table.hosts.values() {
        let Answer::Proxy(upstream) = &route.answer else { continue };
        let others = upstream.others.iter().map(|replica| replica.address);
        targets.extend(others.chain([upstream.address]).map(|address| (address, route.environment)));
    }
    targets
}

/// The far ends of connections that are open, of what `/proc/net/tcp` or `tcp6` says.
fn connected(text: &str) -> impl Iterator<Item = SocketAddr> {
    text.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(2);
        let (remote, state) = (fields.next()?, fields.next()?);
        if state != ESTABLISHED {
            return None;
        }
        let (address, port) = remote.split_once(':')?;
        Some(SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?))
    })
}

/// Words of 32 bits, each as this machine has it in memory.
fn address_of(text: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..text.len())
        .step_by(8)
        .map(|at| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    match words?.as_slice() {
        [word] => Some(IpAddr::V4(Ipv4Addr::from(*word))),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_message_ends_with_the_host() {
        assert_eq!(host_of("<190>Nov 29 22:40:01 drey: a.qa.example"), Some("a.qa.example"));
        assert_eq!(host_of("<190>Nov 29 22:40:01 drey: a.qa.example\n"), Some("a.qa.example"));
        assert_eq!(host_of(""), None);
    }

    #[tokio::test]
    async fn what_is_open_is_seen_by_its_far_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = || {
            let text = std::fs::read_to_string(TABLES[0]).unwrap();
            connected(&text).collect::<BTreeSet<_>>().contains(&address)
        };
        assert!(!seen());
        let stream = TcpStream::connect(address).await.unwrap();
        assert!(seen());
        drop(stream);
        assert_eq!(address_of("0100007F"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(address_of("0000000000000000FFFF00000100007F"), Some("127.0.0.1".parse().unwrap()));
        assert!(address_of("01").is_none() && address_of("").is_none());
    }
}
