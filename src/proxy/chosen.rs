//! Which HTTP a container chose in the TLS handshake.

use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const HTTP_1: u8 = 1;
const HTTP_2: u8 = 2;

/// What the container chose; it may choose anew with a later connection.
#[derive(Debug, Default)]
pub(super) struct Chosen(AtomicU8);

impl Chosen {
    /// Whether it is HTTP/2; nothing where it has not chosen.
    pub(super) fn is_http2(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            HTTP_1 => Some(false),
            HTTP_2 => Some(true),
            _ => None,
        }
    }

    pub(super) fn set(&self, is_http2: bool) {
        self.0.store(if is_http2 { HTTP_2 } else { HTTP_1 }, Ordering::Release);
    }

    pub(super) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Release);
    }
}
