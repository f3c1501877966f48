//! The list of what is on the engine and may be drey's, and that drey does not touch: written by the daemon, read by
//! `drey check`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// As seen last.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leftovers {
    pub(super) seen_at: Timestamp,
    /// One for each reason: things, and why they are not surely ours.
    pub(super) lines: Vec<String>,
}

impl Leftovers {
    pub(super) fn write(&self, data_dir: &Path) -> std::io::Result<()> {
        let path = file(data_dir);
        let unfinished = path.with_extension("json.new");
        std::fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(unfinished, path)
    }

    /// None where no daemon has looked yet.
    pub(super) fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file(data_dir)).ok()?).ok()
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("leftovers.json")
}
