//! Archives of any content: whatever is read, nothing breaks and nothing is written beside them.

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;

fn kind(number: u8) -> EntryType {
    [
        EntryType::Regular,
        EntryType::Link,
        EntryType::Symlink,
        EntryType::Char,
        EntryType::Directory,
        EntryType::Fifo,
        EntryType::XHeader,
        EntryType::GNULongName,
    ][usize::from(number) % 8]
}

/// A tar with these entries (path, type, link, content), the manifest in front.
fn tar_of(entries: &[(String, u8, String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let manifest = ("manifest.json".to_owned(), 0, String::new(), b"{\"format\":2}".to_vec());
    for (name, number, link, content) in std::iter::once(&manifest).chain(entries) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind(*number));
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        let (name, link) = (name.as_bytes(), link.as_bytes());
        gnu.name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        gnu.linkname[..link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
        header.set_cksum();
        tar.append(&header, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Reads it in every way; what is there beside the archive afterwards.
async fn read_in_every_way(file: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    fs::write(adapter.path("any").unwrap(), file).unwrap();
    let project = ProjectName::from_stored("p".to_owned());
    let (into, mut out) = mpsc::channel(10_000);
    drop(adapter.manifest("any").await);
    drop(adapter.verify("any").await);
    drop(adapter.restore("any", Restoring::Volumes { project: &project, volumes: &[] }).await);
    drop(adapter.extract("any", "volumes/a", into).await);
    while out.recv().await.is_some() {}
    let beside = fs::read_dir(folder.path()).unwrap();
    beside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn run(file: &[u8]) -> Vec<String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(read_in_every_way(file))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_of_any_kind_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(run(&bytes), ["archives"]);
        prop_assert_eq!(run(&zstd::encode_all(bytes.as_slice(), 1).unwrap()), ["archives"]);
    }

    #[test]
    fn entries_of_any_kind_are_read_without_harm(
        entries in proptest::collection::vec(
            ("(volumes/|logs/|/|\\.\\./|a|b/|\\.){0,5}", any::<u8>(), "(volumes/a|/etc|\\.\\./|x){0,3}",
             proptest::collection::vec(any::<u8>(), 0..40)),
            0..8,
        ),
        cut in any::<prop::sample::Index>(),
        flipped in any::<prop::sample::Index>(),
    ) {
        let whole = tar_of(&entries);
        prop_assert_eq!(run(&zstd::encode_all(whole.as_slice(), 1).unwrap()), ["archives"]);
        let mut damaged = whole.clone();
        damaged[flipped.index(whole.len())] ^= 0x41;
        damaged.truncate(cut.index(whole.len()) + 1);
        prop_assert_eq!(run(&zstd::encode_all(damaged.as_slice(), 1).unwrap()), ["archives"]);
    }
}
