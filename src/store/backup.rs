//! A consistent copy of the database while it is in use.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection};

use super::{Store, StoreError, StoreResult, connect_options};

impl Store {
    /// Writes a copy as of one moment to `destination`, readable by its owner alone. Refuses to overwrite.
    /// The file is whole once it has its name; a crash can only leave `.<name>.<process id>.partial` behind.
    pub async fn backup(&self, destination: &Path) -> StoreResult<()> {
        let _one_at_a_time = self.backups.lock().await;
        let named = |error: io::Error| file_error(destination, &error.to_string());
        if destination.symlink_metadata().is_ok() {
            return Err(file_error(destination, "exists already; name a new file or remove this one first"));
        }
        let partial = partial_name(destination)?;
        make_empty(&partial).map_err(named)?;
        let copied = self.copy_into(&partial).await;
        let finished = copied.and_then(|()| finish(&partial, destination).map_err(named));
        if finished.is_err() {
            // Best effort: the failure itself is what the caller must hear of.
            drop(std::fs::remove_file(&partial));
        }
        finished
    }

    /// On a connection of its own, so that readers and the writer go on.
    async fn copy_into(&self, partial: &Path) -> StoreResult<()> {
        let target =
            partial.to_str().ok_or_else(|| file_error(partial, "is not UTF-8, which SQLite needs"))?;
        let mut connection = connect_options(&self.path).connect().await?;
        let copied = sqlx::query("VACUUM INTO ?").bind(target).execute(&mut connection).await;
        connection.close().await?;
        copied?;
        Ok(())
    }
}

/// Beside the destination: only within one file system is a rename a single step.
fn partial_name(destination: &Path) -> StoreResult<PathBuf> {
    let Some(name) = destination.file_name() else {
        return Err(file_error(destination, "is not the name of a file"));
    };
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}.partial", std::process::id()));
    Ok(destination.with_file_name(partial))
}

/// SQLite fills an empty file that is there, and keeps its mode. One of this name is of a dead process.
fn make_empty(partial: &Path) -> io::Result<()> {
    match std::fs::remove_file(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial).map(drop)
}

fn finish(partial: &Path, destination: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    std::fs::rename(partial, destination)?;
    let folder = match destination.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn file_error(path: &Path, reason: &str) -> StoreError {
    StoreError::File { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::testing::{home, moment, new_environment, run};
    use super::*;

    #[tokio::test]
    async fn a_backup_is_whole_and_private_and_overwrites_nothing() {
        let (folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let target = folder.path().join("it's a backup.db");
        // A write that is not committed must not be in it, nor hold it up.
        let open = store.write().await.unwrap();
        store.backup(&target).await.unwrap();
        open.rollback().await.unwrap();
        store.set_intent(made.id, &run(), None, moment(2)).await.unwrap();

        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&target).unwrap();
        let error = store.backup(&target).await.unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(std::fs::read(&target).unwrap(), before);
        let error = store.backup(&folder.path().join("none/x.db")).await.unwrap_err();
        assert!(error.to_string().contains("none/x.db"), "{error}");
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("partial")));

        let copy = Store::open(&target).await.unwrap();
        assert_eq!(copy.environment(made.id).await.unwrap(), Some(made));
        assert_eq!(copy.instance(), store.instance());
    }
}
