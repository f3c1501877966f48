//! `drey stack check --json` on many folders at once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

/// How many run at the same time: each starts two programs.
const AT_ONCE: usize = 4;

/// What was said of a folder.
pub(crate) struct Checked {
    pub(crate) code: Option<i32>,
    pub(crate) said: Value,
}

impl Checked {
    pub(crate) fn is_accepted(&self) -> bool {
        self.said["verdict"] == "accept" && self.code == Some(0)
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.said["verdict"] == "reject" && self.code == Some(4)
    }

    /// Findings as `action RULE key`.
    pub(crate) fn findings(&self) -> Vec<String> {
        let found = self.said["findings"].as_array().cloned().unwrap_or_default();
        let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        found
            .iter()
            .map(|it| format!("{} {} {}", text(it, "action"), text(it, "rule"), text(it, "key")))
            .collect()
    }

    /// Every refusal says why, and what to write instead.
    pub(crate) fn tells_all(&self) -> bool {
        let found = self.said["findings"].as_array().cloned().unwrap_or_default();
        found.iter().all(|it| it["message"].as_str().is_some_and(|message| message.len() > 10))
    }
}

/// Looks at a folder as a developer would.
pub(crate) fn check(folder: &Path) -> Checked {
    let output = Command::new(env!("CARGO_BIN_EXE_drey"))
        .args(["stack", "check", "--json"])
        .arg(folder)
        // The run may have a configuration of its own.
        .env_remove("DREY_CONFIG")
        .output()
        .unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}: no JSON: {}", folder.display(), String::from_utf8_lossy(&output.stderr))
    });
    Checked { code: output.status.code(), said }
}

/// Does the work for each item, several at a time; what is wrong comes back.
pub(crate) fn each<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), String> + Sync) -> Vec<String> {
    let next = Mutex::new(items.iter());
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(item) = next.lock().unwrap().next() else { return };
                    if let Err(fault) = work(item) {
                        faults.lock().unwrap().push(fault);
                    }
                }
            });
        }
    });
    faults.into_inner().unwrap()
}

/// Writes a file with the folders above it.
pub(crate) fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}
