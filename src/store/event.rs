//! Deliveries and the events they became.

use sqlx::SqliteConnection;

use super::codec::{Row, word};
use super::{Store, StoreError, StoreResult};
use crate::domain::event::{Event, EventId, EventSource, EventState, NewEvent};
use crate::domain::names::{BranchName, RepoName};
use crate::domain::time::Timestamp;

/// A request of a hook or forge, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    pub repo: RepoName,
    pub source: EventSource,
    /// Unique per repository: the same id again is the same delivery.
    pub delivery_id: String,
    pub body: Vec<u8>,
    pub received_at: Timestamp,
}

/// An event that is stored now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub event: Event,
    /// False when the delivery was known already and the event is that of the first time.
    pub is_new: bool,
}

/// Which events to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    pub repo: Option<RepoName>,
    pub branch: Option<BranchName>,
    /// Only events older than this one: the next page.
    pub before: Option<EventId>,
    /// At most so many.
    pub limit: u32,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self { repo: None, branch: None, before: None, limit: 100 }
    }
}

/// The columns an event is made of; `kind`, `branch`, `delivery` and `place` are there for filters.
macro_rules! query_events {
    ($rest:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            EventRow,
            "SELECT id, source, repo, detail, delivery_id, skip, received_at, state, reason FROM event " + $rest
            $(, $argument)*
        )
    };
}

impl Store {
    /// Stores a delivery with its events, or finds those of the first time by the delivery's id.
    /// The events of a delivery get its id and its time; others get `now`.
    pub async fn accept(
        &self,
        delivery: Option<NewDelivery>,
        events: &[NewEvent],
        now: Timestamp,
    ) -> StoreResult<Vec<Accepted>> {
        let mut transaction = self.write().await?;
        let origin = match delivery {
            None => Origin { row: None, delivery_id: None, received_at: now },
            Some(delivery) => {
                let known = events_of_delivery(&mut transaction, &delivery).await?;
                if let Some(events) = known {
                    return Ok(events);
                }
                insert_delivery(&mut transaction, delivery).await?
            }
        };
        let mut accepted = Vec::with_capacity(events.len());
        for (place, event) in events.iter().enumerate() {
            let event = insert_event(&mut transaction, &origin, place, event).await?;
            accepted.push(Accepted { event, is_new: true });
        }
        transaction.commit().await?;
        Ok(accepted)
    }

