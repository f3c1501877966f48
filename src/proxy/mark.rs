//! How a page knows itself, and the script that looks whether it is still true.

use std::sync::LazyLock;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::domain::route::Page;

/// The page's part: it listens to `proxy::events`.
pub(super) const SCRIPT: &str = include_str!("page.js");

/// The script as a source of the page's content policy.
pub(super) static SCRIPT_DIGEST: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", BASE64.encode(&Sha256::digest(SCRIPT))));

/// What a page knows itself by: another one is another page.
pub(super) fn mark(page: &Page) -> String {
    let mut digest = Sha256::new();
    digest.update([u8::from(page.is_tired)]);
    digest.update(page.reason.as_deref().unwrap_or_default());
    let digest = HEXLOWER.encode(digest.finalize().get(..4).unwrap_or_default());
    format!("{}-{digest}", page.phase.word())
}
