//! Real proxies of the distribution in front of drey's gate: routes, changes, faults. They listen on loopback only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stdout, reason = "a test tells its figures")]
#![allow(clippy::cognitive_complexity, reason = "assertions count as branches")]
#![allow(clippy::disallowed_methods, reason = "the programs and tasks of a test are its own")]

mod backend;
mod faults;
mod front;
mod included;
mod routes;
mod visitor;
