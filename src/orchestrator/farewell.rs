//! How an environment ends.

use crate::domain::environment::Outcome;

/// What an end is for, and what is told of it.
#[derive(Clone, Copy)]
pub(super) struct Farewell<'a> {
    pub(super) outcome: Outcome,
    /// Something is kept.
    pub(super) archive: bool,
    /// Why, where the outcome does not say it.
    pub(super) reason: Option<&'a str>,
}
