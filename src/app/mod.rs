//! The only place that joins the parts.

pub mod check;
mod check_daemon;
mod check_secrets;
mod check_tls;
mod check_walls;
mod check_webhooks;
mod clock;
mod complaint;
mod dockerfiles;
mod figures;
mod finding;
mod forges;
pub mod hook_install;
mod leftovers;
mod lock;
mod log;
mod mirrors;
pub mod names;
mod reload;
pub mod remote;
pub mod repositories;
mod rules;
mod runtime;
mod scratch;
mod serve;
mod signals;
pub mod stack_check;
mod unpacking;
mod upkeep;
mod webhooks;
mod wiring;

pub use crate::adapters::process::jail::run as jail;
pub use log::{LogControl, start_logging};
pub use runtime::{block_on, block_on_all_cores, drive, give_memory_back};
pub use serve::serve;
pub use unpacking::Unpacking;
