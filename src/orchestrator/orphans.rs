//! Things on the engine that belong to no environment any more: what is surely ours goes, the rest is told.

use std::collections::BTreeMap;

use crate::domain::environment::Environment;
use crate::domain::names::EnvironmentId;
use crate::domain::orphans::{self, Claim, Kind, Life, Verdict};
use crate::ports::Resource;

use super::Orchestrator;
use super::failure::Failure;

impl Orchestrator {
    /// Removes what is surely ours and nobody's any more; says in few lines what may be ours and is left alone. `None`
    /// when the engine or the database did not answer: nothing is known then, and it is worth another try.
    pub async fn clear_orphans(&self) -> Option<Vec<String>> {
        match self.look_for_orphans().await {
            Ok(unclear) => Some(orphans::summary(&unclear)),
            Err(failure) => {
                tracing::warn!(%failure, "what a former life left on the engine cannot be looked for");
                None
            }
        }
    }

    async fn look_for_orphans(&self) -> Result<Vec<(Claim, String)>, Failure> {
        // The engine first: whoever has a thing on it by now has a row by then.
        let claims = self.house.ports.watch.claims().await?;
        let lives = self.lives().await?;
        let instance = self.house.store.instance();
        let mut unclear = Vec::new();
        // Sorted by kind: containers go before what they hold.
        for claim in claims {
            match orphans::judge(&claim, instance, &lives) {
                Verdict::Leave => {}
                Verdict::Report { why } => unclear.push((claim, why)),
                Verdict::Remove { why } => self.remove_orphan(&claim, &why).await,
            }
        }
        let rows = self.house.store.sweep_ended().await?;
        if rows > 0 {
            tracing::info!(rows, "rows of environments that are over are removed");
        }
        Ok(unclear)
    }

    async fn lives(&self) -> Result<BTreeMap<EnvironmentId, Life>, Failure> {
        let all = self.house.store.environments(true).await?;
        let life = |it: Environment| (it.id, Life { project: it.project, is_over: it.phase.is_over() });
        Ok(all.into_iter().map(life).collect())
    }

    /// One that cannot be removed holds nothing up: the next look comes by it again.
    async fn remove_orphan(&self, claim: &Claim, why: &str) {
        let resource = match claim.kind {
            Kind::Container => Resource::Container(claim.id.clone()),
            Kind::Network => Resource::Network(claim.id.clone()),
            Kind::Volume => Resource::Volume(claim.id.clone()),
        };
        let what = format!("{} {}", claim.kind, claim.name);
        match self.house.ports.engine.remove(&resource).await {
            Ok(()) => tracing::info!(what, why, "left by a former life, and removed"),
            Err(error) => tracing::warn!(%error, what, why, "left by a former life, and not removed yet"),
        }
    }
}
