//! Volumes in and out, with the engine's streams made here.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;

use super::super::entry::{Kind, Meta};
use super::*;

/// Volumes as tar streams in memory.
#[derive(Default)]
struct Streams {
    content: BTreeMap<String, Vec<u8>>,
    folder: Option<PathBuf>,
    written: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The engine breaks off after so many bytes.
    breaks_after: Option<usize>,
}

#[async_trait]
impl Volumes for Streams {
    async fn look(&self, volume: &str) -> PortResult<VolumeFacts> {
        Ok(VolumeFacts { is_tmpfs: volume.ends_with("_memory"), folder: self.folder.clone() })
    }

    async fn read(&self, _: &ProjectName, volume: &str, into: Outgoing) -> PortResult<()> {
        let content = &self.content[volume];
        let end = self.breaks_after.unwrap_or(content.len());
        for chunk in content[..end].chunks(1000) {
            if into.send(Ok(Bytes::copy_from_slice(chunk))).await.is_err() {
                return Ok(());
            }
        }
        match self.breaks_after {
            Some(_) => Err(PortError::Transient("the engine went away".to_owned())),
            None => Ok(()),
        }
    }

    async fn write(&self, _: &ProjectName, volume: &str, mut from: mpsc::Receiver<Bytes>) -> PortResult<()> {
        let mut bytes = Vec::new();
        while let Some(chunk) = from.recv().await {
            bytes.extend_from_slice(&chunk);
        }
        self.written.lock().unwrap().insert(volume.to_owned(), bytes);
        Ok(())
    }

    async fn sweep(&self) -> PortResult<()> {
        Ok(())
    }
}

fn entry(path: &str, kind: Kind, link: &str, size: u64) -> Meta {
    Meta { kind, link: link.into(), mode: 0o751, user: 1234, group: 70_000, ..Meta::document(path, size, 99) }
}

