//! The only place that joins the parts.

pub mod check;
mod clock;
pub mod hook_install;
mod leftovers;
mod lock;
pub mod names;
pub mod repositories;
mod rules;
mod runtime;
mod scratch;
mod serve;
pub mod stack_check;
mod unpacking;
mod upkeep;
mod wiring;

pub use crate::adapters::process::jail::run as jail;
pub use runtime::{block_on, block_on_all_cores, drive, give_memory_back, start_logging};
pub use serve::serve;
pub use unpacking::Unpacking;
