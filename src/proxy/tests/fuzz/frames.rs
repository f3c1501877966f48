//! Frames of a WebSocket as bytes, also such as nobody may send (RFC 6455, 5.2).

pub(super) const FINAL: u8 = 0x80;
pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = FINAL | 8;
pub(super) const PING: u8 = FINAL | 9;
pub(super) const PONG: u8 = FINAL | 10;

/// Who sends: a client masks, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Shortest,
    TwoBytes,
    EightBytes,
}

/// What is sent, in pieces.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Frame {
        first: u8,
        form: Form,
        payload: Vec<u8>,
    },
    /// Masked where it must not be, or not masked where it must.
    WronglyMasked {
        first: u8,
        payload: Vec<u8>,
    },
    /// A head that promises more than comes.
    Promise {
        first: u8,
        length: u64,
        payload: Vec<u8>,
    },
}

impl Piece {
    pub(super) fn bytes(&self, side: Side) -> Vec<u8> {
        let is_masked = side == Side::Client;
        match self {
            Self::Frame { first, form, payload } => {
                frame(*first, *form, is_masked, payload.len().try_into().unwrap(), payload)
            }
            Self::WronglyMasked { first, payload } => {
                frame(*first, Form::Shortest, !is_masked, payload.len().try_into().unwrap(), payload)
            }
            Self::Promise { first, length, payload } => {
                frame(*first, Form::Shortest, is_masked, *length, payload)
            }
        }
    }
}

/// One in the shortest form.
pub(super) fn piece(first: u8, payload: impl AsRef<[u8]>) -> Piece {
    Piece::Frame { first, form: Form::Shortest, payload: payload.as_ref().to_vec() }
}

pub(super) fn close(code: u16, reason: impl AsRef<[u8]>) -> Piece {
    piece(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

fn frame(first: u8, form: Form, is_masked: bool, length: u64, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0xa5, 0x00, 0xff, 0x3c];
    let bit = if is_masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match (form, length) {
        (Form::Shortest, 0..126) => frame.push(bit | u8::try_from(length).unwrap()),
        (Form::Shortest, 126..65_536) | (Form::TwoBytes, _) => {
            frame.push(bit | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        (Form::Shortest | Form::EightBytes, _) => {
            frame.push(bit | 127);
            frame.extend(length.to_be_bytes());
        }
    }
    if is_masked {
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend(payload);
    }
    frame
}
