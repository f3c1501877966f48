//! A proxy in a container that the team starts: spoken to through the engine, and put on the networks of environments that its
//! routes lead into, for as long as they do.

mod faults;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::fault::Fault;
use super::networks::Networks;
use super::place::{Place, Said};
use crate::adapters::process::Told;
use crate::domain::joining::{OwnNetwork, Reach, Seats, needed, needless};
use crate::domain::provider::ProviderContainer;
use crate::ports::{Foreign, ForeignContainer, PortError, PortResult};

/// What a shell says of a program that it does not find, or may not run.
const NO_PROGRAM: [i64; 2] = [126, 127];

/// Which container, and how it is to stand.
#[derive(Clone, Debug)]
pub struct ContainerSettings {
    pub name: String,
    /// Looked for in the container's own `PATH`.
    pub program: String,
    /// What drey writes: to be mounted at the same path.
    pub directory: PathBuf,
    /// It shares this machine's network; else it has one of its own, and is put on those of environments.
    pub is_on_host: bool,
    /// Where the gate listens, as the container is to reach it.
    pub gate: SocketAddr,
    /// The table of the configuration, for what is told: `proxy.nginx`.
    pub section: String,
    /// What the networks of this drey begin with.
    pub prefix: String,
}

/// Where the container sits, as it was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// The engine's id of the container; empty while it does not run.
    pub id: String,
    /// The host's number of its first process.
    pub first_process: Option<u32>,
    /// Its addresses on networks that are none of drey's.
    pub addresses: Vec<IpAddr>,
}

/// The container, through the engine.
pub struct Container {
    engine: Arc<dyn Foreign>,
    settings: ContainerSettings,
    seat: watch::Sender<Seat>,
    known: Mutex<Known>,
}

/// What was seen last.
#[derive(Default)]
struct Known {
    state: &'static str,
    seats: Seats,
    own: Vec<OwnNetwork>,
}

impl Container {
    pub fn new(engine: Arc<dyn Foreign>, settings: ContainerSettings) -> Self {
        Self { engine, settings, seat: watch::Sender::default(), known: Mutex::default() }
    }

    /// Sees where it sits.
    pub fn seat(&self) -> watch::Receiver<Seat> {
        self.seat.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at it, and at the networks of ours; whether it can be worked with is asked after that.
    async fn look(&self) -> PortResult<Option<ForeignContainer>> {
        let found = self.engine.container(&self.settings.name).await?;
        let own = match self.settings.is_on_host {
            true => Vec::new(),
            false => self.engine.own_networks().await?,
        };
        let endpoints = found.iter().flat_map(|found| &found.networks);
        let seats: Seats = endpoints.map(|(name, it)| (name.clone(), it.network.clone())).collect();
        let runs = found.as_ref().filter(|found| found.rested.is_none());
        self.sit(runs, &own);
        *self.known() = Known { state: faults::word(found.as_ref()), seats, own };
        Ok(found)
    }

    fn sit(&self, runs: Option<&ForeignContainer>, own: &[OwnNetwork]) {
        let is_own = |id: &str| own.iter().any(|network| network.id == id);
        let foreign = runs.iter().flat_map(|it| it.networks.values()).filter(|it| !is_own(&it.network));
        let seat = Seat {
            id: runs.map(|it| it.id.clone()).unwrap_or_default(),
            first_process: runs.and_then(|it| it.first_process),
            addresses: foreign.filter_map(|it| it.address).collect(),
        };
        self.seat.send_if_modified(|last| {
            let is_news = *last != seat;
            *last = seat;
            is_news
        });
    }

    /// It runs, and is as it has to be.
    fn usable(&self, found: Option<ForeignContainer>) -> Result<ForeignContainer, Fault> {
        let found = faults::running(&self.settings, found)?;
        faults::check(&self.settings, &found)?;
        Ok(found)
    }

    /// Puts it on what is needed and missing; what does not work is told with its reason.
    async fn join_missing(&self, found: &ForeignContainer, addresses: &BTreeSet<IpAddr>) -> Reach {
        let (own, seats) = {
            let known = self.known();
            (known.own.clone(), known.seats.clone())
        };
        let mut reach = Reach::default();
        let opens_ways = faults::opens_ways(&self.settings, found);
        for (network, is_on) in needed(&own, &seats, addresses) {
            if let Some(why) = &opens_ways {
                reach.refuse(network, why);
                continue;
            }
            let joined = if is_on { Ok(()) } else { self.join_one(network).await };
            match joined {
                Ok(()) => reach.join(network),
                Err(error) => reach.refuse(network, &faults::refused(&self.settings, network, &error)),
            }
        }
        reach
    }

    /// A service of the container's name would be found at the proxy's address, by half of those who ask for it.
    async fn join_one(&self, network: &OwnNetwork) -> PortResult<()> {
        let name = &self.settings.name;
        if self.engine.services_on(&network.id).await?.contains(name) {
            return Err(PortError::Permanent(format!(
                "a service of this environment is called {name:?} as the proxy's container is: give the container another name"
            )));
        }
        self.engine.connect(&network.id, name).await?;
        self.known().seats.insert(network.name.clone(), network.id.clone());
        Ok(())
    }
}

#[async_trait]
impl Place for Container {
    async fn run(&self, arguments: Vec<String>) -> PortResult<Said> {
        let ContainerSettings { name, program, .. } = &self.settings;
        let command = [vec![program.clone()], arguments].concat();
        let (code, text) = self.engine.execute(name, command).await?;
        if NO_PROGRAM.contains(&code) {
            let text = text.trim();
            return Err(PortError::Permanent(format!(
                "container {name}: {program} does not run in it: {text}"
            )));
        }
        Ok(Said { ok: code == 0, text: text.trim().to_owned() })
    }

