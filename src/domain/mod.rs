//! Decisions: names, events, policy, plans. Pure values in, pure values out.
//!
//! Nothing here knows a clock, a file, a socket or a task; time and ids come in as values.

pub mod access;
pub mod audit;
pub mod branches;
pub mod disk;
pub mod dollars;
pub mod drift;
pub mod duration;
pub mod environment;
pub mod event;
pub mod eviction;
pub mod fate;
pub mod filler;
pub mod fold;
pub mod hook_body;
pub mod images;
pub mod jobs;
pub mod leftovers;
pub mod names;
pub mod network;
pub mod observed;
pub mod orphans;
pub mod patience;
pub mod places;
pub mod plan;
pub mod policy;
pub mod poll;
pub mod readiness;
pub mod reconcile;
pub mod redaction;
pub mod rest;
pub mod retention;
pub mod rewrite;
pub mod route;
pub mod secrets;
pub mod settings;
pub mod sift;
pub mod slug;
pub mod stack;
pub mod subnet;
pub mod text;
pub mod time;
pub mod trouble;
pub mod verdict;
pub mod walls;
