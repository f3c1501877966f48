//! The embedded TLS proxy and the gate: takes a route table, answers for every hostname in it.
//!
//! It knows hosts, upstream addresses and phases, nothing of git, compose or the engine. What has no address to
//! pass a request to has a page.

mod account;
mod acme;
mod answer;
mod aside;
mod backend_verifier;
mod body;
mod bounds;
mod certificates;
mod challenges;
mod chosen;
mod connect;
mod connection;
mod cookies;
mod cut;
mod door;
mod events;
mod examine;
mod executor;
mod fleet;
mod forward;
mod forwarded;
mod frames;
mod framing;
mod front;
mod gate;
mod guard;
mod handshake;
mod headers;
mod host;
mod in_force;
mod keepalive;
mod limits;
mod line;
mod link;
mod listener;
mod local_ca;
mod mark;
mod negotiate;
mod pages;
mod pass;
mod patience;
mod policy;
mod pool;
mod private_file;
mod probe;
mod redirect;
mod renewal;
mod repeat;
mod robots;
mod round;
mod seats;
mod server;
mod serving;
mod settings;
mod signpost;
mod standing;
mod table;
mod tally;
mod text;
mod tls;
mod upgrade;
mod upstream_tls;
mod visits;
mod waiting;
mod waker;
mod words;

pub use acme::kept::{AcmeState, state as acme_state};
pub use bounds::Bounds;
pub use examine::CertificateFacts;
pub use local_ca::local_certificate;
pub use probe::HttpProber;
pub use server::Proxy;
pub use settings::{HoldSettings, ProxyError, ProxySettings, Robots, Sockets, TlsRules, TlsSettings};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::certificate::write as write_certificate;
