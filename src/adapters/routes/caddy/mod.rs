//! Caddy, 2.6 and newer.
//!
//! Each change of its configuration ends all `WebSocket`s that pass it, those of other branches too, or (2.7 and newer, with
//! `stream_close_delay`) resets connections that it has not accepted yet. So its configuration names no branch: all of it leads to
//! the gate, and is changed only with certificates and settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::confirm;
use super::disk::{Disk, MARK, Rendered, pem_name};
use super::driver::Driver;
use super::fault::Fault;
use super::model::{Abilities, Frame, Model, Policy};
use super::place::Place;
use crate::adapters::template::render_proxy;

/// The file that Caddy is started with.
pub const FILE: &str = "caddy.json";

/// How this Caddy is run.
#[derive(Clone, Debug)]
pub struct CaddySettings {
    /// Where it takes configurations, as Caddy writes it: `127.0.0.1:2019`, or `unix/` and a path.
    pub admin: String,
    /// Where it tells which configuration serves.
    pub confirm: SocketAddr,
    /// The operator's templates.
    pub templates: Option<PathBuf>,
}

/// A Caddy that gets its configuration over its admin interface.
pub struct Caddy {
    place: Arc<dyn Place>,
    disk: Disk,
    settings: CaddySettings,
}

impl Caddy {
    pub fn new(place: Arc<dyn Place>, disk: Disk, settings: CaddySettings) -> Self {
        Self { place, disk, settings }
    }

    async fn told(&self, arguments: &[&str]) -> Result<(bool, String), Fault> {
        let said = self.place.run(arguments.iter().map(ToString::to_string).collect()).await?;
        // The rest of what it says are remarks on its way.
        let last = said.text.lines().rev().find(|line| line.contains("rror")).unwrap_or(&said.text);
        Ok((said.ok, last.to_owned()))
    }

    fn values(&self, frame: &Frame, model: &Model) -> (Json, BTreeMap<String, Vec<u8>>) {
        let mut pems = BTreeMap::new();
        let store = self.disk.store();
        let mut put = |bytes: &[u8]| {
            let name = pem_name(bytes);
            let path = store.join(&name).display().to_string();
            pems.insert(name, bytes.to_vec());
            path
        };
        let certificates: Vec<Json> = frame
            .certificates
            .iter()
            .map(|it| json!({"certificate": put(&it.chain), "key": put(&it.key)}))
            .collect();
        let policies: Vec<Json> = policies(model)
            .into_iter()
            .map(|(policy, hosts)| {
                json!({
                    "hosts": hosts,
                    "protocol_min": if policy.newest_only { "tls1.3" } else { "tls1.2" },
                    "client_authority": policy.client_authority.as_ref().map(|pem| put(pem)),
                })
            })
            .collect();
        let port = frame.https.or(frame.http).map_or(443, |address| address.port());
        let usual = if port == 443 { String::new() } else { format!(":{port}") };
        let values = json!({
            "mark": MARK,
            "admin": self.settings.admin,
            "confirm": self.settings.confirm.to_string(),
            "gate": frame.gate.to_string(),
            "https": frame.https.map(|address| address.to_string()),
            "http": frame.http.map(|address| address.to_string()),
            "redirect": format!("https://{{http.request.host}}{usual}{{http.request.uri}}"),
            "port": port.to_string(),
            "authority": frame.authority,
            "hsts": frame.hsts.map(|time| format!("max-age={}", time.as_secs())),
            "trusted": frame.trusted,
            "header_timeout": frame.header_timeout.as_secs(),
            "idle_timeout": frame.idle_timeout.as_secs(),
            "policies": policies,
            "certificates": certificates,
        });
        (values, pems)
    }
}

/// What repositories ask of their visitors' TLS, each with the hosts that it is for.
fn policies(model: &Model) -> BTreeMap<Policy, BTreeSet<String>> {
    let mut policies: BTreeMap<Policy, BTreeSet<String>> = BTreeMap::new();
    for environment in model.environments.values().filter(|it| it.policy != Policy::default()) {
        let hosts = environment.hosts.iter().chain(&environment.family).cloned();
        policies.entry(environment.policy.clone()).or_default().extend(hosts);
    }
    policies
}

#[async_trait]
impl Driver for Caddy {
    fn name(&self) -> &'static str {
        "caddy"
    }

    fn abilities(&self) -> Abilities {
        Abilities { gate_only: true, ..Abilities::default() }
    }

    async fn render(&self, frame: &Frame, model: &Model) -> Result<Rendered, Fault> {
        let (values, pems) = self.values(frame, model);
        let text = render_proxy(self.name(), FILE, self.settings.templates.as_deref(), &values);
        let text = text.map_err(|error| Fault::Template(error.to_string()))?;
        Ok(Rendered::new(BTreeMap::from([(FILE.to_owned(), text)]), pems))
    }

    async fn validate(&self, folder: &Path) -> Result<(), Fault> {
        let file = folder.join(FILE).display().to_string();
        match self.told(&["validate", "--config", &file]).await? {
            (true, _) => Ok(()),
            (false, why) if crate::ports::is_no_room(&why) => Err(Fault::Disk(why)),
            (false, why) => Err(Fault::Refused(why)),
        }
    }

    async fn reload(&self) -> Result<(), Fault> {
        let file = self.disk.current().join(FILE).display().to_string();
        match self.told(&["reload", "--config", &file, "--address", &self.settings.admin]).await? {
            (true, _) => Ok(()),
            (false, why) if why.contains("connection refused") => {
                Err(Fault::Down(format!("{why}; start it: caddy run --config {file}")))
            }
            (false, why) => Err(Fault::Unconfirmed(why)),
        }
    }

    async fn serving(&self) -> Option<String> {
        confirm::ask(self.place.asked_at(self.settings.confirm)?).await
    }
}