fn stream(entries: &[(Meta, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (meta, content) in entries {
        meta.append(&mut tar, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn read(bytes: &[u8]) -> Vec<(Meta, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let meta = Meta::read(&mut entry).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (meta, content)
    });
    entries.collect()
}

fn content() -> Vec<(Meta, Vec<u8>)> {
    let mut sparse = vec![0; 1 << 20];
    sparse[500_000] = 7;
    vec![
        (entry("volume", Kind::Folder, "", 0), Vec::new()),
        (entry("volume/sub/ünï", Kind::File, "", 5), b"hello".to_vec()),
        (entry("volume/hard", Kind::Hardlink, "volume/sub/ünï", 0), Vec::new()),
        (entry("volume/link", Kind::Symlink, "/dev/stdout", 0), Vec::new()),
        (entry("volume/pipe", Kind::Pipe, "", 0), Vec::new()),
        (entry("volume/sparse", Kind::File, "", 1 << 20), sparse),
    ]
}

fn two_volumes(streams: Streams) -> (ArchiveParts, Streams) {
    let volume = |key: &str| ArchivedVolume { key: key.to_owned(), name: format!("p_{key}") };
    let content = [("p_data", content()), ("p_other", content()[..2].to_vec())];
    let content = content.map(|(name, entries)| (name.to_owned(), stream(&entries))).into();
    let parts = ArchiveParts {
        volumes: vec![volume("data"), volume("memory"), volume("other")],
        ..parts(Vec::new())
    };
    (parts, Streams { content, ..streams })
}

#[tokio::test]
async fn what_a_volume_held_comes_back_to_the_byte() {
    let (folder, on_disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    File::create(on_disk.path().join("sparse")).unwrap().set_len(1 << 20).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(on_disk.path().join("sock")).unwrap();
    let (parts, streams) =
        two_volumes(Streams { folder: Some(on_disk.path().to_owned()), ..Streams::default() });
    let streams = Arc::new(streams);
    let adapter = adapter_with(&folder, streams.clone(), 1 << 30);
    let volumes = parts.volumes.clone();
    let record = adapter.write(parts).await.unwrap();
    adapter.verify(&record.id).await.unwrap();
    adapter.check(&record).await.unwrap();
    assert_eq!(names(&folder), [format!("{}.tar.zst", record.id)]);

    let archive = zstd::decode_all(File::open(adapter.path(&record.id).unwrap()).unwrap()).unwrap();
    let entries = read(&archive);
    let index: serde_json::Value = serde_json::from_slice(&entries.last().unwrap().1).unwrap();
    assert_eq!(index["entries"].as_array().unwrap().len(), entries.len() - 1);
    let left_out = json!([
        { "path": "volumes/data/sock", "what": "socket" },
        { "path": "volumes/memory", "what": "tmpfs volume" },
        { "path": "volumes/other/sock", "what": "socket" },
    ]);
    assert_eq!(index["left_out"], left_out);

    // The restored file is written in full, as the engine does it; then the holes are dug.
    fs::write(on_disk.path().join("sparse"), &content()[5].1).unwrap();
    let project = ProjectName::from_stored("p".to_owned());
    adapter.restore(&record.id, Restoring::Volumes { project: &project, volumes: &volumes }).await.unwrap();
    let written = streams.written.lock().unwrap();
    let mut expected = content();
    expected[5].0.has_holes = true;
    assert_eq!(read(&written["p_data"]), expected);
    assert_eq!(read(&written["p_other"]), content()[..2]);
    use std::os::unix::fs::MetadataExt as _;
    let facts = fs::metadata(on_disk.path().join("sparse")).unwrap();
    assert!(facts.blocks() * 512 < 100_000, "{} blocks", facts.blocks());
    assert_eq!(fs::read(on_disk.path().join("sparse")).unwrap(), content()[5].1);
}

#[tokio::test]
async fn a_stream_that_breaks_off_leaves_no_archive_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for breaks_after in [0, 512, 1536, 700_000] {
        let (parts, streams) =
            two_volumes(Streams { breaks_after: Some(breaks_after), ..Streams::default() });
        let error = adapter_with(&folder, Arc::new(streams), 1 << 30).write(parts).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("went away"), "{error}");
        assert!(names(&folder).is_empty());
    }
}

#[tokio::test]
async fn a_volume_beyond_the_limit_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, streams) = two_volumes(Streams::default());
    let error = adapter_with(&folder, Arc::new(streams), 1 << 19).write(parts).await.unwrap_err();
    assert!(error.to_string().contains("data") && error.to_string().contains("max_volume"), "{error}");
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn a_replaced_file_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, streams) = two_volumes(Streams::default());
    let adapter = adapter_with(&folder, Arc::new(streams), 1 << 30);
    let record = adapter.write(parts).await.unwrap();
    let path = adapter.path(&record.id).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 3], &[]] {
        fs::write(&path, damaged).unwrap();
        assert!(!adapter.check(&record).await.unwrap_err().is_transient());
        assert!(!adapter.verify(&record.id).await.unwrap_err().is_transient());
    }
    fs::write(&path, zstd::encode_all(zstd::decode_all(whole.as_slice()).unwrap().as_slice(), 5).unwrap())
        .unwrap();
    adapter.verify(&record.id).await.unwrap();
    assert!(adapter.check(&record).await.unwrap_err().to_string().contains("not the file that drey wrote"));
}

#[tokio::test]
async fn a_part_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, streams) = two_volumes(Streams::default());
    let adapter = adapter_with(&folder, Arc::new(streams), 1 << 30);
    let id = adapter.write(parts).await.unwrap().id;
    for (path, wanted) in [
        ("volumes/other", vec!["other", "other/sub/ünï"]),
        ("volumes/data/sub/ünï", vec!["ünï"]),
        ("volumes/data/", vec!["data", "data/sub/ünï", "data/hard", "data/link", "data/pipe", "data/sparse"]),
        ("model.json", vec!["model.json"]),
    ] {
        let (into, mut out) = mpsc::channel(100);
        adapter.extract(&id, path, into).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = out.recv().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        let paths: Vec<_> =
            read(&bytes).into_iter().map(|(meta, _)| String::from_utf8(meta.path).unwrap()).collect();
        assert_eq!(paths, wanted);
    }
    for (path, reason) in [("volumes/none", "nothing at"), ("volumes/data/hard", "another name of")] {
        let (into, _out) = mpsc::channel(100);
        let error = adapter.extract(&id, path, into).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}
