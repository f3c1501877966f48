//! `HAProxy`, 2.4 and newer, with a master process.

mod changes;
mod socket;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::disk::{Disk, Rendered};
use super::driver::{Driver, Running};
use super::fault::Fault;
use super::model::{Abilities, Frame, Model};
use super::place::Place;
use crate::adapters::process::Told;
use crate::adapters::template::render_proxy;
use socket::Socket;
use values::Values;

/// The file that `HAProxy` is started with.
pub const FILE: &str = "haproxy.cfg";
/// Host → backend.
const HOSTS: &str = "hosts.map";
/// Host → what is asked of its visitors' TLS.
const POLICIES: &str = "policies.map";
/// Certificates, each with its hosts.
const CERTIFICATES: &str = "crt.list";

/// How this `HAProxy` is run.
#[derive(Clone, Debug)]
pub struct HaproxySettings {
    /// The user and group of its workers; none: as it was started.
    pub user: Option<String>,
    /// The operator's templates.
    pub templates: Option<PathBuf>,
    /// Where drey hears of requests.
    pub visits: Option<PathBuf>,
}

/// An `HAProxy` that reads what drey writes, and is told by its socket what needs no reading.
pub struct Haproxy {
    place: Arc<dyn Place>,
    disk: Disk,
    settings: HaproxySettings,
    socket: Socket,
}

impl Haproxy {
    pub fn new(place: Arc<dyn Place>, disk: Disk, settings: HaproxySettings) -> Self {
        let socket = Socket::new(disk.run().join("haproxy.sock"));
        Self { place, disk, settings, socket }
    }
}

#[async_trait]
impl Driver for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn abilities(&self) -> Abilities {
        Abilities { h2c: true, sticky: true, timeout: true, ..Abilities::default() }
    }

    async fn render(&self, frame: &Frame, model: &Model) -> Result<Rendered, Fault> {
        let values = Values { frame, model, disk: &self.disk, settings: &self.settings };
        let (json, pems) = values.read();
        let text = render_proxy(self.name(), FILE, self.settings.templates.as_deref(), &json);
        let text = text.map_err(|error| Fault::Template(error.to_string()))?;
        let mut files = BTreeMap::from([
            (FILE.to_owned(), text),
            (HOSTS.to_owned(), values::hosts(model)),
            (POLICIES.to_owned(), values::policies(model)),
        ]);
        if frame.https.is_some() {
            files.insert(CERTIFICATES.to_owned(), values::certificates(frame, model, &self.disk.store()));
        }
        Ok(Rendered::new(files, pems))
    }

    async fn validate(&self, folder: &Path) -> Result<(), Fault> {
        let file = folder.join(FILE).display().to_string();
        let said = self.place.run(vec!["-c".to_owned(), "-f".to_owned(), file]).await?;
        if said.ok { Ok(()) } else { Err(refusal(&said.text)) }
    }

    fn is_adjustable(&self) -> bool {
        true
    }

    async fn adjust(&self, read: &Running, from: &Model, to: &Model) -> Result<bool, Fault> {
        let store = self.disk.store();
        let listed = |model: &Model| values::certificates(&read.frame, model, &store);
        if values::policies(from) != values::policies(to) || listed(from) != listed(to) {
            return Ok(false);
        }
        let map = self.disk.generation(&read.rendered.mark).join(HOSTS).display().to_string();
        let Some(commands) = changes::commands(&map, (&read.model, from, to)) else { return Ok(false) };
        for command in commands {
            let answer = self.socket.ask(&command).await?;
            if !changes::is_done(&answer) {
                tracing::warn!(
                    command,
                    answer,
                    "HAProxy did not take a change while it runs: it reads its files again"
                );
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reload(&self) -> Result<(), Fault> {
        self.place.tell(Told::User2).await
    }

    async fn serving(&self) -> Option<String> {
        let info = self.socket.ask("show info").await.ok()?;
        let mark = info.lines().find_map(|line| line.strip_prefix("description: "))?;
        Some(mark.trim().to_owned())
    }
}

/// A full disk is none of the configuration's faults.
fn refusal(text: &str) -> Fault {
    let fatal: Vec<&str> = text.lines().filter(|line| line.contains("[ALERT]")).collect();
    let text = if fatal.is_empty() { text.to_owned() } else { fatal.join("; ") };
    match crate::ports::is_no_room(&text) {
        true => Fault::Disk(text),
        false => Fault::Refused(text),
    }
}
