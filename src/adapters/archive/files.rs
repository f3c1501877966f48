//! Archives as files: which there are, and removing one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use super::{ENDING, failed};
use crate::ports::PortResult;

pub(super) fn remove(path: &Path) -> PortResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("cannot remove", path, &error));
        }
        Ok(()) | Err(_) => {}
    }
    let directory = path.parent().unwrap_or(path);
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed("cannot remove", path, &error))
}

/// Plain files with an archive's ending; anything else in the folder is somebody else's.
pub(super) fn ids(directory: &Path) -> PortResult<Vec<String>> {
    let told = |error| failed("cannot list", directory, &error);
    let mut ids = Vec::new();
    for entry in fs::read_dir(directory).map_err(told)? {
        let entry = entry.map_err(told)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(id) = name.strip_suffix(ENDING)
            && entry.file_type().map_err(told)?.is_file()
        {
            ids.push(id.to_owned());
        }
    }
    ids.sort();
    Ok(ids)
}
