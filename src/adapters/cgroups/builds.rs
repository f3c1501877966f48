//! The group of builds: what branches run while their images are made shares one limit of memory and of processes.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ROOT, tree};
use crate::adapters::process::Command;
use crate::ports::PortResult;

/// Processes of all builds together: compilers start many, a fork bomb without end.
const PROCESSES: u64 = 8192;

/// Who builds now, and what was told of the limits.
#[derive(Default)]
pub(super) struct Builds {
    running: Mutex<usize>,
    complaint: Mutex<Option<String>>,
}

/// One build. With the last one the group goes.
pub(super) struct Held {
    builds: Arc<Builds>,
    name: String,
}

/// Makes the group, with its limits, for as long as what comes back is held.
pub(super) fn hold(builds: &Arc<Builds>, name: String, memory: u64) -> Held {
    let mut running = builds.running.lock().unwrap_or_else(PoisonError::into_inner);
    *running += 1;
    let limited = limit(Path::new(ROOT), &name, memory);
    builds.tell(limited.map_err(|error| error.to_string()));
    drop(running);
    Held { builds: builds.clone(), name }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut running = self.builds.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = running.saturating_sub(1);
        drop(running);
        remove_idle(&self.builds, &self.name);
    }
}

/// Removes the group unless somebody builds. One that was cut may still be dying in it: then a later call removes it.
pub(super) fn remove_idle(builds: &Builds, name: &str) {
    let running = builds.running.lock().unwrap_or_else(PoisonError::into_inner);
    if *running == 0 {
        tree::remove(Path::new(ROOT), name).ok();
    }
}

impl Builds {
    /// Limits of a slice are systemd's to set.
    pub(super) async fn limit_slice(&self, slice: &str, memory: u64) -> Result<(), String> {
        let set = Command::new("systemctl").args(["set-property", "--runtime", slice]);
        let properties =
            [format!("MemoryMax={memory}"), "MemorySwapMax=0".to_owned(), format!("TasksMax={PROCESSES}")];
        let done: PortResult<_> = set.args(properties).run().await;
        done.map(drop).map_err(|error| error.to_string())
    }

    /// Once for each reason.
    pub(super) fn tell(&self, limited: Result<(), String>) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = limited.err();
        if let Some(reason) = &reason
            && complaint.as_ref() != Some(reason)
        {
            tracing::warn!(%reason, "builds run without a limit of their memory ([limits] build_memory)");
        }
        *complaint = reason;
    }
}

/// Version 1 has a tree for each controller, version 2 files of the same tree.
fn limit(root: &Path, name: &str, memory: u64) -> io::Result<()> {
    let memory = memory.to_string();
    let processes = PROCESSES.to_string();
    let files: &[(&str, &str, &str)] = if root.join("cgroup.controllers").exists() {
        &[("", "memory.max", &memory), ("", "pids.max", &processes)]
    } else {
        &[("memory", "memory.limit_in_bytes", &memory), ("pids", "pids.max", &processes)]
    };
    for (tree, file, value) in files {
        let folder = root.join(tree).join(name);
        let path = folder.join(file);
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, value));
        written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_where_each_version_has_them() {
        let root = tempfile::tempdir().unwrap();
        let read = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
        limit(root.path(), "drey-a-builds", 1 << 30).unwrap();
        assert_eq!(read("memory/drey-a-builds/memory.limit_in_bytes"), "1073741824");
        assert_eq!(read("pids/drey-a-builds/pids.max"), "8192");
        std::fs::write(root.path().join("cgroup.controllers"), "memory pids").unwrap();
        limit(root.path(), "drey-a-builds", 5).unwrap();
        assert_eq!(
            (read("drey-a-builds/memory.max"), read("drey-a-builds/pids.max")),
            ("5".into(), "8192".into())
        );
    }
}
