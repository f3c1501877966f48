//! Bytes of a pipe as lines of text: nothing is lost, no line grows without end.

/// Longest line that is handed on; a longer one goes on in the next.
pub(super) const LINE_LIMIT: usize = 8 * 1024;

/// Cuts a stream into lines, wherever the borders of its chunks lie.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn push(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.append(&bytes[..end], emit);
            emit(line(&self.pending));
            self.pending.clear();
            bytes = &bytes[end + 1..];
        }
        self.append(bytes, emit);
    }

    /// The last line, when the stream did not end with a line break.
    pub(super) fn finish(&mut self, emit: &mut dyn FnMut(String)) {
        if !self.pending.is_empty() {
            emit(line(&self.pending));
            self.pending.clear();
        }
    }

    fn append(&mut self, bytes: &[u8], emit: &mut dyn FnMut(String)) {
        self.pending.extend_from_slice(bytes);
        while self.pending.len() > LINE_LIMIT {
            let cut = character_border(&self.pending, LINE_LIMIT);
            emit(decode(&self.pending[..cut]));
            self.pending.drain(..cut);
        }
    }
}

/// Text of bytes; those that are no UTF-8 appear as `\xNN`.
pub(super) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

fn line(bytes: &[u8]) -> String {
    decode(bytes.strip_suffix(b"\r").unwrap_or(bytes))
}

/// The last place up to `limit` that is not inside a UTF-8 character.
fn character_border(bytes: &[u8], limit: usize) -> usize {
    let is_inside = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (limit.saturating_sub(3)..=limit).rev().find(|at| !is_inside(*at)).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.push(chunk, &mut |line| found.push(line));
        }
        lines.finish(&mut |line| found.push(line));
        found
    }

    #[test]
    fn chunk_borders_do_not_matter() {
        let whole = "größe\r\n\nzwei\n€".as_bytes();
        let expected = vec!["größe".to_owned(), String::new(), "zwei".to_owned(), "€".to_owned()];
        for border in 0..whole.len() {
            assert_eq!(cut(&[&whole[..border], &whole[border..]]), expected, "{border}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_whole_when_joined() {
        let long = "€".repeat(LINE_LIMIT);
        let pieces = cut(&[long.as_bytes()]);
        assert!(pieces.len() > 2);
        assert!(pieces.iter().all(|piece| piece.len() <= LINE_LIMIT && !piece.contains('\\')));
        assert_eq!(pieces.concat(), long);
    }

    #[test]
    fn bytes_that_are_no_text_stay_visible() {
        assert_eq!(cut(&[b"a\xff\xfeb\n"]), vec!["a\\xff\\xfeb".to_owned()]);
    }
}
