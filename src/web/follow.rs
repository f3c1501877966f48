//! Following an environment's deployments to their end.
//!
//! Lines come from the files alone, what is told by the log is only a reason to look: so no line is lost and none
//! comes twice, whenever the following begins.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

use crate::domain::environment::{Deployment, DeploymentState, Environment};
use crate::domain::names::{EnvironmentId, Generation};
use crate::orchestrator::House;

use super::Web;
use super::error::ApiError;

/// How often is looked when nobody said that there is something new.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Least pause between two looks: lines that come at once are read at once.
const PAUSE: Duration = Duration::from_millis(50);
/// A look costs the whole file: the pause is so many times as long as the look took.
const PAUSE_PER_LOOK: u32 = 20;
/// How long after the environment is settled its deployment may take to write its last line.
const LAST_LINE: Duration = Duration::from_secs(2);

/// What is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) environment: EnvironmentId,
    /// Deployments of this generation and of newer ones.
    pub(super) from: Generation,
    /// When to give up; the deployment goes on alone.
    pub(super) deadline: Option<Instant>,
}

/// How the following ended.
#[derive(Debug)]
pub(super) enum Followed {
    /// The environment as it stands, its work done.
    Settled(Box<Environment>),
    /// The deadline came first.
    TimeIsUp,
    /// The daemon ends; its next life goes on with the work.
    Draining,
    /// Whoever read is gone.
    ReaderGone,
}

/// Passes on the lines of all wanted deployments until the work is done.
pub(super) async fn follow(
    web: &Web,
    wanted: Wanted,
    sender: &mpsc::Sender<String>,
    shape: impl Fn(&str) -> String,
) -> Followed {
    let house = web.inner.orchestrator.house();
    let mut reader = Reader { house, wanted, sent: BTreeMap::new(), settled_at: None };
    let mut news = Some(house.ports.logs.follow(wanted.environment));
    let mut changes = web.inner.orchestrator.watch(wanted.environment);
    let draining = house.supervisor.faces().draining();
    loop {
        let began = Instant::now();
        let look = reader.look().await;
        let pause = PAUSE.max(began.elapsed() * PAUSE_PER_LOOK).min(LOOK_EVERY);
        for line in look.lines {
            if sender.send(shape(&line)).await.is_err() {
                return Followed::ReaderGone;
            }
        }
        if let Some(settled) = look.settled {
            return Followed::Settled(settled);
        }
        if wanted.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Followed::TimeIsUp;
        }
        if draining.is_cancelled() {
            return Followed::Draining;
        }
        tokio::select! {
            () = draining.cancelled() => continue,
            () = sender.closed() => return Followed::ReaderGone,
            () = something_new(&mut news) => {}
            changed = changes.changed() => if changed.is_err() {
                changes = web.inner.orchestrator.watch(wanted.environment);
            },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        tokio::time::sleep(pause).await;
    }
}

async fn something_new(news: &mut Option<broadcast::Receiver<String>>) {
    let Some(receiver) = news else { return std::future::pending().await };
    match receiver.recv().await {
        // All that came meanwhile is read in one look.
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => *receiver = receiver.resubscribe(),
        // The environment is over: its files tell the rest.
        Err(broadcast::error::RecvError::Closed) => *news = None,
    }
}

/// Remembers how much of each file was passed on.
struct Reader<'a> {
    house: &'a House,
    wanted: Wanted,
    /// Deployment → lines that were passed on.
    sent: BTreeMap<i64, usize>,
    settled_at: Option<Instant>,
}

#[derive(Default)]
struct Look {
    lines: Vec<String>,
    settled: Option<Box<Environment>>,
}

impl Reader<'_> {
    /// The order matters: whoever is settled before the files are read has all its lines in them.
    async fn look(&mut self) -> Look {
        match self.try_look().await {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(?error, environment.id = self.wanted.environment.0, "its log cannot be read");
                Look::default()
            }
        }
    }

    async fn try_look(&mut self) -> Result<Look, ApiError> {
        let (id, from) = (self.wanted.environment, self.wanted.from);
        let environment = self.house.store.environment(id).await?;
        let mut deployments = self.house.store.deployments(id).await?;
        deployments.retain(|deployment| deployment.generation >= from);
        let settled = environment
            .filter(|environment| environment.settled_generation >= from && !environment.has_work())
            .filter(|_| self.has_last_line(&deployments));
        let mut lines = Vec::new();
        for deployment in deployments.iter().rev() {
            let written = self.house.ports.logs.read(id, deployment.id).await?;
            let sent = self.sent.entry(deployment.id).or_default();
            lines.extend(written.into_iter().skip(*sent).inspect(|_| *sent += 1));
        }
        Ok(Look { lines, settled: settled.map(Box::new) })
    }

    fn has_last_line(&mut self, deployments: &[Deployment]) -> bool {
        let settled_at = *self.settled_at.get_or_insert_with(Instant::now);
        deployments.iter().all(|deployment| deployment.state != DeploymentState::Running)
            || settled_at.elapsed() > LAST_LINE
    }
}