    /// Events nobody has dealt with yet, oldest first.
    pub async fn pending_events(&self) -> StoreResult<Vec<Event>> {
        let rows = query_events!("WHERE state = 'pending' ORDER BY id").fetch_all(&self.readers).await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// Says how far an event has come, and why.
    pub async fn settle_event(
        &self,
        id: EventId,
        state: EventState,
        reason: Option<&str>,
    ) -> StoreResult<()> {
        let state = word(&state)?;
        let mut transaction = self.write().await?;
        let done = sqlx::query!("UPDATE event SET state = ?, reason = ? WHERE id = ?", state, reason, id.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "event", id: id.0.to_string() });
        }
        Ok(())
    }

    /// The event as stored.
    pub async fn event(&self, id: EventId) -> StoreResult<Option<Event>> {
        let row = query_events!("WHERE id = ?", id.0).fetch_optional(&self.readers).await?;
        row.map(Event::try_from).transpose()
    }

    /// Events that match, newest first.
    pub async fn events(&self, filter: &EventFilter) -> StoreResult<Vec<Event>> {
        let repo = filter.repo.as_ref().map(RepoName::as_str);
        let branch = filter.branch.as_ref().map(BranchName::as_str);
        let before = filter.before.map_or(i64::MAX, |id| id.0);
        let rows = query_events!(
            "WHERE (?1 IS NULL OR repo = ?1) AND (?2 IS NULL OR branch = ?2) AND id < ?3
             ORDER BY id DESC LIMIT ?4",
            repo,
            branch,
            before,
            filter.limit
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// Puts the event back to pending, as if it came now.
    pub async fn replay(&self, id: EventId) -> StoreResult<()> {
        self.settle_event(id, EventState::Pending, None).await
    }
}

/// What the events of one call have in common.
struct Origin {
    row: Option<i64>,
    delivery_id: Option<String>,
    received_at: Timestamp,
}

/// The events of a delivery that came before; `None` when it did not.
async fn events_of_delivery(
    connection: &mut SqliteConnection,
    delivery: &NewDelivery,
) -> StoreResult<Option<Vec<Accepted>>> {
    let repo = delivery.repo.as_str();
    let row = sqlx::query_scalar!(
        "SELECT id FROM delivery WHERE repo = ? AND delivery_id = ?",
        repo,
        delivery.delivery_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let rows = query_events!("WHERE delivery = ? ORDER BY place", row).fetch_all(connection).await?;
    let events = rows.into_iter().map(|row| Ok(Accepted { event: row.try_into()?, is_new: false }));
    events.collect::<StoreResult<Vec<_>>>().map(Some)
}

async fn insert_delivery(connection: &mut SqliteConnection, delivery: NewDelivery) -> StoreResult<Origin> {
    let NewDelivery { repo, source, delivery_id, body, received_at } = delivery;
    let source = word(&source)?;
    let (repo, received) = (repo.as_str(), received_at.as_millis());
    let done = sqlx::query!(
        "INSERT INTO delivery (repo, source, delivery_id, body, received_at) VALUES (?, ?, ?, ?, ?)",
        repo,
        source,
        delivery_id,
        body,
        received
    )
    .execute(connection)
    .await?;
    Ok(Origin { row: Some(done.last_insert_rowid()), delivery_id: Some(delivery_id), received_at })
}

async fn insert_event(
    connection: &mut SqliteConnection,
    origin: &Origin,
    place: usize,
    event: &NewEvent,
) -> StoreResult<Event> {
    let delivery_id = origin.delivery_id.as_ref().or(event.delivery_id.as_ref());
    let place = i64::try_from(place).unwrap_or(i64::MAX);
    let source = word(&event.source)?;
    let (repo, kind, branch) =
        (event.repo.as_str(), event.kind.word(), event.kind.branch().map(BranchName::as_str));
    let detail = serde_json::to_string(&event.kind)?;
    let received_at = origin.received_at.as_millis();
    let done = sqlx::query!(
        "INSERT INTO event (delivery, place, source, repo, kind, branch, detail, delivery_id, skip, received_at, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')",
        origin.row,
        place,
        source,
        repo,
        kind,
        branch,
        detail,
        delivery_id,
        event.skip,
        received_at
    )
    .execute(connection)
    .await?;
    Ok(Event {
        id: EventId(done.last_insert_rowid()),
        source: event.source,
        repo: event.repo.clone(),
        kind: event.kind.clone(),
        delivery_id: delivery_id.cloned(),
        skip: event.skip,
        received_at: origin.received_at,
        state: EventState::Pending,
        reason: None,
    })
}

struct EventRow {
    id: i64,
    source: String,
    repo: String,
    detail: String,
    delivery_id: Option<String>,
    skip: i64,
    received_at: i64,
    state: String,
    reason: Option<String>,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> StoreResult<Self> {
        let name = Row { table: "event", key: &row.id };
        Ok(Self {
            id: EventId(row.id),
            source: name.word(&row.source)?,
            repo: name.read(RepoName::parse(&row.repo))?,
            kind: name.json(&row.detail)?,
            delivery_id: row.delivery_id,
            skip: row.skip != 0,
            received_at: Timestamp::from_millis(row.received_at),
            state: name.word(&row.state)?,
            reason: row.reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{branch, commit, home, moment, repo};
    use super::*;
    use crate::domain::environment::RemovalReason;
    use crate::domain::event::EventKind;

    fn delivery(id: &str) -> NewDelivery {
        NewDelivery {
            repo: repo(),
            source: EventSource::Git,
            delivery_id: id.to_owned(),
            body: b"body \xff\0".to_vec(),
            received_at: moment(7),
        }
    }

    fn event(kind: EventKind) -> NewEvent {
        NewEvent { source: EventSource::Git, repo: repo(), kind, delivery_id: None, skip: false }
    }

    fn all_kinds() -> Vec<NewEvent> {
        let (branch, before, commit) = (branch("a`b/$(rm)"), commit('1'), commit('2'));
        [
            EventKind::BranchCreated { branch: branch.clone(), commit: commit.clone() },
            EventKind::BranchPushed { branch: branch.clone(), before: before.clone(), commit },
            EventKind::BranchDeleted { branch: branch.clone(), before },
            EventKind::Look,
            EventKind::DeployRequested { branch: branch.clone(), rebuild: true, pull: false },
            EventKind::EndRequested { branch: branch.clone(), archive: true },
            EventKind::EndDue { branch: branch.clone() },
            EventKind::Drifted { branch: branch.clone() },
            EventKind::Ignored { reference: "refs/tags/v1".to_owned() },
            EventKind::ArchiveRemoval { branch, archive: "a-1-1".to_owned(), reason: RemovalReason::Expired },
        ]
        .map(event)
        .to_vec()
    }

    #[tokio::test]
    async fn every_kind_comes_back_as_it_was_stored() {
        let (_folder, store) = home().await;
        let accepted = store.accept(Some(delivery("1")), &all_kinds(), moment(9)).await.unwrap();
        let events: Vec<Event> = accepted.into_iter().map(|accepted| accepted.event).collect();
        assert_eq!(store.pending_events().await.unwrap(), events);
        assert!(events.iter().all(|event| event.received_at == moment(7)));
        assert!(events.iter().all(|event| event.delivery_id.as_deref() == Some("1")));
    }

    #[tokio::test]
    async fn a_delivery_counts_once_also_when_it_comes_many_times_at_once() {
        let (_folder, store) = home().await;
        let events = all_kinds();
        let calls = (0..20).map(|_| store.accept(Some(delivery("same")), &events, moment(9)));
        let answers = futures_util::future::join_all(calls).await;
        let answers: Vec<Vec<Accepted>> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|accepted| accepted.iter().all(|one| one.is_new)).count(), 1);
        assert_eq!(answers.iter().filter(|accepted| accepted.iter().any(|one| one.is_new)).count(), 1);
        for accepted in &answers {
            let ids = |list: &[Accepted]| list.iter().map(|one| one.event.id).collect::<Vec<_>>();
            assert_eq!(ids(accepted), ids(&answers[0]));
        }
        assert_eq!(store.pending_events().await.unwrap().len(), events.len());

        let other = RepoName::parse("other").unwrap();
        let elsewhere = NewDelivery { repo: other, ..delivery("same") };
        assert!(store.accept(Some(elsewhere), &events, moment(9)).await.unwrap()[0].is_new);
    }

    #[tokio::test]
    async fn events_without_a_delivery_are_never_the_same() {
        let (_folder, store) = home().await;
        for _ in 0..2 {
            let accepted = store.accept(None, &[event(EventKind::Look)], moment(9)).await.unwrap();
            assert!(accepted[0].is_new);
            assert_eq!(accepted[0].event.received_at, moment(9));
        }
        assert_eq!(store.pending_events().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn settled_events_leave_the_queue_until_they_are_replayed() {
        let (_folder, store) = home().await;
        let accepted = store.accept(None, &all_kinds(), moment(9)).await.unwrap();
        let id = accepted[0].event.id;
        store.settle_event(id, EventState::Failed, Some("why")).await.unwrap();
        let event = store.event(id).await.unwrap().unwrap();
        assert_eq!((event.state, event.reason.as_deref()), (EventState::Failed, Some("why")));
        assert_eq!(store.pending_events().await.unwrap().len(), all_kinds().len() - 1);
        store.replay(id).await.unwrap();
        assert_eq!(store.event(id).await.unwrap().unwrap(), accepted[0].event);
        let error = store.replay(EventId(999)).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no event 999");
    }

    #[tokio::test]
    async fn lists_are_newest_first_and_paged() {
        let (_folder, store) = home().await;
        let accepted = store.accept(None, &all_kinds(), moment(9)).await.unwrap();
        let newest = accepted[9].event.id;
        let page = EventFilter { before: Some(newest), limit: 2, ..EventFilter::default() };
        let ids: Vec<EventId> = store.events(&page).await.unwrap().iter().map(|event| event.id).collect();
        assert_eq!(ids, [accepted[8].event.id, accepted[7].event.id]);

        let of_branch = EventFilter { branch: Some(branch("a`b/$(rm)")), ..EventFilter::default() };
        assert_eq!(store.events(&of_branch).await.unwrap().len(), 8);
        let other = EventFilter { repo: RepoName::parse("other").ok(), ..EventFilter::default() };
        assert_eq!(store.events(&other).await.unwrap(), []);
    }
}
