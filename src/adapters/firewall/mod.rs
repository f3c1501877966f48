//! Walls by nftables: one table of this daemon's own, replaced as a whole.
//!
//! Other tables, those of the engine and of the machine's own firewall, are neither read nor changed: what is refused here
//! is refused, and what passes here is theirs to judge.

mod ruleset;

use std::time::Duration;

use async_trait::async_trait;

use crate::adapters::process::Command;
use crate::domain::names::InstanceId;
use crate::domain::walls::Walls;
use crate::ports::{Firewall, PortError, PortResult, meters};

/// The kernel takes a table within milliseconds; more is a machine that stands still.
const LIMIT: Duration = Duration::from_secs(20);

/// `nft`, for one instance of drey.
#[derive(Clone, Debug)]
pub struct Nftables {
    table: String,
}

impl Nftables {
    pub fn new(instance: &InstanceId) -> Self {
        Self { table: format!("drey_{instance}") }
    }

    /// Whether walls could be put up here: `nft` is there and may read the kernel's tables.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub async fn version() -> PortResult<String> {
        let said = run(Command::new("nft").arg("--version"), Vec::new()).await?;
        run(Command::new("nft").args(["list", "tables"]), Vec::new()).await?;
        Ok(said.trim().to_owned())
    }
}

#[async_trait]
impl Firewall for Nftables {
    async fn apply(&self, walls: &Walls) -> PortResult<()> {
        let text = ruleset::text(&self.table, walls);
        let done = run(Command::new("nft").args(["-f", "-"]), text.into_bytes()).await;
        meters::engine("firewall", done.map(|_| ()))
    }
}

async fn run(command: Command, input: Vec<u8>) -> PortResult<String> {
    let output = command.stdin(input).time_limit(LIMIT).run().await;
    output.map(|output| output.text()).map_err(explained)
}

/// What the operator can do about it.
fn explained(error: PortError) -> PortError {
    let PortError::Permanent(text) = &error else { return error };
    let advice = if text.contains("not permitted") || text.contains("denied") {
        "drey may not change the machine's packet filter: run it as root or give it CAP_NET_ADMIN"
    } else {
        "nftables is needed for walls between branches: install the package nftables"
    };
    PortError::Permanent(format!("{text}; {advice}"))
}

/// For an engine on another machine, where nothing can be put up.
pub struct NoFirewall;

#[async_trait]
impl Firewall for NoFirewall {
    async fn apply(&self, walls: &Walls) -> PortResult<()> {
        if walls.branches.is_empty() {
            return Ok(());
        }
        Err(PortError::Permanent(
            "the engine runs on another machine, whose packet filter drey does not reach".to_owned(),
        ))
    }
}
