//! A log that is written on for ever and never grows beyond its bounds: the oldest part goes.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::ports::LogMark;

/// A file that has as many bytes gets no further line.
const PART: u64 = 2 * 1024 * 1024;
/// Files that are kept beside the one that is written on.
const OLDER: usize = 4;
const NAME: &str = "access";
const ENDING: &str = ".jsonl";

/// Whether a file of this name is one of these.
pub(in crate::adapters::logs) fn is_access_log(name: &str) -> bool {
    name.starts_with(NAME) && name.ends_with(ENDING)
}

/// The files of one log: `access.jsonl`, then `access.1.jsonl`, the newest of the older ones.
pub(super) struct Rotated {
    folder: PathBuf,
}

impl Rotated {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Appends whole lines. The folder is made, the one it is in is not: that is gone with its environment.
    pub(super) fn append(&self, lines: &str) -> io::Result<()> {
        match std::fs::create_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let current = self.part(0);
        if std::fs::metadata(&current).is_ok_and(|found| found.len() >= PART) {
            for number in (0..OLDER).rev() {
                match std::fs::rename(self.part(number), self.part(number + 1)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        OpenOptions::new().create(true).append(true).open(current)?.write_all(lines.as_bytes())
    }

    /// Whole lines since the mark. What went before it was read is lost.
    pub(super) fn read(&self, since: Option<LogMark>) -> io::Result<(Vec<String>, LogMark)> {
        // Opened at once: a rotation meanwhile renames files, and changes none of them.
        let mut parts = Vec::new();
        for number in 0..=OLDER {
            match File::open(self.part(number)) {
                Ok(file) => parts.push((file.metadata()?.ino(), file)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let known = since.and_then(|mark| parts.iter().position(|(file, _)| *file == mark.file));
        parts.truncate(known.map_or(parts.len(), |known| known + 1));
        let (mut lines, mut reached) = (Vec::new(), since.unwrap_or_default());
        for (file, mut opened) in parts.into_iter().rev() {
            let offset = if reached.file == file { reached.offset } else { 0 };
            opened.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            opened.read_to_end(&mut bytes)?;
            // The last line may still be on its way.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned();
            lines.extend(text.lines().map(str::to_owned));
            reached = LogMark { file, offset: offset + whole as u64 };
        }
        Ok((lines, reached))
    }

    fn part(&self, number: usize) -> PathBuf {
        match number {
            0 => self.folder.join(format!("{NAME}{ENDING}")),
            older => self.folder.join(format!("{NAME}.{older}{ENDING}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_part_goes_and_a_reader_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = Rotated::new(folder.path().join("logs"));
        let block = |number: usize| format!("{number} {}\n", "x".repeat(700_000));
        let (mut mark, mut seen) = (None, Vec::new());
        for number in 0..30 {
            log.append(&block(number)).unwrap();
            if number % 3 == 2 {
                let (lines, reached) = log.read(mark).unwrap();
                seen.extend(lines);
                mark = Some(reached);
            }
        }
        let numbers: Vec<String> =
            seen.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(numbers, (0..30).map(|number| number.to_string()).collect::<Vec<_>>());
        let files: Vec<_> = std::fs::read_dir(folder.path().join("logs")).unwrap().flatten().collect();
        assert_eq!(files.len(), OLDER + 1);
        assert!(files.iter().all(|file| file.metadata().unwrap().len() < PART + 800_000));
        let (kept, _) = log.read(None).unwrap();
        assert!(kept.len() < 30 && kept.last() == seen.last(), "{}", kept.len());
    }

    #[test]
    fn half_a_line_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let log = Rotated::new(folder.path().join("logs"));
        log.append("one\ntw").unwrap();
        let (lines, mark) = log.read(None).unwrap();
        assert_eq!(lines, ["one"]);
        log.append("o\n").unwrap();
        assert_eq!(log.read(Some(mark)).unwrap().0, ["two"]);
        assert_eq!(
            log.read(Some(LogMark { file: 0, offset: 99 })).unwrap().0,
            ["one", "two"],
            "of a file long gone"
        );
    }

    #[test]
    fn nothing_is_made_for_an_environment_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        Rotated::new(folder.path().join("7/logs")).append("x\n").unwrap();
        assert!(!folder.path().join("7").exists());
    }
}
