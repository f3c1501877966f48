//! What is known of the walls around environments.

use std::sync::Mutex;

use crate::domain::walls::Walls;

/// What is known of the walls.
#[derive(Default)]
pub(super) struct Enclosure {
    /// Those that were put up last. Held while others are put up.
    pub(super) standing: tokio::sync::Mutex<Option<Walls>>,
    /// Why they could not be put up, as it was told last.
    pub(super) complaint: Mutex<Option<String>>,
}
