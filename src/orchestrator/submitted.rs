//! The answer to whoever hands something in.

use crate::domain::environment::Environment;
use crate::domain::event::Event;

/// What became of a submitted event.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub event: Event,
    /// The environment of the event's branch, if it has one now.
    pub environment: Option<Environment>,
    /// `deploying`, `ending`, `checking`, `removing`, `queued`, `ignored` or `unchanged`.
    pub action: &'static str,
    pub message: Option<String>,
}
