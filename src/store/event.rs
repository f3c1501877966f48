//! Deliveries and the events they became.

use sqlx::SqliteConnection;

use super::codec::{Row, word};
use super::{Store, StoreError, StoreResult};
use crate::domain::event::{Event, EventId, EventKind, EventSource, EventState};
use crate::domain::names::{BranchName, EnvironmentId, RepoName};
use crate::domain::time::Timestamp;

/// What is told of a push that waited, when something newer is wanted.
const OVERTAKEN: &str = "something newer was wanted before its turn came";

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
    /// Events nobody has dealt with yet, oldest first.
    pub async fn pending_events(&self) -> StoreResult<Vec<Event>> {
        let rows = query_events!("WHERE state = 'pending' ORDER BY id").fetch_all(&self.readers).await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// Pushes that waited for a deployment which has come to its end, oldest first.
    pub async fn ended_waits(&self) -> StoreResult<Vec<EventId>> {
        let ids = sqlx::query_scalar!(
            "SELECT event.id FROM event JOIN environment ON environment.id = event.waits_for
             WHERE environment.settled_generation >= environment.generation ORDER BY event.id"
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(ids.into_iter().map(EventId).collect())
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
        let done = sqlx::query!(
            "UPDATE event SET state = ?, reason = ?, waits_for = NULL WHERE id = ?",
            state,
            reason,
            id.0
        )
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

/// The id that the next event gets.
pub(super) async fn next_id(connection: &mut SqliteConnection) -> StoreResult<i64> {
    // Unchecked: the macro cannot describe a table of SQLite's own.
    let last = sqlx::query_scalar::<_, i64>("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
        .fetch_optional(connection)
        .await?;
    Ok(last.unwrap_or(0) + 1)
}

pub(super) async fn find(connection: &mut SqliteConnection, id: EventId) -> StoreResult<Option<Event>> {
    let row = query_events!("WHERE id = ?", id.0).fetch_optional(connection).await?;
    row.map(Event::try_from).transpose()
}

/// Stores the delivery; `None`, and nothing is written, when its id is known.
pub(super) async fn insert_delivery(
    connection: &mut SqliteConnection,
    delivery: &NewDelivery,
) -> StoreResult<Option<i64>> {
    let NewDelivery { repo, source, delivery_id, body, received_at } = delivery;
    let source = word(source)?;
    let (repo, received) = (repo.as_str(), received_at.as_millis());
    let done = sqlx::query!(
        "INSERT INTO delivery (repo, source, delivery_id, body, received_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (repo, delivery_id) DO NOTHING",
        repo,
        source,
        delivery_id,
        body,
        received
    )
    .execute(connection)
    .await?;
    Ok((done.rows_affected() > 0).then(|| done.last_insert_rowid()))
}

/// The events of a delivery that came before.
pub(super) async fn of_delivery(
    connection: &mut SqliteConnection,
    delivery: &NewDelivery,
) -> StoreResult<Vec<Event>> {
    let repo = delivery.repo.as_str();
    let rows = query_events!(
        "WHERE delivery = (SELECT id FROM delivery WHERE repo = ? AND delivery_id = ?) ORDER BY place",
        repo,
        delivery.delivery_id
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Event::try_from).collect()
}

/// What events have in common that go into the table in one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Common<'a> {
    source: EventSource,
    repo: &'a RepoName,
    delivery_id: Option<&'a str>,
    skip: bool,
    received_at: Timestamp,
    state: EventState,
    reason: Option<&'a str>,
}

impl<'a> Common<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            source: event.source,
            repo: &event.repo,
            delivery_id: event.delivery_id.as_deref(),
            skip: event.skip,
            received_at: event.received_at,
            state: event.state,
            reason: event.reason.as_deref(),
        }
    }
}

