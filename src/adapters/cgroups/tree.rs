//! Folders of control groups: one tree (version 2), or one for each controller (version 1).

use std::io;
use std::path::{Path, PathBuf};

/// The trees below `root` in which a group has a folder.
pub(super) fn trees(root: &Path) -> io::Result<Vec<PathBuf>> {
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let mut trees = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        // Two controllers of one tree have a link each to it.
        if entry.file_type()?.is_dir() {
            trees.push(entry.path());
        }
    }
    Ok(trees)
}

/// Removes the group `name` from every tree, with the empty groups inside it; the kernel refuses those with processes.
pub(super) fn remove(root: &Path, name: &str) -> io::Result<()> {
    trees(root)?.iter().try_for_each(|tree| remove_group(&tree.join(name)))
}

fn remove_group(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_removed_from_every_tree_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        for path in ["memory/drey-a-1/container", "cpu,cpuacct/drey-a-1", "memory/drey-a-11", "memory/docker"]
        {
            std::fs::create_dir_all(root.path().join(path)).unwrap();
        }
        remove(root.path(), "drey-a-1").unwrap();
        remove(root.path(), "drey-a-1").unwrap();
        let left = |tree: &str| {
            let entries = std::fs::read_dir(root.path().join(tree)).unwrap();
            let mut names: Vec<_> =
                entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(left("memory"), ["docker", "drey-a-11"]);
        assert_eq!(left("cpu,cpuacct"), [""; 0]);
    }

    #[test]
    fn version_two_is_one_tree() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cgroup.controllers"), "memory pids\n").unwrap();
        std::fs::create_dir_all(root.path().join("drey-a-1/container")).unwrap();
        assert_eq!(trees(root.path()).unwrap(), [root.path()]);
        remove(root.path(), "drey-a-1").unwrap();
        assert!(!root.path().join("drey-a-1").exists());
    }
}
