//! Archives that somebody else made.

use tar::{EntryType, Header};

use super::*;

/// Entries as (path, type, link); each file holds `x`.
type Forged = (&'static str, EntryType, &'static str);

fn forge(path: &Path, manifest: &str, entries: &[Forged]) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut push = |name: &str, kind: EntryType, link: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    push("manifest.json", EntryType::Regular, "", manifest.as_bytes());
    for (name, kind, link) in entries {
        push(name, *kind, link, if *kind == EntryType::Regular { b"x" } else { b"" });
    }
    push("index.json", EntryType::Regular, "", b"{\"entries\":[]}");
    fs::write(path, zstd::encode_all(tar.into_inner().unwrap().as_slice(), 1).unwrap()).unwrap();
}

#[tokio::test]
async fn every_hostile_entry_is_refused_by_name_and_nothing_is_written() {
    use EntryType as T;
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    let path = adapter.path("forged").unwrap();
    let project = ProjectName::from_stored("p".to_owned());
    let cases: [(&[Forged], &str); 11] = [
        (&[("volumes/a/../../../etc/x", T::Regular, "")], "leads outside"),
        (&[("/etc/x", T::Regular, "")], "leads outside"),
        (&[("volumes//x", T::Regular, "")], "leads outside"),
        (&[("volumes/a/dev", T::Char, "")], "device"),
        (&[("volumes/a/disk", T::Block, "")], "device"),
        (&[("volumes/a/l", T::Symlink, "/etc"), ("volumes/a/l/x", T::Regular, "")], "below a symbolic link"),
        (&[("volumes/a/h", T::Link, "/etc/passwd")], "leads outside"),
        (&[("volumes/a/h", T::Link, "../../../etc/passwd")], "leads outside"),
        (&[("volumes/a/h", T::Link, "volumes/b/f")], "out of its volume"),
        (
            &[("volumes/a/l", T::Symlink, "/etc"), ("volumes/a/h", T::Link, "volumes/a/l/x")],
            "below a symbolic",
        ),
        (&[("logs/l", T::Symlink, "/etc/passwd")], "no plain file"),
    ];
    for (entries, wanted) in cases {
        forge(&path, "{\"format\":2}", entries);
        let (into, mut out) = mpsc::channel(1000);
        let errors = [
            adapter.verify("forged").await.unwrap_err(),
            adapter
                .restore("forged", Restoring::Volumes { project: &project, volumes: &[] })
                .await
                .unwrap_err(),
            adapter.extract("forged", "volumes/a", into).await.unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains(wanted), "{entries:?}: {error}");
        }
        while out.recv().await.is_some() {}
    }
}

#[tokio::test]
async fn a_newer_format_is_told_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    forge(&adapter.path("newer").unwrap(), "{\"format\":99}", &[]);
    for error in [adapter.verify("newer").await.unwrap_err(), adapter.manifest("newer").await.unwrap_err()] {
        assert!(
            error.to_string().contains("format 99") && error.to_string().contains("update drey"),
            "{error}"
        );
    }
    forge(&adapter.path("unindexed").unwrap(), "{\"format\":2}", &[("logs/web", EntryType::Regular, "")]);
    let error = adapter.verify("unindexed").await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