/// Stores events under the ids that they have, which follow one another; the first has this place in the delivery. A
/// push may bring thousands of refs: those that have all but their kind in common go in together.
pub(super) async fn insert_events(
    connection: &mut SqliteConnection,
    delivery: Option<i64>,
    mut place: usize,
    events: &[Event],
    waits_for: Option<EnvironmentId>,
) -> StoreResult<()> {
    for alike in events.chunk_by(|one, next| Common::of(one) == Common::of(next)) {
        let Some(first) = alike.first() else { continue };
        let Common { source, repo, delivery_id, skip, received_at, state, reason } = Common::of(first);
        let kinds: Vec<&EventKind> = alike.iter().map(|event| &event.kind).collect();
        let (kinds, source, state) = (serde_json::to_string(&kinds)?, word(&source)?, word(&state)?);
        let (repo, received_at) = (repo.as_str(), received_at.as_millis());
        let (first_place, waits_for) = (i64::try_from(place).unwrap_or(i64::MAX), waits_for.map(|id| id.0));
        sqlx::query!(
            "INSERT INTO event (id, delivery, place, source, repo, kind, branch, detail, delivery_id, skip,
                                received_at, state, reason, waits_for)
             SELECT ?1 + key, ?2, ?3 + key, ?4, ?5, value ->> 'kind', coalesce(value ->> 'branch', value -> 'pull' ->> 'branch'), value, ?6, ?7,
                    ?8, ?9, ?10, ?11
             FROM json_each(?12)",
            first.id.0,
            delivery,
            first_place,
            source,
            repo,
            delivery_id,
            skip,
            received_at,
            state,
            reason,
            waits_for,
            kinds
        )
        .execute(&mut *connection)
        .await?;
        place += alike.len();
    }
    Ok(())
}

/// Writes down how far a stored event came.
pub(super) async fn update(
    connection: &mut SqliteConnection,
    event: &Event,
    waits_for: Option<EnvironmentId>,
) -> StoreResult<()> {
    let (state, waits_for) = (word(&event.state)?, waits_for.map(|id| id.0));
    sqlx::query!(
        "UPDATE event SET state = ?, reason = ?, waits_for = ? WHERE id = ?",
        state,
        event.reason,
        waits_for,
        event.id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Pushes that wait for the environment's deployment, oldest first.
pub(super) async fn waiting_for(
    connection: &mut SqliteConnection,
    environment: EnvironmentId,
) -> StoreResult<Vec<Event>> {
    let rows = query_events!("WHERE waits_for = ? ORDER BY id", environment.0).fetch_all(connection).await?;
    rows.into_iter().map(Event::try_from).collect()
}

/// Settles what waits for the environment, except this event.
pub(super) async fn overtake(
    connection: &mut SqliteConnection,
    environment: EnvironmentId,
    by: EventId,
) -> StoreResult<()> {
    sqlx::query!(
        "UPDATE event SET state = 'done', reason = ?, waits_for = NULL WHERE waits_for = ? AND id <> ?",
        OVERTAKEN,
        environment.0,
        by.0
    )
    .execute(connection)
    .await?;
    Ok(())
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
    use super::super::Accepted;
    use super::super::testing::{branch, commit, home, moment, repo};
    use super::*;
    use crate::domain::environment::RemovalReason;
    use crate::domain::event::NewEvent;

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
            EventKind::BranchCreated { branch: branch.clone(), commit: Some(commit.clone()) },
            EventKind::BranchPushed { branch: branch.clone(), before: before.clone(), commit },
            EventKind::BranchDeleted { branch: branch.clone(), before: Some(before) },
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
        let columns: Vec<(String, Option<String>, i64)> =
            sqlx::query_as("SELECT kind, branch, place FROM event ORDER BY id")
                .fetch_all(&store.readers)
                .await
                .unwrap();
        let expected: Vec<(String, Option<String>, i64)> = events
            .iter()
            .zip(0..)
            .map(|(event, place)| {
                (event.kind.word().to_owned(), event.kind.branch().map(ToString::to_string), place)
            })
            .collect();
        assert_eq!(columns, expected, "what filters use is what the kind says");
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
