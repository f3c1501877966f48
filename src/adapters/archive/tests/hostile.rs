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
