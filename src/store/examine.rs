//! A look at a database from outside: nothing of it is changed, whether a daemon uses it or not.

use std::ffi::OsString;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{BUSY_TIMEOUT, StoreError, StoreResult};
use crate::domain::time::Timestamp;

/// Most faults that are told; the first says enough.
const FAULTS: u32 = 5;

/// What a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// What SQLite finds wrong with the file; empty: it is sound.
    pub faults: Vec<String>,
    /// When the newest event came, by the clock of that time.
    pub newest: Option<Timestamp>,
}

/// Reads the whole database once. `None`: there is none yet.
///
/// # Errors
/// When it cannot be read at all.
pub async fn examine(path: &Path) -> StoreResult<Option<Examined>> {
    let failed = |reason: String| StoreError::File { path: path.to_owned(), reason };
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
        Ok(_) => {}
    }
    let mut log = OsString::from(path);
    log.push("-wal");
    // Without a log nobody writes, and the file can be read without the side files that SQLite would make else.
    let is_at_rest = !Path::new(&log).exists();
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.immutable(is_at_rest).connect().await?;
    let examined = look(&mut connection).await;
    connection.close().await?;
    examined.map(Some)
}

async fn look(connection: &mut SqliteConnection) -> StoreResult<Examined> {
    let told: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("PRAGMA quick_check({FAULTS})")))
        .fetch_all(&mut *connection)
        .await?;
    let newest: Option<i64> = sqlx::query_scalar("SELECT received_at FROM event ORDER BY id DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    Ok(Examined {
        faults: told.into_iter().filter(|line| line != "ok").collect(),
        newest: newest.map(Timestamp::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{home, moment, new_environment};
    use super::*;
    use crate::domain::event::{EventKind, EventSource, NewEvent};

    fn files(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_sound_one_is_sound_in_use_and_at_rest_and_stays_as_it_is() {
        let (folder, store) = home().await;
        let path = folder.path().join("drey.db");
        let look = NewEvent {
            source: EventSource::Git,
            repo: new_environment("a", 1).repo,
            kind: EventKind::Look,
            delivery_id: None,
            skip: false,
        };
        store.accept(None, &[look], moment(7)).await.unwrap();
        let sound = Examined { faults: Vec::new(), newest: Some(moment(7)) };
        let before = files(folder.path());
        assert_eq!(examine(&path).await.unwrap(), Some(sound.clone()));
        assert_eq!(files(folder.path()), before);
        store.close().await;
        let before = files(folder.path());
        assert_eq!(examine(&path).await.unwrap(), Some(sound));
        assert_eq!(files(folder.path()), before);
        assert_eq!(examine(&folder.path().join("none")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_one_is_told() {
        let (folder, store) = home().await;
        let path = folder.path().join("drey.db");
        for number in 0..200 {
            store.create_environment(new_environment(&format!("branch-{number}"), number)).await.unwrap();
        }
        store.close().await;
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        bytes[half..].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let examined = examine(&path).await;
        assert!(examined.is_err() || examined.is_ok_and(|found| !found.unwrap().faults.is_empty()));
        std::fs::write(&path, "no database at all, whatever its name says").unwrap();
        assert!(examine(&path).await.is_err());
    }
}
