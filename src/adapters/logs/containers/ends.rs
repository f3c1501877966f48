//! A log of which beginning and end are kept, in one file that is whole at any time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How much is kept, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// Of the beginning, for ever.
    pub(super) beginning: u64,
    /// In all; what exceeds it is taken from between beginning and end.
    pub(super) total: u64,
}

impl Size {
    /// What is kept of the end when something goes: half of its room, so that it does not happen with each line.
    fn end(self) -> u64 {
        (self.total - self.beginning) / 2
    }
}

pub(super) struct Ends {
    path: PathBuf,
    file: File,
    size: Size,
    written: u64,
    /// What was left out so far.
    lines: u64,
    bytes: u64,
    /// Where the line about it begins, and its length: the end of the beginning.
    gap: Option<(u64, u64)>,
}

impl Ends {
    /// A new file. Whoever writes an older one of this name writes on, but nobody sees it.
    pub(super) fn begin(path: &Path, size: Size) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Err(_) | Ok(()) => Self::go_on(path, size),
        }
    }

    pub(super) fn go_on(path: &Path, size: Size) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, written, lines: 0, bytes: 0, gap: None })
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(format!("{text}\n").as_bytes())?;
        self.written += text.len() as u64 + 1;
        if self.written > self.size.total && self.is_its_own()? {
            self.leave_out()?;
        }
        Ok(())
    }

    /// Whether the name still leads to this file.
    fn is_its_own(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        Ok(fs::metadata(&self.path).is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())))
    }

    /// Writes the file anew without its middle.
    fn leave_out(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut text)?;
        let beginning = match self.gap {
            Some((begin, _)) => begin,
            None => after_line(&text, self.size.beginning),
        };
        let middle = beginning + self.gap.map_or(0, |(_, length)| length);
        let end = after_line(&text, self.written.saturating_sub(self.size.end())).max(middle);
        let left_out = part(&text, middle, end);
        self.bytes += left_out.len() as u64;
        self.lines += count_lines(left_out);
        let gap = format!("drey | {} lines, {} bytes, are left out here\n", self.lines, self.bytes);
        let kept = [part(&text, 0, beginning), gap.as_bytes(), part(&text, end, self.written)].concat();
        self.file = self.replace(&kept)?;
        self.gap = Some((beginning, gap.len() as u64));
        self.written = kept.len() as u64;
        Ok(())
    }

    fn replace(&self, text: &[u8]) -> io::Result<File> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.path)?;
        OpenOptions::new().append(true).read(true).open(&self.path)
    }
}

/// The first line that begins at or after the position; the end where there is none.
fn after_line(text: &[u8], position: u64) -> u64 {
    let length = text.len() as u64;
    let Some(before) = position.checked_sub(1) else { return 0 };
    let rest = part(text, before, length);
    rest.iter().position(|&byte| byte == b'\n').map_or(length, |found| before + found as u64 + 1)
}

fn part(text: &[u8], begin: u64, end: u64) -> &[u8] {
    let place = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
    text.get(place(begin)..place(end)).unwrap_or_default()
}

fn count_lines(text: &[u8]) -> u64 {
    text.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { beginning: 1000, total: 5000 };

    #[test]
    fn beginning_and_end_are_kept_and_what_is_between_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let mut ends = Ends::begin(&path, SIZE).unwrap();
        for number in 0..5000 {
            ends.line(&format!("line {number:06}")).unwrap();
            assert!(fs::metadata(&path).unwrap().len() <= SIZE.total);
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let gap = lines.iter().position(|line| line.starts_with("drey |")).unwrap();
        assert_eq!((lines[0], lines[gap - 1], gap), ("line 000000", "line 000083", 84));
        assert_eq!(*lines.last().unwrap(), "line 004999");
        let left_out: usize = lines[gap].split(' ').nth(2).unwrap().parse().unwrap();
        assert_eq!(lines.len() - 1 + left_out, 5000, "{}", lines[gap]);
        assert!(lines.len() - gap > 160, "{} lines of the end", lines.len() - gap);
        assert_eq!(lines.iter().filter(|line| line.starts_with("drey |")).count(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_line_longer_than_everything_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let mut ends = Ends::begin(&path, SIZE).unwrap();
        for _ in 0..3 {
            ends.line(&"x".repeat(6000)).unwrap();
            ends.line("short").unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("short\n") && text.len() < 12_100, "{}", text.len());
    }

    #[test]
    fn who_began_earlier_disturbs_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let mut former = Ends::begin(&path, SIZE).unwrap();
        former.line("former").unwrap();
        let mut newer = Ends::begin(&path, SIZE).unwrap();
        newer.line("newer").unwrap();
        for _ in 0..1000 {
            former.line("former again").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer\n");
    }
}
