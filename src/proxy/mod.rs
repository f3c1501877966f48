//! The embedded TLS proxy and the gate: takes a route table, answers for every hostname in it.
//!
//! It knows hosts, upstream addresses and phases, nothing of git, compose or the engine. What has no address to
//! pass a request to has a page.

mod account;
mod answer;
mod body;
mod certificates;
mod connect;
mod connection;
mod cookies;
mod door;
mod examine;
mod executor;
mod forward;
mod framing;
mod gate;
mod guard;
mod headers;
mod host;
mod limits;
mod link;
mod listener;
mod local_ca;
mod pages;
mod pass;
mod pool;
mod probe;
mod redirect;
mod robots;
mod round;
mod server;
mod settings;
mod table;
mod tally;
mod text;
mod tls;
mod upgrade;
mod upstream_tls;
mod visits;
mod waker;

pub use examine::CertificateFacts;
pub use probe::HttpProber;
pub use server::Proxy;
pub use settings::{ProxyError, ProxySettings, Robots, TlsSettings};

#[cfg(test)]
mod tests;
