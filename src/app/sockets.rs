//! Listening sockets that the service manager holds and passes on (`packaging/drey.socket`): they outlive the daemon, so
//! that a restart refuses nobody.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, bail};
use listenfd::ListenFd;

use crate::config::Settings;
use crate::proxy;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Https,
    Http,
    Api,
}

/// As `FileDescriptorName=` says it.
const PURPOSES: [(Purpose, &str); 3] =
    [(Purpose::Https, "https"), (Purpose::Http, "http"), (Purpose::Api, "api")];

/// Those that were passed.
#[derive(Debug, Default)]
pub struct Sockets {
    pub(super) proxy: proxy::Sockets,
    pub(super) api: Option<TcpListener>,
}

/// Takes what was passed, and removes from the environment that it was. A socket is used instead of the address of
/// its key; where it has another port, that counts from now on. To be called while there is one thread only.
///
/// # Errors
/// When a socket is none, or it cannot be told what it is for.
pub fn take_sockets(settings: &mut Settings) -> anyhow::Result<Sockets> {
    let names = names();
    let mut passed = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for place in 0..passed.len() {
        let name = names.get(place).map_or("", String::as_str);
        let socket = passed
            .take_tcp_listener(place)
            .with_context(|| format!("socket {name:?}, number {place}, passed by the service manager"))?;
        let Some(socket) = socket else { continue };
        let address = socket.local_addr()?;
        let (slot, configured) = match purpose(name, address.port(), settings)? {
            Purpose::Https => (&mut sockets.proxy.https, &mut settings.proxy.https),
            Purpose::Http => (&mut sockets.proxy.http, &mut settings.proxy.http),
            Purpose::Api => {
                settings.http.listen = address;
                fill(&mut sockets.api, socket, name)?;
                continue;
            }
        };
        fill(slot, socket, name)?;
        // Its address as well: who may look by default depends on who reaches it.
        *configured = Some(address);
    }
    Ok(sockets)
}

#[expect(clippy::disallowed_methods, reason = "no setting: the service manager says it there")]
fn names() -> Vec<String> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    names.split(':').map(str::to_owned).collect()
}

/// By its name; else by its port: systemd gives all sockets of a unit one name.
fn purpose(name: &str, port: u16, settings: &Settings) -> anyhow::Result<Purpose> {
    if let Some((known, _)) = PURPOSES.into_iter().find(|(_, known)| *known == name) {
        return Ok(known);
    }
    let has_port = |address: Option<SocketAddr>| address.is_some_and(|address| address.port() == port);
    let configured = [settings.proxy.https, settings.proxy.http, Some(settings.http.listen)];
    match PURPOSES.into_iter().zip(configured).find(|(_, address)| has_port(*address)) {
        Some(((known, _), _)) => Ok(known),
        None => bail!(
            "a socket named {name:?} with port {port} was passed by the service manager, and nothing is configured for \
             it: write FileDescriptorName=https, http or api into its unit, or take the socket out"
        ),
    }
}

fn fill(slot: &mut Option<TcpListener>, socket: TcpListener, name: &str) -> anyhow::Result<()> {
    match slot.replace(socket) {
        None => Ok(()),
        Some(_) => bail!("two sockets for {name:?} were passed by the service manager: leave one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_its_name_else_by_its_port() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = "[proxy]\ndomain = \"qa.example\"\nhttps = \"0.0.0.0:443\"\nhttp = \"0.0.0.0:80\"\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::from_parts(Some(&file), &[]).unwrap();
        let told = |name: &str, port| purpose(name, port, &settings).map_err(|error| error.to_string());
        assert_eq!(told("https", 8443), Ok(Purpose::Https));
        assert_eq!(told("drey.socket", 443), Ok(Purpose::Https));
        assert_eq!(told("drey.socket", 80), Ok(Purpose::Http));
        assert_eq!(told("", 8420), Ok(Purpose::Api));
        assert!(told("drey.socket", 81).unwrap_err().contains("FileDescriptorName="));
    }
}
