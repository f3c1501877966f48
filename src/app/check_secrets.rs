//! `drey check`, of where secrets lie.

use std::path::Path;

use super::finding::{Findings, Level};
use crate::adapters::vault::is_in_memory;

/// Whether secrets would be written on a disk. The folder itself may be made later.
pub(super) fn secrets(folder: &Path, findings: &mut Findings) {
    let shown = folder.display();
    let there = folder.ancestors().find(|it| it.exists()).unwrap_or(folder);
    let (level, message) = match is_in_memory(there) {
        Some(true) => (Level::Ok, format!("{shown}: in memory")),
        Some(false) => (
            Level::Warn,
            format!(
                "{shown}: is on a disk, and what services are given would be; name a folder in memory (tmpfs) as secrets.folder"
            ),
        ),
        None => (Level::Warn, format!("{shown}: whether it is in memory cannot be told")),
    };
    findings.add(level, "secrets", message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_what_it_will_be_in() {
        let told = |folder: &str| {
            let mut findings = Findings::default();
            secrets(Path::new(folder), &mut findings);
            findings.into_vec().remove(0)
        };
        let memory = told("/dev/shm/not/there");
        assert_eq!((memory.level, memory.message.as_str()), (Level::Ok, "/dev/shm/not/there: in memory"));
        let other = told("/proc/not/there");
        assert!(other.level == Level::Warn && other.message.contains("secrets.folder"), "{}", other.message);
    }
}
