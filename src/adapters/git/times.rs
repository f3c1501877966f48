//! When each file of a checkout first had its content, kept beside the checkout from one writing to the next.
//!
//! A tree is written anew for each deployment. Files that did not change keep their time, as they would in a clone that
//! is updated: the builder then sends only what changed, `make` is not misled, and a page that changed is newer than
//! what a browser has. What is lost here costs time, nothing else.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use git2::Oid;

/// The times of one checkout.
pub(super) struct Times {
    path: PathBuf,
    known: HashMap<PathBuf, (Oid, Duration)>,
    /// What is to be known next time.
    next: Vec<u8>,
}

impl Times {
    /// Those of the checkout's former life, as far as there was one.
    pub(super) fn of(checkout: &Path) -> Self {
        let mut name = checkout.file_name().unwrap_or_default().to_owned();
        name.push(".times");
        let path = checkout.with_file_name(name);
        let known = fs::read(&path).map(|bytes| parse(&bytes)).unwrap_or_default();
        Self { path, known, next: Vec::new() }
    }

    /// Gives a file that was just written its old time, if it has its old content. `path` counts from the checkout.
    pub(super) fn settle(&mut self, file: &File, path: &Path, id: Oid) -> io::Result<()> {
        let time = match self.known.get(path) {
            Some((former, time)) if *former == id => {
                file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + *time))?;
                *time
            }
            Some(_) | None => {
                file.metadata()?.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
            }
        };
        self.next.extend(format!("{id} {} ", time.as_nanos()).bytes());
        self.next.extend(path.as_os_str().as_bytes());
        self.next.push(0);
        Ok(())
    }

    /// Remembers, once the tree is whole.
    pub(super) fn keep(self) -> io::Result<()> {
        let unfinished = self.path.with_extension("times.new");
        fs::write(&unfinished, self.next)?;
        fs::rename(&unfinished, &self.path)
    }
}

/// Entries `ID NANOSECONDS PATH`, each ended by NUL; what is no such entry is passed over.
fn parse(bytes: &[u8]) -> HashMap<PathBuf, (Oid, Duration)> {
    let entry = |line: &[u8]| {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let id = Oid::from_str(std::str::from_utf8(parts.next()?).ok()?).ok()?;
        let nanoseconds: u64 = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let path = PathBuf::from(OsStr::from_bytes(parts.next()?));
        Some((path, (id, Duration::from_nanos(nanoseconds))))
    };
    bytes.split(|byte| *byte == 0).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_files_keep_their_time_and_changed_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = folder.path().join("checkout");
        let (same, one, other) = (Oid::ZERO_SHA1, "1".repeat(40), "2".repeat(40));
        let write = |name: &str, id: Oid, times: &mut Times| {
            let file = File::create(folder.path().join(name)).unwrap();
            times.settle(&file, Path::new(name), id).unwrap();
            file.metadata().unwrap().modified().unwrap()
        };
        let mut first = Times::of(&checkout);
        let kept = write("a\nb c", same, &mut first);
        let changed = write("x", Oid::from_str(&one).unwrap(), &mut first);
        first.keep().unwrap();

        let mut second = Times::of(&checkout);
        assert_eq!(write("a\nb c", same, &mut second), kept);
        assert!(write("x", Oid::from_str(&other).unwrap(), &mut second) >= changed);
        assert_ne!(second.known.len(), 0);
        second.keep().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "two files and their times");
    }

    #[test]
    fn a_damaged_list_is_worth_what_is_left_of_it() {
        let id = "3".repeat(40);
        let text = format!("{id} 5 whole\0{id} x bad\0nonsense\0{id} 7");
        let known = parse(text.as_bytes());
        assert_eq!(known.len(), 1);
        assert_eq!(known[Path::new("whole")].1, Duration::from_nanos(5));
    }
}
