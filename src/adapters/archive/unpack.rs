//! A part of an archive onto this machine's disk: only below one new path, through no link, over nothing that is there.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::entries;
use super::entry::{Meta, broken};
use super::place::Place;
use super::read::shown;

/// What came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Where it lies.
    pub path: PathBuf,
    pub entries: u64,
    /// Symbolic links that lead elsewhere, and devices: not made.
    pub left_out: Vec<String>,
}

/// Unpacks a tar stream whose paths have one first part: as `destination`, or inside it where it is a folder.
///
/// # Errors
/// When something is there already, or an entry leads elsewhere. What was written until then stays, and is named.
pub fn unpack(stream: impl Read, destination: &Path) -> io::Result<Unpacked> {
    let mut place: Option<Place> = None;
    let mut done = Unpacked::default();
    each(stream, |meta, root, rest, content| {
        if place.is_none() {
            place = Some(Place::choose(destination, root)?);
        }
        let Some(place) = place.as_mut() else { return Ok(()) };
        if place.root != root {
            return Err(broken(&format!("has a stray entry {:?}", shown(&meta.path))));
        }
        done.path = place.target();
        if place.make(meta, rest, content)? {
            done.entries += 1;
        } else {
            done.left_out.push(shown(&meta.path));
        }
        Ok(())
    })
    .map_err(|error| match done.entries {
        0 => error,
        made => {
            io::Error::new(error.kind(), format!("{error}; {made} entries are in {}", done.path.display()))
        }
    })?;
    place.map_or(Ok(()), Place::finish)?;
    Ok(done)
}

/// Fills a volume's folder, which is there and empty, from a stream whose paths begin with `root`.
pub(super) fn fill(stream: impl Read, folder: &Path, root: &str) -> io::Result<()> {
    let mut place = Place::volume(folder, root.as_bytes())?;
    each(stream, |meta, first, rest, content| {
        if first != root.as_bytes() {
            return Err(broken(&format!("has a stray entry {:?}", shown(&meta.path))));
        }
        place.make(meta, rest, content).map(drop)
    })?;
    place.finish()
}

/// Shows each entry with the first part of its path and the rest.
fn each(
    stream: impl Read,
    mut visit: impl FnMut(&Meta, &[u8], &[u8], &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = tar::Archive::new(stream);
    entries::each(&mut stream, |meta, content| {
        let mut parts = meta.path.splitn(2, |byte| *byte == b'/');
        let root = parts.next().unwrap_or_default();
        visit(meta, root, parts.next().unwrap_or_default(), content)
    })?;
    // What follows the end of the tar is taken too, else the sender would think that nobody listens.
    io::copy(&mut stream.into_inner(), &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::super::entry::Kind;
    use super::*;

    fn tar(entries: &[(Meta, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        entries.iter().for_each(|(meta, content)| meta.append(&mut tar, *content).unwrap());
        tar.into_inner().unwrap()
    }

    fn entry(path: &str, kind: Kind, link: &str) -> Meta {
        Meta { kind, link: link.into(), mode: 0o750, ..Meta::document(path, 0, 1_600_000_000) }
    }

    #[test]
    fn a_volume_comes_out_with_its_modes_times_links_and_holes() {
        let folder = tempfile::tempdir().unwrap();
        let mut sparse = vec![0; 1 << 20];
        sparse[1 << 19] = 1;
        let stream = tar(&[
            (entry("data", Kind::Folder, ""), b""),
            (entry("data/sub", Kind::Folder, ""), b""),
            (Meta { size: 2, mode: 0o640, ..entry("data/sub/a", Kind::File, "") }, b"hi"),
            (entry("data/hard", Kind::Hardlink, "data/sub/a"), b""),
            (entry("data/sub/in", Kind::Symlink, "../hard"), b""),
            (entry("data/out", Kind::Symlink, "/etc/passwd"), b""),
            (entry("data/up", Kind::Symlink, "../x"), b""),
            (entry("data/pipe", Kind::Pipe, ""), b""),
            (Meta { size: 1 << 20, has_holes: true, ..entry("data/sparse", Kind::File, "") }, &sparse),
        ]);
        let target = folder.path().join("new");
        let done = unpack(stream.as_slice(), &target).unwrap();
        assert_eq!((done.path.as_path(), done.entries), (target.as_path(), 7));
        assert_eq!(done.left_out, ["data/out", "data/up"]);
        let facts = std::fs::metadata(target.join("sub/a")).unwrap();
        assert_eq!(
            (facts.permissions().mode() & 0o7777, facts.mtime(), facts.nlink()),
            (0o640, 1_600_000_000, 2)
        );
        assert_eq!(std::fs::read(target.join("sub/in")).unwrap(), b"hi");
        assert_eq!(std::fs::metadata(&target).unwrap().mtime(), 1_600_000_000);
        assert_eq!(std::fs::read(target.join("sparse")).unwrap(), sparse);
        assert!(std::fs::metadata(target.join("sparse")).unwrap().blocks() * 512 < 1 << 19);

        let again = unpack(stream.as_slice(), &target).unwrap();
        assert_eq!(again.path, target.join("data"), "a folder that is there takes it in");
        let error = unpack(stream.as_slice(), &target).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
    }

    #[test]
    fn folders_without_an_entry_of_their_own_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let stream = tar(&[(Meta { size: 1, ..entry("logs/containers/web.log", Kind::File, "") }, b"x")]);
        let target = folder.path().join("l");
        unpack(stream.as_slice(), &target).unwrap();
        assert_eq!(std::fs::read(target.join("containers/web.log")).unwrap(), b"x");
    }

    #[test]
    fn a_stream_that_lies_writes_nothing_elsewhere() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let out = outside.path().to_str().unwrap();
        for stream in [
            tar(&[
                (entry("a", Kind::Folder, ""), b""),
                (Meta { size: 1, ..entry("b", Kind::File, "") }, b"x"),
            ]),
            tar(&[
                (entry("a", Kind::Folder, ""), b""),
                (entry("a/l", Kind::Symlink, out), b""),
                (Meta { size: 1, ..entry("a/l/x", Kind::File, "") }, b"x"),
            ]),
            tar(&[(entry("a", Kind::Folder, ""), b""), (entry("a/h", Kind::Hardlink, "b/h"), b"")]),
        ] {
            let target = folder.path().join("t");
            // What lies below a link that was left out is put where the link would be.
            let done = unpack(stream.as_slice(), &target);
            assert!(done.is_err() || done.is_ok_and(|done| done.left_out == ["a/l"]));
            std::fs::remove_dir_all(&target).unwrap();
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
