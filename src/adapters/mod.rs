//! Conversations with the outside, one folder for each.

pub mod archive;
pub mod cgroups;
pub mod compose;
pub mod dns;
pub mod docker;
pub mod etcd;
pub mod firewall;
pub mod forge;
pub mod git;
pub mod logs;
pub mod process;
pub mod room;
pub mod routes;
pub mod template;
mod tls;
pub mod vault;
pub mod workspace;
