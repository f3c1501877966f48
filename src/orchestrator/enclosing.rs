//! Walls around environments: they stand before anything runs inside them, and are looked after.

use std::sync::PoisonError;

use crate::domain::names::EnvironmentId;
use crate::domain::walls::{Mode, Walls};
use crate::ports::{PortError, meters};
use crate::store::StoreError;

use super::failure::Failure;
use super::house::House;

impl House {
    /// Before anything starts in a network: from here on it has its walls. Where they cannot be put up it is told, and only
    /// the setting `engine.firewall = "required"` makes it a failure.
    pub(super) async fn enclose(&self) -> Result<(), Failure> {
        self.put_up(false, None).await?.map_err(|error| Failure::Transient(error.to_string()))
    }

    /// Puts them up again as they should stand: somebody else may have swept them away, and networks may be gone.
    pub(super) async fn renew_walls(&self) -> Result<(), StoreError> {
        // What could not be done is told there.
        self.put_up(true, None).await.map(|done| done.unwrap_or_default())
    }

    /// Nothing of this environment is left on the engine: its walls go before its row says that it is over, for after that nobody
    /// would know of them.
    pub(super) async fn open_up(&self, ended: EnvironmentId) -> Result<(), StoreError> {
        self.put_up(true, Some(ended)).await.map(|done| done.unwrap_or_default())
    }

    async fn put_up(
        &self,
        again: bool,
        ended: Option<EnvironmentId>,
    ) -> Result<Result<(), PortError>, StoreError> {
        let rules = self.settings().walls.clone();
        let mut standing = self.enclosure.standing.lock().await;
        if rules.mode == Mode::Off {
            if standing.as_ref().is_some_and(|walls| !walls.branches.is_empty()) {
                self.tell_walls(&self.ports.firewall.apply(&Walls::default()).await);
            }
            *standing = None;
            meters::set("drey_firewall_up", 0.0);
            return Ok(Ok(()));
        }
        let subnets = self.store.subnets().await?;
        let subnets: Vec<String> =
            subnets.into_iter().filter(|(id, _)| Some(*id) != ended).map(|(_, cidr)| cidr).collect();
        // What cannot be walled in is no reason to take down what stands.
        let walls = match rules.walls(&subnets) {
            Ok(walls) => walls,
            Err(error) => {
                let done = Err(PortError::Permanent(error.to_string()));
                self.tell_walls(&done);
                return Ok(if rules.mode == Mode::Required { done } else { Ok(()) });
            }
        };
        let is_kept = standing.as_ref() == Some(&walls);
        if is_kept && (!again || walls.branches.is_empty()) {
            return Ok(Ok(()));
        }
        let done = self.ports.firewall.apply(&walls).await;
        *standing = done.is_ok().then_some(walls);
        self.tell_walls(&done);
        Ok(if rules.mode == Mode::Required { done } else { Ok(()) })
    }

    /// Once for each reason, and when it is over.
    fn tell_walls(&self, done: &Result<(), PortError>) {
        let mut complaint = self.enclosure.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        meters::set("drey_firewall_up", if done.is_ok() { 1.0 } else { 0.0 });
        match done.as_ref().err().map(ToString::to_string) {
            Some(reason) if complaint.as_ref() != Some(&reason) => {
                tracing::warn!(%reason, "no walls between branches and to this machine's own ports");
                *complaint = Some(reason);
            }
            Some(_) => {}
            None => {
                if complaint.take().is_some() {
                    tracing::info!("the walls between branches stand again");
                }
            }
        }
    }
}
