//! Room on the disks: measured, told, and waited for.

use std::time::Duration;

use tokio::time::sleep;

use crate::domain::disk::Level;
use crate::domain::environment::Phase;
use crate::domain::patience;
use crate::store::StateChange;

use super::Orchestrator;
use super::failure::Failure;
use super::house::House;
use super::run::Run;

/// How often the disks are measured: two calls of the system.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// Longest pause before what had no room is tried again: a quota or another machine's disk is not measured.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// And while something is built, which can write a gigabyte in that time.
const MEASURE_BUILDS_EVERY: Duration = Duration::from_secs(2);

impl House {
    /// Returns when a disk is too full to go on building, and says which.
    pub(super) async fn disk_fills(&self) -> String {
        loop {
            sleep(MEASURE_BUILDS_EVERY).await;
            self.measure_disks().await;
            if let Some(why) = self.room.disks().why_wait() {
                return why;
            }
        }
    }

    /// Measures, and says what is new.
    async fn measure_disks(&self) {
        let disks = self.ports.disks.measure().await;
        let before = self.room.disks();
        let now = before.measured(disks, self.settings().watermarks);
        for (level, text) in now.news(&before) {
            match level {
                Level::Ok => tracing::info!(disk.level = level.word(), "{text}"),
                Level::Warn => tracing::warn!(disk.level = level.word(), "{text}"),
                Level::Stop | Level::Evict => tracing::error!(disk.level = level.word(), "{text}"),
            }
        }
        self.room.set(now);
    }
}

impl Orchestrator {
    /// Before any work begins, and then again and again.
    pub(super) async fn spawn_measuring(&self) {
        // Only that: an engine that hangs must not hold up the start.
        self.house.measure_disks().await;
        let (this, draining) = (self.clone(), self.house.supervisor.draining());
        self.house.supervisor.spawn("disks", async move {
            loop {
                tokio::select! {
                    () = draining.cancelled() => return,
                    () = sleep(MEASURE_EVERY) => {}
                }
                this.measure_disks().await;
            }
        });
        let (this, draining) = (self.clone(), self.house.supervisor.draining());
        // Apart: what environments have written takes long to count.
        self.house.supervisor.spawn("fillers", async move {
            loop {
                tokio::select! {
                    () = draining.cancelled() => return,
                    () = this.watch_fillers() => {}
                }
                tokio::select! {
                    () = draining.cancelled() => return,
                    () = sleep(MEASURE_EVERY) => {}
                }
            }
        });
    }

    /// Measures now, and does what follows.
    pub async fn measure_disks(&self) {
        let was_needed = self.house.room.disks().level() == Level::Evict;
        self.house.measure_disks().await;
        let disks = self.house.room.disks();
        let Some(disk) = disks.to_evict_from() else { return self.evictions.forget() };
        if !was_needed {
            return self.need_room();
        }
        // What can be made anew goes first.
        if self.collecting.try_lock().is_ok()
            && let Err(error) = self.evict(disk, disks.free_for_data().unwrap_or(0)).await
        {
            self.house.room.complain(&error);
        }
    }
}

impl Run<'_> {
    /// Before anything is checked out, built or pulled: where a disk is too full, the run waits here in this phase and says
    /// why, and goes on by itself.
    pub(super) async fn await_room(&self, phase: Phase) -> Result<(), Failure> {
        let mut disks = self.house.room.watch();
        let draining = self.house.supervisor.draining();
        let mut told = None;
        loop {
            let Some(why) = disks.borrow_and_update().why_wait() else { break };
            if told.as_ref() != Some(&why) {
                if told.is_none() {
                    self.say(&why);
                }
                self.tell_wait(phase, &why).await?;
                told = Some(why);
            }
            tokio::select! {
                // The next life goes on with it.
                () = draining.cancelled() => return Err(Failure::Superseded),
                changed = disks.changed() => if changed.is_err() { break },
            }
        }
        if told.is_some() {
            self.say("there is room again");
            self.board.refresh(&self.enter(self.while_serving(phase)).await?).await;
        }
        Ok(())
    }

    /// After a disk was full in the middle of the work: waits, longer with each time.
    pub(super) async fn await_next_try(&self, reason: &str, failures: u32) -> Result<(), Failure> {
        let pause = patience::pause(failures).min(LONGEST_PAUSE);
        let text = format!("{reason}; tried again in {} s", pause.as_secs());
        self.say(&text);
        self.tell_wait(Phase::Queued, &text).await?;
        let draining = self.house.supervisor.draining();
        tokio::select! {
            () = draining.cancelled() => Err(Failure::Superseded),
            () = sleep(pause) => Ok(()),
        }
    }

    /// The database may be on the very disk that is full: then nobody is told, but it is waited all the same.
    async fn tell_wait(&self, phase: Phase, why: &str) -> Result<(), Failure> {
        let (id, generation) = (self.environment.id, self.environment.generation);
        let phase = self.while_serving(phase);
        let reason = Some(why.to_owned());
        let change = StateChange { reason, ..StateChange::to(phase) };
        let now = self.house.ports.clock.now();
        match self.house.store.update_state(id, generation, &change, now).await {
            Ok(Some(environment)) => self.board.refresh(&environment).await,
            Ok(None) => return Err(Failure::Superseded),
            Err(error) => self.house.room.complain(&error),
        }
        Ok(())
    }

    /// What serves is being updated, whatever it waits for.
    const fn while_serving(&self, phase: Phase) -> Phase {
        if self.environment.serving { Phase::Updating } else { phase }
    }
}
