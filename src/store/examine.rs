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
    /// By repository.
    pub heard: Vec<Heard>,
    /// Repositories whose forge did not take something, how much, and why.
    pub untold: Vec<(String, i64, String)>,
}

/// What was heard of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub repo: String,
    /// The last delivery of a hook or forge.
    pub delivered_at: Option<Timestamp>,
    /// The last time that a look at the remote showed something that nobody had told of.
    pub found_at: Option<Timestamp>,
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
        .fetch_optional(&mut *connection)
        .await?;
    let heard: Vec<(String, Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT repo, max(CASE WHEN delivery IS NOT NULL THEN received_at END),
                max(CASE WHEN source = 'poll' AND kind IN ('branch_created', 'branch_pushed') THEN received_at END)
         FROM event GROUP BY repo ORDER BY repo",
    )
    .fetch_all(&mut *connection)
    .await?;
    let untold = sqlx::query_as(
        "SELECT repo, COUNT(*), MAX(last_error) FROM outbox
         WHERE sent IS NOT wanted AND last_error IS NOT NULL GROUP BY repo ORDER BY repo",
    );
    // A database that an older drey made has no such table.
    let untold = untold.fetch_all(connection).await.unwrap_or_default();
    let heard = heard.into_iter().map(|(repo, delivered, found)| Heard {
        repo,
        delivered_at: delivered.map(Timestamp::from_millis),
        found_at: found.map(Timestamp::from_millis),
    });
    Ok(Examined {
        heard: heard.collect(),
        faults: told.into_iter().filter(|line| line != "ok").collect(),
        newest: newest.map(Timestamp::from_millis),
        untold,
    })
}

#[cfg(test)]
mod tests {
    use super::super::NewDelivery;
    use super::super::testing::{branch, home, moment, new_environment};
    use super::*;
    use crate::domain::event::{EventKind, EventSource, NewEvent};
    use crate::domain::report::{CommentReport, Report};

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
        let repo = new_environment("a", 1).repo;
        let event =
            |source, kind| NewEvent { source, repo: repo.clone(), kind, delivery_id: None, skip: false };
        let delivery = NewDelivery {
            repo: repo.clone(),
            source: EventSource::Git,
            delivery_id: "1".to_owned(),
            body: Vec::new(),
            received_at: moment(3),
        };
        let ignored = EventKind::Ignored { reference: "x".to_owned() };
        store.accept(Some(delivery), &[event(EventSource::Git, ignored)], moment(3)).await.unwrap();
        let found = EventKind::BranchCreated { branch: branch("a"), commit: None };
        store.accept(None, &[event(EventSource::Poll, found)], moment(5)).await.unwrap();
        store.accept(None, &[event(EventSource::Poll, EventKind::Look)], moment(7)).await.unwrap();
        let heard =
            Heard { repo: repo.to_string(), delivered_at: Some(moment(3)), found_at: Some(moment(5)) };
        let comment = Report::Comment(CommentReport { pull: 7, body: String::new() });
        store.wish((&repo, &branch("a")), &[comment], moment(1), moment(1)).await.unwrap();
        store.outbox_failed(1, "no answer", moment(9)).await.unwrap();
        let untold = vec![("shop".to_owned(), 1, "no answer".to_owned())];
        let (newest, heard) = (Some(moment(7)), vec![heard]);
        let sound = Examined { faults: Vec::new(), newest, heard, untold };
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
