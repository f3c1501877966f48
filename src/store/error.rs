//! What can go wrong with the database.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::domain::subnet::SubnetError;

/// Why the database did not do what was asked. Nothing of the failed call is stored.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database file, or the folder it lies in, cannot be used.
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    /// The schema could not be brought up to date.
    #[error("{}: the schema cannot be brought up to date: {source} (a database of a newer drey needs that drey; else restore a backup)", path.display())]
    Migrate { path: PathBuf, source: sqlx::migrate::MigrateError },
    /// There is no room left for what was to be written.
    #[error("no room for the database ({0}): make room on the disk of data_dir; drey goes on by itself")]
    Full(sqlx::Error),
    /// Somebody else writes, for longer than is waited.
    #[error(
        "the database is locked by another process ({0}): a backup tool, or a person with sqlite3? drey goes on by itself"
    )]
    Busy(sqlx::Error),
    /// SQLite refused or failed.
    #[error("database: {0}")]
    Database(sqlx::Error),
    /// A stored value is not what this program writes.
    #[error("database: table {table}, row {row}: {reason}")]
    Corrupt { table: &'static str, row: String, reason: String },
    /// A value could not be turned into JSON.
    #[error("database: cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
    /// What was asked for was never stored.
    #[error("there is no {what} {id}")]
    Missing { what: &'static str, id: String },
    /// The branch has a live environment already.
    #[error("{name} has an environment already")]
    AlreadyLive { name: String },
    /// The environment has come to its end: a new life of the branch is a new environment.
    #[error("environment {id} has come to its end")]
    Over { id: i64 },
    /// Another environment answers under this host.
    #[error("host {host} belongs to another environment")]
    HostTaken { host: String },
    /// All slugs that the branch could get are taken.
    #[error("no slug is free for {name}")]
    NoSlug { name: String },
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    /// What was handed in was not even tried.
    #[error("not taken: {reason}")]
    NotTaken { reason: &'static str },
    /// The commit that several calls shared did not come about: each is told the same.
    #[error(transparent)]
    Together(Arc<Self>),
}

impl StoreError {
    /// Somebody else held the database for longer than the time limit: worth another try.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Together(error) => error.is_busy(),
            _ => matches!(self, Self::Busy(_)),
        }
    }

    /// Worth another try once somebody made room.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Together(error) => error.is_full(),
            _ => matches!(self, Self::Full(_)),
        }
    }

    /// Whether it stands in everybody's way (a full disk, a locked database), not only in that of one call.
    pub(super) fn concerns_all(&self) -> bool {
        /// Primary result codes that are about a value: `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH`.
        const OF_ONE_ROW: [i64; 3] = [18, 19, 20];
        match self {
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .and_then(|code| code.parse::<i64>().ok())
                .is_none_or(|code| !OF_ONE_ROW.contains(&(code & 0xff))),
            Self::Full(_) | Self::Busy(_) | Self::Database(_) | Self::File { .. } | Self::Migrate { .. } => {
                true
            }
            Self::Together(error) => error.concerns_all(),
            Self::Corrupt { .. }
            | Self::Encode(_)
            | Self::Missing { .. }
            | Self::AlreadyLive { .. }
            | Self::Over { .. }
            | Self::HostTaken { .. }
            | Self::NoSlug { .. }
            | Self::NotTaken { .. }
            | Self::Subnet(_) => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        /// Primary result codes of SQLite: `SQLITE_BUSY` and `SQLITE_LOCKED`.
        const BUSY: [i64; 2] = [5, 6];
        /// `SQLITE_FULL`, as primary code.
        const FULL: i64 = 13;
        /// Extended: the file that readers and the writer share cannot grow (`SQLITE_IOERR_SHMSIZE`).
        const NO_ROOM_TO_SHARE: i64 = 4874;
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy(error);
        }
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i64>().ok());
        match code {
            Some(code) if BUSY.contains(&(code & 0xff)) => Self::Busy(error),
            Some(code) if code & 0xff == FULL || code == NO_ROOM_TO_SHARE => Self::Full(error),
            Some(_) | None => Self::Database(error),
        }
    }
}

/// What every method of the store returns.
pub type StoreResult<T> = Result<T, StoreError>;
