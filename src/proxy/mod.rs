//! The embedded TLS proxy and the gate: takes a route table, answers for every hostname in it.
//!
//! It knows hosts, upstream addresses and phases, nothing of git, compose or the engine. What has no address to
//! pass a request to has a page.

mod answer;
mod backend_verifier;
mod body;
mod bounds;
mod certificates;
mod chosen;
mod connect;
mod connection;
mod cookies;
mod examine;
mod executor;
mod fleet;
mod forward;
mod forwarded;
mod frames;
mod framing;
mod gate;
mod guard;
mod headers;
mod host;
mod in_force;
mod limits;
mod listener;
mod local_ca;
mod negotiate;
mod pages;
mod patience;
mod pool;
mod probe;
mod redirect;
mod repeat;
mod seats;
mod server;
mod settings;
mod standing;
mod table;
mod text;
mod tls;
mod upgrade;
mod upstream_tls;
mod visits;
mod waker;

pub use bounds::Bounds;
pub use examine::CertificateFacts;
pub use probe::HttpProber;
pub use server::Proxy;
pub use settings::{ProxyError, ProxySettings, Sockets, TlsSettings};

#[cfg(test)]
mod tests;
