//! From the pieces in which output comes to lines.

/// Most bytes of a line; what is longer goes on in the next.
const LONGEST: usize = 8 * 1024;

/// The line that has begun, of one stream.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes a piece, and tells every line that is whole by it.
    pub(super) fn push(&mut self, piece: &[u8], mut tell: impl FnMut(String)) {
        for byte in piece {
            if *byte == b'\n' {
                tell(self.take());
            } else {
                self.0.push(*byte);
                if self.0.len() >= LONGEST {
                    tell(self.take());
                }
            }
        }
    }

    /// Tells the last line when it has no end.
    pub(super) fn finish(mut self, mut tell: impl FnMut(String)) {
        if !self.0.is_empty() {
            tell(self.take());
        }
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.0);
        String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_cut_where_they_never_end() {
        let mut told = Vec::new();
        let mut lines = Lines::default();
        for piece in [&b"one\r\ntw"[..], b"o\n\xc3", b"\xa9\nlast"] {
            lines.push(piece, |line| told.push(line));
        }
        lines.finish(|line| told.push(line));
        assert_eq!(told, ["one", "two", "é", "last"]);
        let mut lengths = Vec::new();
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LONGEST + 1], |line| lengths.push(line.len()));
        lines.finish(|line| lengths.push(line.len()));
        assert_eq!(lengths, [LONGEST, 1]);
    }
}
