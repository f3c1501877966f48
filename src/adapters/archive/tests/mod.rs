//! Archives on a real file system.

use std::os::unix::fs::{PermissionsExt, symlink};

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::domain::environment::Outcome;
use crate::domain::names::{BranchName, EnvironmentId, RepoName, Slug};
use crate::domain::time::Timestamp;
use crate::ports::ByteStream;

mod any;
mod hostile;
mod volumes;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A machine without an engine's volumes.
struct NoVolumes;

#[async_trait]
impl Volumes for NoVolumes {
    async fn look(&self, volume: &str) -> PortResult<VolumeFacts> {
        Err(PortError::NotFound(volume.to_owned()))
    }

    async fn read(&self, _: &ProjectName, volume: &str, _: Outgoing) -> PortResult<()> {
        Err(PortError::NotFound(volume.to_owned()))
    }

    async fn write(&self, _: &ProjectName, volume: &str, _: mpsc::Receiver<Bytes>) -> PortResult<()> {
        Err(PortError::NotFound(volume.to_owned()))
    }

    async fn sweep(&self) -> PortResult<()> {
        Ok(())
    }
}

struct NoImages;

#[async_trait]
impl ImageStore for NoImages {
    async fn save(&self, references: &[String]) -> PortResult<ByteStream> {
        Err(PortError::NotFound(references.join(", ")))
    }

    async fn load(&self, _: ByteStream) -> PortResult<Vec<String>> {
        Ok(Vec::new())
    }
}

fn adapter(folder: &TempDir) -> ArchiveAdapter {
    adapter_with(folder, Arc::new(NoVolumes), 1 << 30)
}

fn adapter_with(folder: &TempDir, volumes: Arc<dyn Volumes>, limit: u64) -> ArchiveAdapter {
    ArchiveAdapter::open(
        folder.path().join("archives"),
        Arc::new(Fixed),
        (volumes, Arc::new(NoImages)),
        limit,
    )
    .unwrap()
}

fn parts(files: Vec<(String, PathBuf)>) -> ArchiveParts {
    ArchiveParts {
        record: ArchiveRecord {
            id: "20260131-120000-x-7".to_owned(),
            environment: EnvironmentId(7),
            repo: RepoName::parse("shop").unwrap(),
            branch: BranchName::parse("feature/$(rm)").unwrap(),
            slug: Slug::parse("x").unwrap(),
            commit: None,
            outcome: Outcome::Merged,
            created_at: NOW,
            size_bytes: 0,
            verified_at: None,
            sha256: None,
            pinned: false,
            removed_at: None,
            removed_reason: None,
        },
        manifest: json!({"version": 1}),
        files,
        documents: vec![("model.json".to_owned(), b"{}".to_vec())],
        project: ProjectName::from_stored("drey-ab-7-x".to_owned()),
        volumes: Vec::new(),
        images: Vec::new(),
    }
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path().join("archives")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_goes_in_comes_out_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("web.log");
    fs::write(&log, "line\n".repeat(100_000)).unwrap();
    let long = format!("logs/{}/web.log", "x".repeat(150));
    let adapter = adapter(&folder);
    for _ in 0..2 {
        let record = adapter.write(parts(vec![(long.clone(), log.clone())])).await.unwrap();
        let path = adapter.path(&record.id).unwrap();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!((record.size_bytes, record.verified_at), (facts.len(), Some(NOW)));
        assert_eq!(facts.permissions().mode() & 0o777, 0o600);
        let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(path).unwrap()).unwrap());
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, ["manifest.json", "model.json", long.as_str(), "index.json"]);
    }
    assert_eq!(names(&folder), ["20260131-120000-x-7.tar.zst"]);
    assert_eq!(adapter.manifest("20260131-120000-x-7").await.unwrap(), json!({"version": 1}));
}

#[tokio::test]
async fn a_failure_leaves_no_archive() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&real, "x").unwrap();
    symlink(&real, &link).unwrap();
    for (path, source) in [
        ("a", folder.path().join("none")),
        ("a", folder.path().to_owned()),
        ("a", link),
        ("../a", real.clone()),
        ("index.json", real.clone()),
        ("model.json", real.clone()),
    ] {
        let error = adapter.write(parts(vec![(path.to_owned(), source.clone())])).await;
        assert!(error.is_err(), "{path} {}", source.display());
        assert!(names(&folder).is_empty());
    }
}

#[tokio::test]
async fn damage_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    let record = adapter.write(parts(Vec::new())).await.unwrap();
    let path = adapter.path(&record.id).unwrap();
    read::verify(&path, u64::MAX).unwrap();
    // The same entries, well packed, but one byte of a document differs from the index.
    let whole = zstd::decode_all(File::open(&path).unwrap()).unwrap();
    let at = whole.windows(3).position(|bytes| bytes == b"{}\0").unwrap();
    let mut changed = whole.clone();
    changed[at] = b'[';
    fs::write(&path, zstd::encode_all(changed.as_slice(), 1).unwrap()).unwrap();
    let error = read::verify(&path, u64::MAX).unwrap_err();
    assert!(error.to_string().contains("model.json"), "{error}");
    let packed = zstd::encode_all(whole.as_slice(), 1).unwrap();
    fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    assert!(read::verify(&path, u64::MAX).is_err());
}

#[tokio::test]
async fn only_ids_are_paths_and_crashes_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    for bad in ["", "../x", "a/b", ".x", "-x", "a b"] {
        assert!(adapter(&folder).manifest(bad).await.is_err(), "{bad}");
    }
    let error = adapter(&folder).manifest("none").await.unwrap_err();
    assert!(matches!(error, PortError::NotFound(_)), "{error:?}");
    fs::write(folder.path().join("archives/x.tar.zst.unfinished"), "half").unwrap();
    adapter(&folder);
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn what_is_verified_listed_and_removed_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    assert_eq!(adapter.ids().await.unwrap(), Vec::<String>::new());
    let id = adapter.write(parts(Vec::new())).await.unwrap().id;
    for other in ["x.tar.zst.unfinished", "README", ".tar.zst.keep"] {
        fs::write(folder.path().join("archives").join(other), "").unwrap();
    }
    fs::create_dir(folder.path().join("archives/folder.tar.zst")).unwrap();
    assert_eq!(adapter.ids().await.unwrap(), std::slice::from_ref(&id));
    adapter.verify(&id).await.unwrap();

    let path = adapter.path(&id).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let error = adapter.verify(&id).await.unwrap_err();
    assert!(matches!(error, PortError::Permanent(_)), "{error:?}");

    for _ in 0..2 {
        adapter.remove(&id).await.unwrap();
    }
    assert_eq!(adapter.ids().await.unwrap(), Vec::<String>::new());
    assert_eq!(names(&folder).len(), 4, "nothing else was touched");
    assert!(matches!(adapter.verify(&id).await.unwrap_err(), PortError::NotFound(_)));
    assert!(adapter.remove("../README").await.is_err());
}
