//! What is really there in a checkout: every symlink of every part of a path is followed, none is trusted.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::domain::policy::{CheckoutFacts, PathFact};

/// Looks at each path of `domain::policy::paths_used`. A path that cannot be followed counts as outside.
pub fn look(checkout: &Path, paths: &[PathBuf]) -> CheckoutFacts {
    let found: BTreeMap<PathBuf, PathFact> =
        paths.iter().map(|path| (path.clone(), resolve(checkout, path).fact)).collect();
    CheckoutFacts { root: checkout.to_path_buf(), paths: found }
}

/// A path followed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) fact: PathFact,
    /// Without symlinks; of something missing, where it would be.
    pub(super) path: PathBuf,
    /// In bytes, of a regular file.
    pub(super) size: u64,
}

/// Follows a path, absolute or relative to the checkout, and tells what it leads to.
pub(super) fn resolve(checkout: &Path, path: &Path) -> Resolved {
    let outside = || Resolved { fact: PathFact::Outside, path: path.to_path_buf(), size: 0 };
    let Ok(root) = fs::canonicalize(checkout) else { return outside() };
    let Some((real, metadata)) = follow(&root.join(path)) else { return outside() };
    let Ok(below) = real.strip_prefix(&root) else { return outside() };
    let in_git = below.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"));
    let fact = match &metadata {
        _ if in_git => PathFact::Git,
        None => PathFact::Missing,
        Some(metadata) if metadata.is_file() => PathFact::File,
        Some(metadata) if metadata.is_dir() && real == root => PathFact::Root,
        Some(metadata) if metadata.is_dir() => PathFact::Directory,
        Some(_) => PathFact::Special,
    };
    Resolved { fact, size: metadata.map_or(0, |metadata| metadata.len()), path: real }
}

/// The real path and what is there; nothing when it ends in a loop, a dangling link, or a fault.
/// Goes part by part, because for what is missing the links before it must be followed too.
fn follow(path: &Path) -> Option<(PathBuf, Option<Metadata>)> {
    let mut real = PathBuf::from("/");
    let mut metadata = None;
    let mut missing = false;
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => continue,
            Component::Prefix(_) => return None,
            Component::ParentDir if missing => return None,
            Component::ParentDir => {
                real.pop();
            }
            Component::Normal(name) => real.push(name),
        }
        if missing {
            continue;
        }
        match fs::symlink_metadata(&real) {
            Ok(found) if found.is_symlink() => {
                real = fs::canonicalize(&real).ok()?;
                metadata = Some(fs::symlink_metadata(&real).ok()?);
            }
            Ok(found) => metadata = Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                missing = true;
                metadata = None;
            }
            Err(_) => return None,
        }
    }
    Some((real, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn links_are_followed_in_every_part() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("checkout");
        fs::create_dir_all(root.join("data/.git")).unwrap();
        fs::create_dir_all(root.join(".git/hooks")).unwrap();
        fs::write(root.join("data/a.txt"), "abc").unwrap();
        fs::write(folder.path().join("secret"), "s").unwrap();
        for (link, to) in [
            ("out", "/"),
            ("up", ".."),
            ("in", "data"),
            ("self", "."),
            ("dangling", "/nowhere/at/all"),
            ("loop", "loop"),
            ("hidden", ".git/hooks"),
            ("twice", "up"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        let _socket = UnixListener::bind(root.join("socket")).unwrap();
        let fact = |path: &str| resolve(&root, Path::new(path)).fact;
        for (path, expected) in [
            ("", PathFact::Root),
            ("self", PathFact::Root),
            ("data/..", PathFact::Root),
            ("data", PathFact::Directory),
            ("in/a.txt", PathFact::File),
            ("in/nothing", PathFact::Missing),
            ("nothing/at/all", PathFact::Missing),
            ("nothing/../../secret", PathFact::Outside),
            ("in/../../secret", PathFact::Outside),
            ("out/etc/passwd", PathFact::Outside),
            ("out/nothing", PathFact::Outside),
            ("up/secret", PathFact::Outside),
            ("twice/secret", PathFact::Outside),
            ("dangling", PathFact::Outside),
            ("loop", PathFact::Outside),
            ("data/a.txt/x", PathFact::Outside),
            ("hidden", PathFact::Git),
            ("data/.GIT/x", PathFact::Git),
            ("socket", PathFact::Special),
            ("/etc", PathFact::Outside),
        ] {
            assert_eq!(fact(path), expected, "{path}");
        }
        let facts = look(&root, &[root.join("data/a.txt")]);
        assert_eq!(facts.paths.get(&root.join("data/a.txt")), Some(&PathFact::File));
    }
}
