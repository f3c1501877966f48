//! Processes of a daemon that is no more.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

/// A process that works in a folder and belongs to nobody who lives.
pub(crate) struct Stray {
    pub(crate) id: u32,
    words: String,
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.id, self.words)
    }
}

/// Processes whose arguments, variables or working folder name the folder, and that do not descend from this test: the
/// children of a daemon that was killed.
pub(crate) fn strays(folder: &str) -> Vec<Stray> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parents: BTreeMap<u32, u32> = ids.iter().filter_map(|id| Some((*id, parent(*id)?))).collect();
    let ours = std::process::id();
    let descends = |id: &u32| {
        let chain =
            std::iter::successors(Some(*id), |id| parents.get(id).copied().filter(|parent| *parent > 0));
        chain.take(parents.len()).any(|id| id == ours)
    };
    ids.into_iter()
        .filter(|id| names(*id, folder) && !descends(id))
        .map(|id| Stray { id, words: words(id) })
        .collect()
}

/// Ends them, as the end of a whole machine would; how many there were.
pub(crate) fn kill_strays(folder: &str) -> usize {
    let found = strays(folder);
    for stray in &found {
        let id = i32::try_from(stray.id).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        // It may have ended by itself.
        rustix::process::kill_process(id, rustix::process::Signal::KILL).ok();
    }
    found.len()
}

/// Of a process that is not only waiting to be collected.
fn parent(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.next()?.parse().ok()
}

fn names(id: u32, folder: &str) -> bool {
    let holds = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        OsString::from_vec(bytes).to_string_lossy().contains(folder)
    };
    let works_there =
        std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd.starts_with(Path::new(folder)));
    works_there || holds("cmdline") || holds("environ")
}

fn words(id: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&bytes).replace('\0', " ");
    words.chars().take(160).collect()
}
