//! Where in a stream of WebSocket frames one is (RFC 6455, 5.2): a tunnel that is ended ends between two of them.

/// Longest head of a frame: two bytes, a length of eight, a mask of four.
const LONGEST_HEAD: usize = 14;

/// Tells a client that the server goes away (1001).
pub(super) const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// The same to a server: a client masks what it sends, here with a mask that changes nothing.
pub(super) const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// One direction of a tunnel.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; LONGEST_HEAD],
    /// Bytes of a head that is not complete.
    begun: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
}

impl Frames {
    pub(super) fn is_at_border(&self) -> bool {
        self.begun == 0 && self.left == 0
    }

    /// Passes these bytes.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.step(rest)..];
        }
    }

    /// Passes the bytes up to the next border, or all of them; returns how many these were.
    pub(super) fn pass_to_border(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() && !self.is_at_border() {
            passed += self.step(&bytes[passed..]);
        }
        passed
    }

    /// Passes one byte of a head, or what there is of a payload; never more than one frame.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let there = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(self.left);
            self.left -= there;
            return usize::try_from(there).unwrap_or(bytes.len());
        }
        self.head[self.begun] = bytes[0];
        self.begun += 1;
        if self.begun == self.head_length() {
            self.left = self.payload_length();
            self.begun = 0;
        }
        1
    }

    fn head_length(&self) -> usize {
        if self.begun < 2 {
            return LONGEST_HEAD;
        }
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + mask
    }

    fn payload_length(&self) -> u64 {
        let wide = |count: usize| {
            self.head[2..2 + count].iter().fold(0_u64, |length, byte| (length << 8) | u64::from(*byte))
        };
        match self.head[1] & 0x7f {
            126 => wide(2),
            127 => wide(8),
            short => u64::from(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary frame with so many bytes.
    fn frame(length: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        if is_masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(std::iter::repeat_n(0x81, length));
        frame
    }

    #[test]
    fn borders_are_found_however_the_bytes_come() {
        let mut stream = Vec::new();
        let mut borders = vec![0];
        for (length, is_masked) in [
            (0, false),
            (0, true),
            (1, false),
            (125, true),
            (126, true),
            (65_535, false),
            (65_536, true),
            (3, true),
        ] {
            stream.extend(frame(length, is_masked));
            borders.push(stream.len());
        }
        for piece in [1, 2, 7, 4096, stream.len()] {
            let mut frames = Frames::default();
            let mut passed = 0;
            for bytes in stream.chunks(piece) {
                assert_eq!(frames.is_at_border(), borders.contains(&passed), "{passed} by {piece}");
                frames.pass(bytes);
                passed += bytes.len();
            }
            assert!(frames.is_at_border());
        }
        // From the middle of the longest frame to its end, and not a byte further.
        let mut frames = Frames::default();
        let middle = borders[6] + 100;
        frames.pass(&stream[..middle]);
        assert!(!frames.is_at_border());
        assert_eq!(frames.pass_to_border(&stream[middle..]), borders[7] - middle);
        assert!(frames.is_at_border());
        assert_eq!(frames.pass_to_border(&stream[borders[7]..]), 0);
    }

    #[test]
    fn what_is_said_at_the_end_is_one_frame() {
        for bytes in [&GOING_AWAY[..], &GOING_AWAY_MASKED] {
            let mut frames = Frames::default();
            frames.pass(bytes);
            assert!(frames.is_at_border());
        }
    }
}
