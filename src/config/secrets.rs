//! `[secrets]`: where containers find what they are given.

use std::path::PathBuf;

use super::reader::Section;

/// In memory on every machine with systemd, and gone when it is switched off.
const DEFAULT_FOLDER: &str = "/run/drey";

/// `[secrets]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Absolute. Should be in memory (tmpfs), and be seen by the engine under the same path.
    pub folder: PathBuf,
}

impl Secrets {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let folder = section.read("folder", |value| match value.as_str() {
            Some(folder) if folder.starts_with('/') && folder.len() > 1 => Ok(PathBuf::from(folder)),
            Some(_) | None => Err("must be an absolute path, for instance \"/run/drey\"".to_owned()),
        });
        let read = Self { folder: folder.unwrap_or_else(|| PathBuf::from(DEFAULT_FOLDER)) };
        section.finish();
        read
    }
}
