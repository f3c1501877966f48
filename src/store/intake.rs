//! From what is handed in to what follows from it: one transaction for many, so that one commit carries them all.
//!
//! What is decided about an event is the caller's; the transaction stores event, consequence and how far the event came
//! together or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::{
    NewDelivery, NewEnvironment, Store, StoreError, StoreResult, environment, event, lifecycle, pull_request,
};
use crate::domain::environment::Environment;
use crate::domain::event::{Event, EventId, EventKind, EventState, NewEvent};
use crate::domain::fold::Change;
use crate::domain::names::{BranchName, EnvironmentId, InstanceId, RepoName};
use crate::domain::pull_request::PullRequest;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Course, Verdict};

/// What is told of a push to a commit that another push waits for.
const WAITS_ALREADY: &str = "a push to this commit waits already";

/// One call of the intake.
#[derive(Clone, Debug)]
pub enum Submission {
    /// A delivery with its events, which get its id and its time; or events without one, which get the time of folding.
    New { delivery: Option<NewDelivery>, events: Vec<NewEvent> },
    /// A stored event; one that is settled is left alone.
    Again(EventId),
}

/// What is known of an event's branch.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its environment, unless that is over.
    pub environment: Option<&'a Environment>,
    /// Its pull requests, the newest first.
    pub pulls: &'a [PullRequest],
}

/// Decides about an event. Must not wait.
pub type Decide<'a> = dyn Fn(&Event, Known<'_>) -> Verdict + Send + Sync + 'a;

/// An event that is stored, with what followed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    pub event: Event,
    /// The environment of the event's branch as it is now, unless it is over.
    pub environment: Option<Environment>,
    /// `None`: it was settled before, and nothing was decided.
    pub verdict: Option<Verdict>,
    /// The environment was made or has a new intent.
    pub changed: bool,
    /// False when it was stored before: a delivery that came again, or an event that is taken up again.
    pub is_new: bool,
}

/// What was decided about an event, and done.
struct Decision {
    environment: Option<Environment>,
    verdict: Verdict,
    changed: bool,
}

impl Decision {
    fn about(self, event: Event, is_new: bool) -> Folded {
        let Self { environment, verdict, changed } = self;
        Folded { event, environment, verdict: Some(verdict), changed, is_new }
    }
}

/// An event that is stored and waits for somebody to look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub event: Event,
    /// False when the delivery was known already and the event is that of the first time.
    pub is_new: bool,
}

impl Store {
    /// Folds all of them in their order, in one transaction. What stands in the way of one of them (not of all) is told
    /// to that one: the others are folded without it.
    pub async fn fold(
        &self,
        submissions: &[Submission],
        now: Timestamp,
        decide: &Decide<'_>,
    ) -> Vec<StoreResult<Vec<Folded>>> {
        let error = match self.fold_together(submissions, now, decide).await {
            Ok(folded) => return folded.into_iter().map(Ok).collect(),
            Err(error) if submissions.len() == 1 => return vec![Err(error)],
            Err(error) => error,
        };
        if error.concerns_all() {
            let error = Arc::new(error);
            return submissions.iter().map(|_| Err(StoreError::Together(error.clone()))).collect();
        }
        let mut alone = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let folded = self.fold_together(std::slice::from_ref(submission), now, decide).await;
            alone.push(folded.map(|mut folded| folded.pop().unwrap_or_default()));
        }
        alone
    }

    /// Stores a delivery with its events, or finds those of the first time; nobody looks at them yet.
    pub async fn accept(
        &self,
        delivery: Option<NewDelivery>,
        events: &[NewEvent],
        now: Timestamp,
    ) -> StoreResult<Vec<Accepted>> {
        let submission = Submission::New { delivery, events: events.to_vec() };
        let folded = self.fold_together(&[submission], now, &|_, _| Verdict::later()).await?;
        let accepted = |folded: Folded| Accepted { event: folded.event, is_new: folded.is_new };
        Ok(folded.into_iter().flatten().map(accepted).collect())
    }

    async fn fold_together(
        &self,
        submissions: &[Submission],
        now: Timestamp,
        decide: &Decide<'_>,
    ) -> StoreResult<Vec<Vec<Folded>>> {
        let mut transaction = self.write().await?;
        let next_event = event::next_id(&mut transaction).await?;
        let mut folding = Folding {
            connection: &mut transaction,
            instance: self.instance(),
            now,
            decide,
            next_event,
            environments: BTreeMap::new(),
        };
        let mut folded = Vec::with_capacity(submissions.len());
        for submission in submissions {
            folded.push(folding.fold(submission).await?);
        }
        transaction.commit().await?;
        Ok(folded)
    }
}

