//! Where heads and bodies of HTTP/1 requests begin and end, and which heads have two readings (RFC 9112, 6.3).

/// Bytes of a header line that are kept when a line comes in pieces: enough for the two names that matter.
const LINE_LIMIT: usize = 256;

/// What became of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// The line that ends behind `after` bytes more makes the request ambiguous.
    Refused {
        after: usize,
    },
}

/// Follows the bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    place: Place,
    /// The beginning of a line whose end was not yet read.
    line: Vec<u8>,
    /// The last byte of that line so far, also where the line is longer than what is kept.
    last: u8,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between requests, or in the request line.
    #[default]
    Start,
    Header,
    Body {
        left: u64,
    },
    ChunkSize,
    Chunk {
        left: u64,
    },
    Trailer,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
}

struct Ambiguous;

impl Framing {
    /// A head has begun and its end was not yet seen.
    pub(super) fn is_inside_head(&self) -> bool {
        match self.place {
            Place::Start => !self.line.is_empty(),
            Place::Header => true,
            Place::Body { .. } | Place::ChunkSize | Place::Chunk { .. } | Place::Trailer => false,
        }
    }

    /// Takes the next bytes.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Verdict {
        let mut position = 0;
        while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
            match self.place {
                Place::Body { left } => {
                    let (taken, left) = pass(rest, left);
                    position += taken;
                    self.place = if left == 0 { Place::Start } else { Place::Body { left } };
                }
                Place::Chunk { left } => {
                    let (taken, left) = pass(rest, left);
                    position += taken;
                    self.place = if left == 0 { Place::ChunkSize } else { Place::Chunk { left } };
                }
                Place::Start | Place::Header | Place::ChunkSize | Place::Trailer => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        self.keep(rest);
                        return Verdict::Fine;
                    };
                    if self.line_ended(rest.get(..end).unwrap_or_default()).is_err() {
                        return Verdict::Refused { after: position };
                    }
                    position += end + 1;
                }
            }
        }
        Verdict::Fine
    }

    fn keep(&mut self, piece: &[u8]) {
        self.last = piece.last().copied().unwrap_or(self.last);
        let room = LINE_LIMIT.saturating_sub(self.line.len());
        self.line.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn line_ended(&mut self, piece: &[u8]) -> Result<(), Ambiguous> {
        let last = piece.last().copied().unwrap_or(self.last);
        self.last = 0;
        // Where one server ends a line at a bare line feed, another reads on.
        if last != b'\r' {
            return Err(Ambiguous);
        }
        if self.line.is_empty() {
            return self.line(piece);
        }
        self.keep(piece);
        self.last = 0;
        let line = std::mem::take(&mut self.line);
        let result = self.line(&line);
        self.line = line;
        self.line.clear();
        result
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.place {
            // Empty lines before a request are skipped (RFC 9112, 2.2).
            Place::Start if line.is_empty() => {}
            Place::Start => {
                self.head = Head::default();
                self.place = Place::Header;
            }
            Place::Header if line.is_empty() => self.place = self.head.body(),
            // A folded line: part of the one before it for some, a header of its own for others (RFC 9112, 5.2).
            Place::Header if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) => {
                return Err(Ambiguous);
            }
            Place::Header => self.head.header(line)?,
            // The line break behind a chunk's bytes, or a size with extensions.
            Place::ChunkSize if line.is_empty() => {}
            Place::ChunkSize => match chunk_size(line)? {
                0 => self.place = Place::Trailer,
                left => self.place = Place::Chunk { left },
            },
            Place::Trailer if line.is_empty() => self.place = Place::Start,
            Place::Trailer | Place::Body { .. } | Place::Chunk { .. } => {}
        }
        Ok(())
    }
}

impl Head {
    /// At most one of the two headers that frame a body, once, with the one value that has one meaning.
    fn header(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        if let Some(value) = value_of(line, b"content-length") {
            if self.length.is_some() || self.chunked {
                return Err(Ambiguous);
            }
            self.length = Some(number(value, 10).ok_or(Ambiguous)?);
        } else if let Some(value) = value_of(line, b"transfer-encoding") {
            if self.length.is_some() || self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Ambiguous);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn body(self) -> Place {
        match self.length {
            _ if self.chunked => Place::ChunkSize,
            Some(left) if left > 0 => Place::Body { left },
            Some(_) | None => Place::Start,
        }
    }
}

/// The header's value without the blanks around it, when the line is that header. Blanks before the colon, which
/// hyper refuses, count as the header: somebody behind might be more lenient.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii)
}

fn chunk_size(line: &[u8]) -> Result<u64, Ambiguous> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = line.get(..digits).unwrap_or_default();
    number(size, 16).ok_or(Ambiguous)
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// How many of the bytes belong to what is `left`, and what is left then.
fn pass(bytes: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (taken, left.saturating_sub(taken as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict over a whole text, with the same text in pieces of one byte.
    fn refused(text: &str) -> bool {
        let whole = Framing::default().advance(text.as_bytes()) != Verdict::Fine;
        let mut framing = Framing::default();
        let pieces = text.as_bytes().iter().any(|byte| framing.advance(&[*byte]) != Verdict::Fine);
        assert_eq!(whole, pieces, "{text:?}");
        whole
    }

    #[test]
    fn two_readings_are_refused() {
        for headers in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1\r\ncontent-length: 2",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:\tchunked, identity",
            "Transfer-Encoding : xchunked",
            "Content-Length: +1",
            "Content-Length: 0x1",
            "Content-Length: 1, 1",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
            "X: a\n y",
            "X: a\nY: b",
            "X: a\r\n folded",
        ] {
            assert!(refused(&format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\nx")), "{headers}");
        }
    }

    #[test]
    fn what_follows_a_body_is_a_head_and_what_is_in_it_is_not() {
        let evil = "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let length = evil.len();
        let chunk = format!("{length:x};ext=1\r\n{evil}\r\n0\r\nTrailer: x\r\n\r\n");
        let framed = [
            format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{evil}"),
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n{chunk}"),
            "\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "long".repeat(LINE_LIMIT)),
        ];
        for good in framed {
            assert!(!refused(&good), "{good}");
            assert!(!refused(&format!("{good}GET / HTTP/1.1\r\nHost: a\r\n\r\n")), "{good}");
            assert!(refused(&format!("{good}{evil}")), "{good}");
        }
    }

    #[test]
    fn the_line_at_fault_is_held_back() {
        let text = b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(Framing::default().advance(text), Verdict::Refused { after: 36 });
    }

    #[test]
    fn a_head_is_begun_until_it_ends() {
        let mut framing = Framing::default();
        assert!(!framing.is_inside_head());
        assert_eq!(framing.advance(b"GE"), Verdict::Fine);
        assert!(framing.is_inside_head());
        assert_eq!(framing.advance(b"T / HTTP/1.1\r\n\r"), Verdict::Fine);
        assert!(framing.is_inside_head());
        assert_eq!(framing.advance(b"\n"), Verdict::Fine);
        assert!(!framing.is_inside_head());
    }
}