/// Entries of zeros as (path, type, size).
type Zeros = (&'static str, EntryType, u64);

/// An archive of a manifest and what `fill` adds.
fn forge_raw(path: &Path, fill: impl FnOnce(&mut tar::Builder<zstd::Encoder<'static, File>>)) {
    let encoder = zstd::Encoder::new(File::create(path).unwrap(), 1).unwrap();
    let mut tar = tar::Builder::new(encoder);
    append(&mut tar, "manifest.json", EntryType::Regular, 12, b"{\"format\":2}".as_slice());
    fill(&mut tar);
    tar.into_inner().unwrap().finish().unwrap();
}

fn append<W: io::Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    kind: EntryType,
    size: u64,
    content: impl io::Read,
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

fn zeros(size: u64) -> impl io::Read {
    io::Read::take(io::repeat(0), size)
}

#[tokio::test]
async fn a_bomb_is_refused_by_what_it_says_before_it_goes_off() {
    use EntryType as T;
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter_with(&folder, Arc::new(NoVolumes), 1 << 20);
    let path = adapter.path("bomb").unwrap();
    let is_full = std::env::var_os("DREY_HOSTILE").is_some_and(|value| value == "full");
    let large = if is_full { 10 << 30 } else { 64 << 20 };
    let half = (1 << 19) + 1;
    let cases: [(&str, &[Zeros]); 6] = [
        ("max_volume", &[("volumes/a/zeros", T::Regular, large)]),
        ("max_volume", &[("volumes/a/x", T::Regular, half), ("volumes/a/y", T::Regular, half)]),
        ("before an entry", &[("PaxHeaders", T::XHeader, large)]),
        ("before an entry", &[("././@LongLink", T::GNULongName, large)]),
        ("before an entry", &[("././@LongLink", T::GNULongLink, 5000)]),
        ("unknown type", &[("global", T::XGlobalHeader, large)]),
    ];
    for (wanted, entries) in cases {
        forge_raw(&path, |tar| {
            entries.iter().for_each(|(name, kind, size)| append(tar, name, *kind, *size, zeros(*size)));
        });
        let error = adapter.verify("bomb").await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains(wanted), "{entries:?}: {error}");
    }
    // Many small ones in volumes without number.
    forge_raw(&path, |tar| {
        (0..2000).for_each(|number| append(tar, &format!("volumes/{number}/x"), T::Regular, 0, io::empty()));
    });
    let error = adapter.verify("bomb").await.unwrap_err().to_string();
    assert!(error.contains("1000 volumes"), "{error}");
}

#[tokio::test]
async fn a_manifest_and_an_index_do_not_fill_the_memory() {
    use EntryType as T;
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    let path = adapter.path("large").unwrap();
    let encoder = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
    let mut tar = tar::Builder::new(encoder);
    append(&mut tar, "manifest.json", T::Regular, 1 << 26, zeros(1 << 26));
    tar.into_inner().unwrap().finish().unwrap();
    for error in [adapter.manifest("large").await.unwrap_err(), adapter.verify("large").await.unwrap_err()] {
        assert!(error.to_string().contains("has a manifest of 67108864 bytes"), "{error}");
    }
    let text = "a".repeat(65 << 20);
    let index = format!("{{\"entries\":[{{\"path\":\"{text}\",\"size\":0,\"sha256\":\"\"}}]}}");
    forge_raw(&path, |tar| append(tar, "index.json", T::Regular, index.len() as u64, index.as_bytes()));
    let error = adapter.verify("large").await.unwrap_err().to_string();
    assert!(error.contains("a line that is too long"), "{error}");
}

#[tokio::test]
async fn two_sizes_of_one_entry_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(&folder);
    let path = adapter.path("double").unwrap();
    forge_raw(&path, |tar| {
        tar.append_pax_extensions([("size", b"0".as_slice())]).unwrap();
        append(tar, "logs/x", EntryType::Regular, 5, b"hello".as_slice());
    });
    let error = adapter.verify("double").await.unwrap_err().to_string();
    assert!(error.contains("a second time"), "{error}");
}

mod mutated {
    use proptest::prelude::*;

    use super::*;

    /// A sound archive, not packed yet.
    fn sound() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "manifest.json", EntryType::Regular, 12, b"{\"format\":2}".as_slice());
        tar.append_pax_extensions([("path", b"volumes/a/\xff".as_slice()), ("SCHILY.xattr.user.x", b"1")])
            .unwrap();
        append(&mut tar, "x", EntryType::Regular, 5, b"hello".as_slice());
        append(&mut tar, "volumes/a/l", EntryType::Symlink, 0, b"".as_slice());
        append(&mut tar, "index.json", EntryType::Regular, 14, b"{\"entries\":[]}".as_slice());
        tar.into_inner().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_archive_makes_the_reader_fall_or_write(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
            length in any::<proptest::sample::Index>(),
            is_cut in any::<bool>(),
            repairs in any::<bool>(),
        ) {
            let mut bytes = sound();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if repairs {
                // With sums that are right the reader gets further.
                for at in (0..bytes.len()).step_by(512) {
                    let mut header = Header::new_old();
                    header.as_mut_bytes().copy_from_slice(&bytes[at..at + 512]);
                    if header.as_bytes()[257..262] == *b"ustar" {
                        header.set_cksum();
                        bytes[at..at + 512].copy_from_slice(header.as_bytes());
                    }
                }
            }
            if is_cut {
                bytes.truncate(length.index(bytes.len()));
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.tar.zst");
            fs::write(&path, zstd::encode_all(bytes.as_slice(), 1).unwrap()).unwrap();
            prop_assert!(read::verify(&path, 1 << 20).is_err(), "its index names nothing");
            let out = folder.path().join("out");
            // Whatever comes of it stays below the one new path.
            unpack(bytes.as_slice(), &out).ok();
            let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
            prop_assert!(left.iter().all(|name| name == "out" || name == "x.tar.zst"), "{:?}", left);
        }
    }
}
