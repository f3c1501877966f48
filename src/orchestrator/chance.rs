//! Chance that nobody needs to guess at.

use std::hash::{BuildHasher as _, RandomState};

/// A number from 0 to 1: each hasher of the standard library has keys of its own.
pub(super) fn chance() -> f64 {
    let random = RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