/// One transaction.
struct Folding<'a> {
    connection: &'a mut SqliteConnection,
    instance: &'a InstanceId,
    now: Timestamp,
    decide: &'a Decide<'a>,
    next_event: i64,
    /// Of the branches that were looked at: nobody else writes while the transaction is open.
    environments: BTreeMap<(RepoName, BranchName), Option<Environment>>,
}

impl Folding<'_> {
    async fn fold(&mut self, submission: &Submission) -> StoreResult<Vec<Folded>> {
        match submission {
            Submission::Again(id) => {
                let event = event::find(self.connection, *id).await?;
                let event =
                    event.ok_or_else(|| StoreError::Missing { what: "event", id: id.0.to_string() })?;
                self.fold_again(vec![event]).await
            }
            Submission::New { delivery: None, events } => self.fold_new(None, None, events).await,
            Submission::New { delivery: Some(delivery), events } => {
                match event::insert_delivery(self.connection, delivery).await? {
                    Some(row) => self.fold_new(Some(row), Some(delivery), events).await,
                    None => {
                        let known = event::of_delivery(self.connection, delivery).await?;
                        self.fold_again(known).await
                    }
                }
            }
        }
    }

    async fn fold_new(
        &mut self,
        row: Option<i64>,
        delivery: Option<&NewDelivery>,
        events: &[NewEvent],
    ) -> StoreResult<Vec<Folded>> {
        let mut events: Vec<Event> = events.iter().map(|event| self.stored(event, delivery)).collect();
        self.look_up(&events).await?;
        let (mut decided, mut written) = (Vec::with_capacity(events.len()), 0);
        for place in 0..events.len() {
            let Some(event) = events.get_mut(place) else { break };
            self.take_down(event).await?;
            let (decision, waits_for) = self.decide(event).await?;
            decided.push(decision);
            // What waits must be in the table before the next event of its branch is decided about.
            if waits_for.is_some() {
                let (before, waiting) = (events.get(written..place), events.get(place..=place));
                event::insert_events(self.connection, row, written, before.unwrap_or_default(), None).await?;
                event::insert_events(self.connection, row, place, waiting.unwrap_or_default(), waits_for)
                    .await?;
                written = place + 1;
            }
        }
        let rest = events.get(written..).unwrap_or_default();
        event::insert_events(self.connection, row, written, rest, None).await?;
        Ok(events.into_iter().zip(decided).map(|(event, decision)| decision.about(event, true)).collect())
    }

    /// Stored ones: those that are pending are decided about once more.
    async fn fold_again(&mut self, events: Vec<Event>) -> StoreResult<Vec<Folded>> {
        self.look_up(&events).await?;
        let mut folded = Vec::with_capacity(events.len());
        for event in events {
            if event.state != EventState::Pending {
                let environment = self.environment_of(&event).cloned();
                folded.push(Folded { event, environment, verdict: None, changed: false, is_new: false });
                continue;
            }
            let mut event = event;
            let (decision, waits_for) = self.decide(&mut event).await?;
            if event.state != EventState::Pending || waits_for.is_some() {
                event::update(self.connection, &event, waits_for).await?;
            }
            folded.push(decision.about(event, false));
        }
        Ok(folded)
    }

    /// Decides, does what follows, and says in the event how far it came; also for whose deployment it waits.
    async fn decide(&mut self, event: &mut Event) -> StoreResult<(Decision, Option<EnvironmentId>)> {
        let pulls = self.pulls_of(event).await?;
        let known = Known { environment: self.environment_of(event), pulls: &pulls };
        let mut verdict = (self.decide)(event, known);
        let changed = self.change(event, &verdict.change).await?;
        let mut waits_for = None;
        match &verdict.course {
            Course::Settled { state, reason } => (event.state, event.reason) = (*state, reason.clone()),
            Course::Judged | Course::Removed | Course::Later => {}
            Course::Waits => {
                let environment = self.environment_of(event).map(|environment| environment.id);
                match environment {
                    Some(environment) if self.takes_its_place(event, environment).await? => {
                        waits_for = Some(environment);
                        event.reason = verdict.change.reason().map(ToOwned::to_owned);
                    }
                    Some(_) | None => {
                        (event.state, event.reason) = (EventState::Done, Some(WAITS_ALREADY.to_owned()));
                        verdict.action = "unchanged";
                    }
                }
            }
        }
        let environment = self.environment_of(event).cloned();
        Ok((Decision { environment, verdict, changed }, waits_for))
    }

    /// What the event tells of a pull request; once: when it is looked at again, something newer may be known.
    async fn take_down(&mut self, event: &Event) -> StoreResult<()> {
        if let EventKind::PullRequest { change, pull } = &event.kind {
            pull_request::put(self.connection, &event.repo, *change, pull).await?;
        }
        Ok(())
    }

    async fn pulls_of(&mut self, event: &Event) -> StoreResult<Vec<PullRequest>> {
        match event.kind.branch() {
            Some(branch) => pull_request::of_branch(self.connection, &event.repo, branch).await,
            None => Ok(Vec::new()),
        }
    }

    /// Only the newest push waits; `false` when the one that does wants the same.
    async fn takes_its_place(&mut self, event: &Event, environment: EnvironmentId) -> StoreResult<bool> {
        let waiting = event::waiting_for(self.connection, environment).await?;
        if waiting.iter().any(|other| other.id != event.id && other.kind.commit() == event.kind.commit()) {
            return Ok(false);
        }
        if waiting.iter().any(|other| other.id != event.id) {
            event::overtake(self.connection, environment, event.id).await?;
        }
        Ok(true)
    }

    async fn change(&mut self, event: &Event, change: &Change) -> StoreResult<bool> {
        let Some(branch) = event.kind.branch() else { return Ok(false) };
        let changed = match (change, self.environment_of(event)) {
            (Change::Create { intent, commit, archive }, None) => {
                let new = NewEnvironment {
                    repo: event.repo.clone(),
                    branch: branch.clone(),
                    intent: intent.clone(),
                    commit: commit.clone(),
                    restored_from: archive.clone(),
                    now: self.now,
                };
                lifecycle::create(self.connection, self.instance, new).await?
            }
            (Change::Intend { intent, commit }, Some(environment)) => {
                let id = environment.id;
                if event.kind.is_push() {
                    environment::follow_branch(self.connection, id).await?;
                }
                event::overtake(self.connection, id, event.id).await?;
                lifecycle::intend(self.connection, id, intent, commit.as_ref(), self.now).await?
            }
            (Change::Nothing { .. } | Change::Create { .. } | Change::Intend { .. }, _) => return Ok(false),
        };
        self.environments.insert((event.repo.clone(), branch.clone()), Some(changed));
        Ok(true)
    }

    fn stored(&mut self, event: &NewEvent, delivery: Option<&NewDelivery>) -> Event {
        let id = EventId(self.next_event);
        self.next_event += 1;
        let delivery_id = delivery.map(|delivery| delivery.delivery_id.clone());
        Event {
            id,
            source: event.source,
            repo: event.repo.clone(),
            kind: event.kind.clone(),
            delivery_id: delivery_id.or_else(|| event.delivery_id.clone()),
            skip: event.skip,
            received_at: delivery.map_or(self.now, |delivery| delivery.received_at),
            state: EventState::Pending,
            reason: None,
        }
    }

    /// Reads the environments of the events' branches, in one statement for each repository.
    async fn look_up(&mut self, events: &[Event]) -> StoreResult<()> {
        let mut wanted: BTreeMap<&RepoName, BTreeSet<&BranchName>> = BTreeMap::new();
        for event in events {
            if let Some(branch) = event.kind.branch()
                && !self.environments.contains_key(&(event.repo.clone(), branch.clone()))
            {
                wanted.entry(&event.repo).or_default().insert(branch);
            }
        }
        for (repo, branches) in wanted {
            let branches: Vec<&BranchName> = branches.into_iter().collect();
            let live = environment::live_of(self.connection, repo, &branches).await?;
            for branch in branches {
                self.environments.insert((repo.clone(), branch.clone()), None);
            }
            for environment in live {
                let branch = (repo.clone(), environment.branch.clone());
                self.environments.insert(branch, Some(environment));
            }
        }
        Ok(())
    }

    fn environment_of(&self, event: &Event) -> Option<&Environment> {
        let branch = event.kind.branch()?;
        self.environments.get(&(event.repo.clone(), branch.clone()))?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{branch, commit, home, moment, repo};
    use super::*;
    use crate::domain::environment::Intent;
    use crate::domain::event::{EventKind, EventSource};

    /// A branch without an environment gets one, each later push is a new intent.
    fn push_runs(event: &Event, known: Known<'_>) -> Verdict {
        let commit = event.kind.commit();
        let intent = Intent::Run { commit: commit.clone(), rebuild: false, pull: false };
        let change = match known.environment {
            None => Change::Create { intent, commit, archive: None },
            Some(_) => Change::Intend { intent, commit },
        };
        let course = Course::Settled { state: EventState::Done, reason: None };
        Verdict { change, course, action: "deploying" }
    }

    fn push(name: &str, digit: char) -> NewEvent {
        let kind =
            EventKind::BranchPushed { branch: branch(name), before: commit('0'), commit: commit(digit) };
        NewEvent { source: EventSource::Git, repo: repo(), kind, delivery_id: None, skip: false }
    }

    fn delivery(id: &str, events: Vec<NewEvent>) -> Submission {
        let delivery = NewDelivery {
            repo: repo(),
            source: EventSource::Git,
            delivery_id: id.to_owned(),
            body: b"body".to_vec(),
            received_at: moment(7),
        };
        Submission::New { delivery: Some(delivery), events }
    }

    fn generations(folded: &[Folded]) -> Vec<i64> {
        folded.iter().filter_map(|one| Some(one.environment.as_ref()?.generation.0)).collect()
    }

    #[tokio::test]
    async fn events_see_what_followed_from_those_before_them() {
        let (_folder, store) = home().await;
        let batch = [
            delivery("1", vec![push("a", '1'), push("a", '2'), push("b", '3')]),
            delivery("2", vec![push("a", '4')]),
        ];
        let folded = store.fold(&batch, moment(9), &push_runs).await;
        assert_eq!(generations(folded[0].as_ref().unwrap()), [1, 2, 1]);
        assert_eq!(generations(folded[1].as_ref().unwrap()), [3]);
        let stored = store.live_environment(&repo(), &branch("a")).await.unwrap().unwrap();
        assert_eq!((stored.generation.0, stored.commit), (3, Some(commit('4'))));
        let listed = store.events(&Default::default()).await.unwrap();
        let told: Vec<Event> =
            folded.into_iter().flat_map(Result::unwrap).map(|one| one.event).rev().collect();
        assert_eq!(listed, told, "what is told is what is stored");
    }

    #[tokio::test]
    async fn a_delivery_that_comes_twice_in_one_batch_counts_once() {
        let (_folder, store) = home().await;
        let batch = [delivery("1", vec![push("a", '1')]), delivery("1", vec![push("a", '1')])];
        let folded = store.fold(&batch, moment(9), &push_runs).await;
        let [first, second] = [0, 1].map(|place: usize| folded[place].as_ref().unwrap()[0].clone());
        assert_eq!((first.event.id, first.is_new), (second.event.id, true));
        assert_eq!((second.verdict, second.is_new, second.changed), (None, false, false));
        assert_eq!(second.environment, first.environment);
    }

    #[tokio::test]
    async fn what_stands_in_the_way_of_one_is_not_the_matter_of_the_others() {
        let (_folder, store) = home().await;
        let poison = "CREATE TRIGGER poison BEFORE INSERT ON environment WHEN NEW.branch = 'poison'
                      BEGIN SELECT RAISE(ABORT, 'poisoned'); END";
        sqlx::query(poison).execute(&store.writer).await.unwrap();
        let names = ["a", "poison", "b"];
        let batch = names.map(|name| delivery(name, vec![push(name, '1'), push("shared", '2')]));
        let folded = store.fold(&batch, moment(9), &push_runs).await;
        assert_eq!(generations(folded[0].as_ref().unwrap()), [1, 1]);
        assert!(folded[1].as_ref().unwrap_err().to_string().contains("poisoned"));
        assert_eq!(generations(folded[2].as_ref().unwrap()), [1, 2], "nothing of the failed one counts");
        assert_eq!(store.events(&Default::default()).await.unwrap().len(), 4);
        sqlx::query("DROP TRIGGER poison").execute(&store.writer).await.unwrap();
        let again = store.fold(std::slice::from_ref(&batch[1]), moment(9), &push_runs).await;
        assert!(again[0].as_ref().unwrap()[0].is_new, "a delivery that was refused may come again");
    }

    #[tokio::test]
    async fn a_database_that_nobody_can_write_is_told_to_all_at_once() {
        let (folder, store) = home().await;
        let mut other = sqlx::sqlite::SqlitePool::connect(folder.path().join("drey.db").to_str().unwrap())
            .await
            .unwrap()
            .begin_with("BEGIN IMMEDIATE")
            .await
            .unwrap();
        let batch = ["1", "2", "3"].map(|id| delivery(id, vec![push("a", '1')]));
        let begin = std::time::Instant::now();
        let folded = store.fold(&batch, moment(9), &push_runs).await;
        assert!(folded.iter().all(|result| result.as_ref().is_err_and(StoreError::is_busy)), "{folded:?}");
        assert!(begin.elapsed() < 2 * super::super::BUSY_TIMEOUT, "nobody waits for each of the others");
        sqlx::query("SELECT 1").execute(&mut *other).await.unwrap();
        other.rollback().await.unwrap();
        assert!(store.fold(&batch, moment(9), &push_runs).await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn of_pushes_that_wait_the_newest_stays() {
        let (_folder, store) = home().await;
        let made = store.fold(&[delivery("1", vec![push("a", '1')])], moment(9), &push_runs).await;
        let environment = made[0].as_ref().unwrap()[0].environment.clone().unwrap();
        let waits = |_: &Event, _: Known<'_>| Verdict {
            change: Change::Nothing { reason: "it waits".to_owned() },
            course: Course::Waits,
            action: "queued",
        };
        // Two in one delivery, and one that says what the newest of them says.
        let batch =
            [delivery("2", vec![push("a", '2'), push("a", '3')]), delivery("3", vec![push("a", '3')])];
        store.fold(&batch, moment(10), &waits).await.into_iter().for_each(|result| drop(result.unwrap()));
        let pending = store.pending_events().await.unwrap();
        let [newest] = &pending[..] else { panic!("{pending:?}") };
        assert_eq!((newest.kind.commit(), newest.reason.as_deref()), (Some(commit('3')), Some("it waits")));
        assert_eq!(store.ended_waits().await.unwrap(), [], "the deployment runs");

        let ready = super::super::StateChange {
            settled: true,
            ..super::super::StateChange::to(crate::domain::environment::Phase::Ready)
        };
        store.update_state(environment.id, environment.generation, &ready, moment(11)).await.unwrap();
        assert_eq!(store.ended_waits().await.unwrap(), [newest.id]);
        let taken = store.fold(&[Submission::Again(newest.id)], moment(12), &push_runs).await;
        assert_eq!(generations(taken[0].as_ref().unwrap()), [2]);
        assert_eq!(store.pending_events().await.unwrap(), []);
        assert_eq!(store.ended_waits().await.unwrap(), []);
    }
}
