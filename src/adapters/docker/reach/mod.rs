//! The way to an engine that is not behind a local socket: TLS, or ssh. Docker's tools are led to it by a socket of drey's
//! own, so that none of them needs a certificate or a key.

mod bridge;
mod transport;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use bridge::Bridge;
pub(super) use transport::connect;

use crate::adapters::process::Command;
use crate::adapters::tls::{self, TlsFiles};
use crate::config::EngineTls;

/// Until there is a connection, encrypted.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Port of an engine behind TLS when none is given.
const USUAL_PORT: u16 = 2376;

/// Both directions of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An engine elsewhere.
#[derive(Clone)]
pub struct Reach(Arc<Way>);

enum Way {
    /// The files are read for each connection: they may be renewed.
    Tls {
        name: String,
        port: u16,
        files: TlsFiles,
    },
    Ssh {
        program: String,
        user: Option<String>,
        host: String,
        port: Option<String>,
        home: Option<PathBuf>,
    },
}

impl Reach {
    /// None for an engine that is spoken to directly: `unix://`, and `tcp://` without certificates. `host` was checked;
    /// `ssh` is the program, and the home of its configuration.
    pub fn of(host: &str, tls: Option<&EngineTls>, ssh: (&str, Option<PathBuf>)) -> Option<Self> {
        if let Some(place) = host.strip_prefix("ssh://") {
            return Some(Self::by_ssh(ssh.0, place, ssh.1));
        }
        let place = host.strip_prefix("tcp://")?;
        let EngineTls { ca, identity } = tls?.clone();
        let files = TlsFiles { ca, identity, called: "engine." };
        let (name, port) = match place.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().unwrap_or(USUAL_PORT)),
            Some(_) | None => (place, USUAL_PORT),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self(Arc::new(Way::Tls { name, port, files })))
    }

    fn by_ssh(program: &str, place: &str, home: Option<PathBuf>) -> Self {
        let (user, place) = match place.split_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, place),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port.to_owned())),
            None => (place.to_owned(), None),
        };
        Self(Arc::new(Way::Ssh { program: program.to_owned(), user, host, port, home }))
    }

    /// A new connection, on which the engine's HTTP is spoken.
    pub(super) async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match &*self.0 {
            Way::Ssh { program, user, host, port, home } => {
                let login = Login { user: user.as_deref(), host, port: port.as_deref() };
                let mut command = Command::new(program.as_str()).named("ssh").args(login.arguments());
                if let Some(home) = home {
                    command = command.env("HOME", home);
                }
                Ok(Box::new(command.talk().map_err(io::Error::other)?))
            }
            Way::Tls { name, port, files } => {
                let connecting = async {
                    let tcp = TcpStream::connect((name.as_str(), *port)).await?;
                    tcp.set_nodelay(true)?;
                    tls::connect(tcp, name, files).await
                };
                match timeout(CONNECT_LIMIT, connecting).await {
                    Ok(stream) => Ok(Box::new(stream?)),
                    Err(_elapsed) => {
                        let limit = CONNECT_LIMIT.as_secs();
                        Err(io::Error::other(format!("no connection within {limit} s")))
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Way::Tls { name, port, .. } => write!(f, "tls {name}:{port}"),
            Way::Ssh { host, .. } => write!(f, "ssh {host}"),
        }
    }
}

/// Where ssh goes.
struct Login<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
}

impl Login<'_> {
    /// As Docker's own client does it, and nobody is asked anything.
    fn arguments(&self) -> Vec<String> {
        let limit = format!("ConnectTimeout={}", CONNECT_LIMIT.as_secs());
        let mut arguments: Vec<String> = ["-T", "-o", "BatchMode=yes", "-o"].map(str::to_owned).to_vec();
        arguments.push(limit);
        for (option, value) in [("-l", self.user), ("-p", self.port)] {
            arguments.extend(value.into_iter().flat_map(|value| [option.to_owned(), value.to_owned()]));
        }
        arguments.extend(["--", self.host, "docker", "system", "dial-stdio"].map(str::to_owned));
        arguments
    }
}

#[cfg(test)]
mod tests;