    async fn tell(&self, told: Told) -> Result<(), Fault> {
        let found = self.usable(self.look().await?)?;
        faults::check_first_process(&self.settings, &found)?;
        let signal = match told {
            Told::Hangup => "SIGHUP",
            Told::User2 => "SIGUSR2",
        };
        Ok(self.engine.signal(&self.settings.name, signal).await?)
    }

    fn asked_at(&self, listen: SocketAddr) -> Option<SocketAddr> {
        if self.settings.is_on_host {
            return Some(listen);
        }
        let seat = self.seat.borrow();
        seat.addresses.first().map(|address| SocketAddr::new(*address, listen.port()))
    }

    /// What is in a container stays as its image was.
    fn life(&self) -> Option<String> {
        Some(self.seat.borrow().id.clone()).filter(|id| !id.is_empty())
    }

    fn is_asked_inside(&self) -> bool {
        true
    }
}

#[async_trait]
impl Networks for Container {
    async fn join(&self, addresses: &BTreeSet<IpAddr>) -> Result<Reach, Fault> {
        let found = self.usable(self.look().await?)?;
        if self.settings.is_on_host {
            return Ok(Reach::everything());
        }
        Ok(self.join_missing(&found, addresses).await)
    }

    async fn leave(&self, addresses: &BTreeSet<IpAddr>) {
        let left = {
            let known = self.known();
            needless(&known.own, &self.settings.prefix, &known.seats, addresses)
        };
        for network in left {
            match self.engine.disconnect(&network, &self.settings.name).await {
                Ok(()) => {
                    self.known().seats.remove(&network);
                }
                // It is tried again with the next look.
                Err(error) => {
                    let container = &self.settings.name;
                    tracing::warn!(container, network, %error, "the proxy's container stays on a network that it needs no more");
                }
            }
        }
    }

    fn container(&self) -> ProviderContainer {
        let known = self.known();
        let is_own = |id: &String| known.own.iter().any(|network| network.id == *id);
        let joined = known.seats.iter().filter(|(_, id)| is_own(id));
        ProviderContainer {
            name: self.settings.name.clone(),
            state: known.state.to_owned(),
            joined: joined.map(|(name, _)| name.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
