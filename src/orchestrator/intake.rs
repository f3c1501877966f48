//! The one door: what is handed in is durable, with what follows from it, before anybody is answered.

use tokio::sync::oneshot;

use crate::domain::environment::Environment;
use crate::domain::event::{Event, EventId, EventKind, NewEvent};
use crate::domain::fold::{Change, Situation};
use crate::domain::verdict::{Course, Verdict, verdict};
use crate::ports::{failpoint, meters};
use crate::store::{Folded, Known, NewDelivery, StoreError, Submission};

use super::Orchestrator;
use super::house::{House, Settings};
use super::queue::{Waiting, Writer};
use super::submitted::Submitted;

impl Orchestrator {
    /// Stores the events, folds them, and says what follows. Goes on when nobody waits for the answer any more.
    ///
    /// # Errors
    /// When the database does not take them: then nothing was stored and the sender has to come again.
    pub async fn submit(
        &self,
        delivery: Option<NewDelivery>,
        events: &[NewEvent],
    ) -> Result<Vec<Submitted>, StoreError> {
        self.hand_in(Submission::New { delivery, events: events.to_vec() }).await
    }

    /// Folds a stored event. Doing it twice is harmless: a settled event is left alone.
    pub(super) async fn take(&self, id: EventId) -> Result<(), StoreError> {
        self.hand_in(Submission::Again(id)).await.map(|_| ())
    }

    async fn hand_in(&self, submission: Submission) -> Result<Vec<Submitted>, StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.queue.put(Waiting { submission, answer })? {
            // Made before the task begins: one that never does leaves nobody waiting.
            let (this, writer) = (self.clone(), self.queue.writer());
            self.house.supervisor.spawn("intake", async move { this.write_down(writer).await });
        }
        answered.await.unwrap_or(Err(StoreError::NotTaken { reason: "the daemon ends; come again" }))
    }

    /// One commit after the other, each for all who came during the one before.
    async fn write_down(&self, mut writer: Writer) {
        while let Some(batch) = writer.next() {
            let (submissions, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|waiting| (waiting.submission, waiting.answer)).unzip();
            let (settings, now) = (self.house.settings(), self.house.ports.clock.now());
            let decide = |event: &Event, known: Known<'_>| decide(&self.house, &settings, event, known);
            let results = self.house.store.fold(&submissions, now, &decide).await;
            drop(submissions);
            let mut news = Vec::new();
            for (answer, result) in answers.into_iter().zip(results) {
                let submitted =
                    result.map(|folded| folded.into_iter().map(|one| self.follow(one, &mut news)).collect());
                // Whoever asked may have gone; what follows does not depend on it.
                answer.send(submitted).ok();
            }
            self.spread(news);
        }
    }

    /// What was stored is set going.
    fn follow(&self, folded: Folded, news: &mut Vec<Environment>) -> Submitted {
        let Folded { event, environment, verdict, changed, is_new } = folded;
        if is_new {
            meters::event_received(event.kind.word(), event.source.word());
        }
        let Some(Verdict { change, course, action }) = verdict else {
            let message = event.reason.clone();
            return Submitted { event, environment, action: "unchanged", message };
        };
        if let Some(environment) = environment.as_ref().filter(|_| changed) {
            let is_made = matches!(change, Change::Create { .. });
            if is_made {
                failpoint("environment.asked");
            } else {
                failpoint("intent.set");
            }
            self.dispatch.wake(environment.id, environment.generation);
            if is_made {
                failpoint("environment.made");
            }
        }
        if changed || matches!(event.kind, EventKind::Drifted { .. }) {
            news.extend(environment.clone());
        }
        if let (EventKind::PullRequest { .. }, Some(environment)) = (&event.kind, &environment) {
            // It may have nothing to do with its routes, and is told all the same.
            self.board.tell(environment.id);
        }
        match course {
            Course::Judged => self.spawn_judge(event.clone()),
            Course::Removed => self.spawn_removal(event.clone()),
            Course::Settled { state, .. } => meters::event_settled(event.kind.word(), state.word()),
            Course::Waits | Course::Later => {}
        }
        let message = event.reason.clone();
        Submitted { event, environment, action, message }
    }

    /// Routes and those who watch hear of it beside the work: the engine is asked, and may be slow.
    fn spread(&self, news: Vec<Environment>) {
        if !news.is_empty() {
            let board = self.board.clone();
            self.house.supervisor.spawn("board", async move { board.refresh_all(&news).await });
        }
    }
}

fn decide(house: &House, settings: &Settings, event: &Event, known: Known<'_>) -> Verdict {
    let Some(repository) = settings.repositories.get(&event.repo) else {
        return verdict(event, None, Default::default());
    };
    let branch = event.kind.branch();
    let refusal = branch.and_then(|branch| repository.wants(branch, known.pulls).err());
    let situation = Situation {
        environment: known.environment,
        is_main: branch == Some(&repository.main),
        wanted: refusal.as_deref().map_or(Ok(()), Err),
        pulls: known.pulls,
        now: house.ports.clock.now(),
    };
    verdict(event, Some(situation), repository.superseded)
}
