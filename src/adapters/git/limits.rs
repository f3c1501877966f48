//! What a conversation with a remote may take of disk, memory and time, and how a fetch is watched while it runs.
//!
//! Whoever can push decides what a fetch brings. The limits of the process hold for a single file and a single process; what
//! many files come to, and whether anything comes at all, is looked at from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::blocking;

/// How often a fetch is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Written when a fetch begins, so that the disk's own clock says what came after.
const MARK: &str = "drey-fetch";

/// What a conversation with a remote may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GitLimits {
    /// Bytes that one fetch may put on the disk.
    pub fetch_bytes: u64,
    /// Address space of each git process, in bytes.
    pub memory: u64,
    /// A fetch of which nothing is seen or heard for so long is ended.
    pub silence: Duration,
}

impl Default for GitLimits {
    fn default() -> Self {
        Self { fetch_bytes: 2 << 30, memory: 2 << 30, silence: Duration::from_secs(60) }
    }
}

/// Why a fetch was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    TooMuch,
    Silent,
}

/// A fetch that runs into a mirror.
pub(super) struct Watch {
    objects: PathBuf,
    limits: GitLimits,
    /// `None` where it could not be noted: then the size of a single file is what is left of the limit.
    begun: Option<SystemTime>,
    /// Bytes that git has said so far.
    pub(super) said: Arc<AtomicU64>,
}

impl Watch {
    pub(super) fn begin(mirror: &Path, limits: GitLimits) -> Self {
        let mark = mirror.join(MARK);
        let noted = fs::write(&mark, "").and_then(|()| fs::metadata(&mark)?.modified());
        Self { objects: mirror.join("objects"), limits, begun: noted.ok(), said: Arc::default() }
    }

    /// Returns when the fetch takes too much, or nothing happens any more.
    pub(super) async fn breach(&self) -> Breach {
        let (mut seen, mut seen_at) = ((0, 0), Instant::now());
        loop {
            tokio::time::sleep(LOOK_EVERY.min(self.limits.silence)).await;
            let (objects, begun) = (self.objects.clone(), self.begun);
            let came = begun.map(|begun| blocking(move || Ok(brought(&objects, begun))));
            let bytes = match came {
                Some(came) => came.await.unwrap_or_default(),
                None => 0,
            };
            if bytes > self.limits.fetch_bytes {
                return Breach::TooMuch;
            }
            let now = (bytes, self.said.load(Ordering::Relaxed));
            if now != seen {
                (seen, seen_at) = (now, Instant::now());
            } else if seen_at.elapsed() >= self.limits.silence {
                return Breach::Silent;
            }
        }
    }
}

/// Bytes of the files that were written since then: packs, whole and half, and loose objects.
fn brought(objects: &Path, since: SystemTime) -> u64 {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries(objects).map(|entry| entry.path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| entries(&folder));
    let sizes = files.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        (metadata.is_file() && metadata.modified().ok()? >= since).then_some(metadata.len())
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> tempfile::TempDir {
        let mirror = tempfile::tempdir().unwrap();
        fs::create_dir_all(mirror.path().join("objects/pack")).unwrap();
        fs::create_dir_all(mirror.path().join("objects/0a")).unwrap();
        mirror
    }

    #[tokio::test]
    async fn what_comes_is_counted_wherever_it_is_put() {
        let mirror = mirror();
        let old = fs::File::create(mirror.path().join("objects/pack/old.pack")).unwrap();
        old.set_len(1 << 30).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let silence = Duration::from_millis(20);
        let watch =
            Watch::begin(mirror.path(), GitLimits { fetch_bytes: 99, silence, ..GitLimits::default() });
        assert_eq!(watch.breach().await, Breach::Silent, "what was there does not count");
        fs::write(mirror.path().join("objects/pack/tmp_pack_x"), [0; 50]).unwrap();
        fs::write(mirror.path().join("objects/0a/bc"), [0; 50]).unwrap();
        assert_eq!(watch.breach().await, Breach::TooMuch);
    }

    #[tokio::test]
    async fn whoever_goes_on_talking_is_not_silent() {
        let mirror = mirror();
        let limits = GitLimits { silence: Duration::from_millis(50), ..GitLimits::default() };
        let watch = Watch::begin(mirror.path(), limits);
        let said = Arc::clone(&watch.said);
        let talk = async {
            for _ in 0..40 {
                said.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            assert_eq!(said.load(Ordering::Relaxed), 40);
        };
        tokio::select! {
            biased;
            () = talk => {}
            breach = watch.breach() => panic!("{breach:?}"),
        }
    }
}
