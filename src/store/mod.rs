//! SQLite: wishes and history, the truth about what is wanted.
//!
//! Every method is one whole transaction and returns after it is durable; writing ones begin IMMEDIATE, so that a
//! read followed by a write never fails for want of the lock. Knows no clock: times come in as values.

mod approval;
mod archive;
mod archive_image;
mod awake;
mod backup;
mod codec;
mod deployment;
mod environment;
mod error;
mod event;
mod examine;
mod figures;
mod former;
mod image;
mod intake;
mod job;
mod lifecycle;
mod outbox;
mod passed;
mod pull_request;
mod room;
mod route;
mod secret;
mod slug;
mod stack;
mod subnet;
#[cfg(test)]
mod testing;
mod token;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use crate::domain::names::InstanceId;

pub use archive::ArchiveFilter;
pub use error::{StoreError, StoreResult};
pub use event::{EventFilter, NewDelivery};
pub use examine::{Examined, Heard, examine};
pub use figures::Figures;
pub use former::PassedOver;
pub use intake::{Accepted, Decide, Folded, Known, Submission};
pub use lifecycle::{NewEnvironment, StateChange};
pub use outbox::OutboxRow;
pub use route::StoredRoute;
pub use slug::SLUG_HOLD;
pub use stack::AppliedStack;

/// How long a call waits for another process that writes (a backup tool, a person with `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the log of changes: what a long look at the past made of it is cut to this.
const LOG_LIMIT: &str = "16777216";
/// Readers see the last commit while a writer works; more of them than cores gain nothing.
const READERS: u32 = 3;
/// Characters of an instance id.
const INSTANCE_LENGTH: usize = 6;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The database of one data directory. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    path: Arc<PathBuf>,
    readers: SqlitePool,
    /// One connection: writers queue here in the order they came, instead of racing for SQLite's lock.
    writer: SqlitePool,
    instance: InstanceId,
    backups: Arc<tokio::sync::Mutex<()>>,
}

impl Store {
    /// Opens the database, makes it when it is not there (its folder must be), and brings the schema up to date.
    pub async fn open(path: &Path) -> StoreResult<Self> {
        make_private(path)
            .map_err(|error| StoreError::File { path: path.to_owned(), reason: error.to_string() })?;
        let options = connect_options(path);
        let failed =
            |error: sqlx::Error| StoreError::File { path: path.to_owned(), reason: error.to_string() };
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
        MIGRATIONS
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate { path: path.to_owned(), source })?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "on")).await.map_err(failed)?;
        let instance = draw_instance(&writer).await?;
        Ok(Self { path: Arc::new(path.to_owned()), readers, writer, instance, backups: Arc::default() })
    }

    /// Which daemon this data directory makes us.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Whether the database answers.
    pub async fn check(&self) -> StoreResult<()> {
        sqlx::query!("SELECT 1 AS answer").fetch_one(&self.readers).await?;
        Ok(())
    }

    /// Ends all connections, after which the file stands for itself.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A transaction that may write. Dropped without a commit it leaves nothing behind.
    async fn write(&self) -> StoreResult<Transaction<'static, Sqlite>> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        match self.writer.begin_with(BEGIN).await {
            // SQLite took the transaction back by itself, as it does when the disk is full; the connection still counts it.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                Ok(self.writer.begin_with(BEGIN).await?)
            }
            begun => Ok(begun?),
        }
    }
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", LOG_LIMIT)
}

/// Connections stay open: nothing wakes up to look after them while the daemon is idle.
fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(size)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The file is readable by its owner alone from its first moment; SQLite gives its side files the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

async fn draw_instance(writer: &SqlitePool) -> StoreResult<InstanceId> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    if let Some(name) =
        sqlx::query_scalar!("SELECT name FROM instance").fetch_optional(&mut *transaction).await?
    {
        return Ok(InstanceId(name));
    }
    let bytes: Vec<u8> = sqlx::query_scalar("SELECT randomblob(4)").fetch_one(&mut *transaction).await?;
    let mut name = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
    name.truncate(INSTANCE_LENGTH);
    sqlx::query!("INSERT INTO instance (id, name) VALUES (1, ?)", name).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(InstanceId(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::testing::{branch, home, moment, new_environment, run};
    use super::*;
    use crate::domain::environment::{Intent, Outcome, Phase};

    #[tokio::test]
    async fn the_file_is_private_and_durable() {
        let (folder, store) = home().await;
        for name in ["drey.db", "drey.db-wal", "drey.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        for pool in [&store.readers, &store.writer] {
            let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await.unwrap();
            let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(pool).await.unwrap();
            let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(pool).await.unwrap();
            let busy: i64 = sqlx::query_scalar("PRAGMA busy_timeout").fetch_one(pool).await.unwrap();
            assert_eq!((journal.as_str(), synchronous, foreign_keys, busy), ("wal", 2, 1, 5000));
        }
        store.check().await.unwrap();
        let refused = sqlx::query("DELETE FROM event").execute(&store.readers).await;
        assert!(refused.is_err(), "writing is done in transactions of the writer only");
    }

    #[tokio::test]
    async fn reopening_keeps_everything() {
        let (folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let changed = store.set_intent(made.id, &run(), None, moment(2)).await.unwrap();
        let instance = store.instance().clone();
        store.close().await;

        let again = Store::open(&folder.path().join("drey.db")).await.unwrap();
        assert_eq!(again.instance(), &instance);
        assert_eq!(instance.0.len(), INSTANCE_LENGTH);
        assert_eq!(again.environment(made.id).await.unwrap(), Some(changed));
    }

    #[tokio::test]
    async fn concurrent_read_then_write_never_fails() {
        let (folder, store) = home().await;
        // A second daemon's connections: here SQLite's own lock is what they meet at.
        let other = Store::open(&folder.path().join("drey.db")).await.unwrap();
        let id = store.create_environment(new_environment("a", 1)).await.unwrap().id;
        let end = Intent::End { outcome: Outcome::Manual, archive: true };
        let calls = (0..40).map(|number| {
            let store = if number % 2 == 0 { store.clone() } else { other.clone() };
            let intent = if number % 3 == 0 { end.clone() } else { run() };
            async move { store.set_intent(id, &intent, None, moment(number)).await.unwrap().generation.0 }
        });
        let generations: BTreeSet<i64> = futures_util::future::join_all(calls).await.into_iter().collect();
        assert_eq!(generations, (2..=41).collect());
    }

    #[tokio::test]
    async fn the_database_agrees_with_the_domain_on_what_is_over() {
        let (_folder, store) = home().await;
        for phase in Phase::ALL {
            let name = format!("branch-{}", phase.word());
            let made = store.create_environment(new_environment(&name, 1)).await.unwrap();
            let change = StateChange { phase, ..StateChange::to(phase) };
            store.update_state(made.id, made.generation, &change, moment(2)).await.unwrap().unwrap();
            let live = store.live_environment(&made.repo, &branch(&name)).await.unwrap();
            assert_eq!(live.is_none(), phase.is_over(), "{phase:?}");
        }
    }

    #[tokio::test]
    async fn a_missing_folder_is_named() {
        let error = Store::open(Path::new("/nonexistent/drey.db")).await.unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/drey.db: "), "{error}");
        assert!(!error.is_busy());
    }
}
