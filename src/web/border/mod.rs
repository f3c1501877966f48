//! The border: what strangers at the port of the webhooks may take of connections, memory, work and log.
//!
//! Whoever delivers with a good signature is never held back for what strangers do, not even where both come from one
//! address: it is only what failed that is counted by address, and an address that fails often still gets small
//! deliveries looked at.

mod connections;
mod rate;
mod refusal;
mod room;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::domain::names::RepoName;
use crate::domain::network::{self, Network};
use crate::domain::text::clean_line;
use crate::ports::meters;

pub(super) use connections::{Connections, Seat};
pub(super) use refusal::Refusal;
pub(super) use room::{BODY_LIMIT, Room, SUSPECT_LIMIT, Share};

use rate::{Rates, Throttle};

/// How long an address that fails too often waits for its answer, at least: whoever tries one after the other is slowed down, and
/// its connection costs less than its requests would.
const HOLD_BACK: Duration = Duration::from_secs(3);
/// Some wait longer, by one to fifty of these: those who came together do not all come again together.
const STAGGER: Duration = Duration::from_millis(80);

/// Most characters of a name of a stranger's choice in the log.
const NAME_LIMIT: usize = 100;

/// What the configuration says of strangers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BorderRules {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Failed deliveries of one address in a second.
    pub rate_per_address: u32,
    /// Signed deliveries of one repository in a second.
    pub rate_per_repository: u32,
}

/// What is remembered of those who came.
pub(super) struct Border {
    pub(super) connections: Arc<Connections>,
    pub(super) room: Arc<Room>,
    failures: Rates<IpAddr>,
    deliveries: Rates<RepoName>,
    told: Throttle,
    held_back: AtomicU32,
}

/// Whoever sends a request; nothing is counted for those who use the socket.
#[derive(Clone, Default)]
pub(super) struct Caller {
    seat: Option<Seat>,
    sender: Option<IpAddr>,
}

impl Border {
    pub(super) fn new() -> Self {
        Self {
            connections: Connections::new(),
            room: Arc::default(),
            failures: Rates::default(),
            deliveries: Rates::default(),
            told: Throttle::default(),
            held_back: AtomicU32::new(0),
        }
    }

    /// Who it is, as far as the peer, or a proxy that is trusted, tells.
    pub(super) fn caller(seat: Option<Seat>, headers: &HeaderMap, rules: &BorderRules) -> Caller {
        let forwarded: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        let client =
            seat.as_ref().map(|seat| network::client(seat.peer(), &forwarded, &rules.trusted_proxies));
        Caller { sender: client.map(network::sender), seat }
    }

    /// Whether the caller's address failed more often than it may.
    pub(super) fn is_suspect(&self, caller: &Caller, rules: &BorderRules) -> bool {
        let spent = |sender| self.failures.is_spent(sender, rules.rate_per_address, Instant::now());
        caller.sender.as_ref().is_some_and(spent)
    }

    /// Room for a body of the caller's.
    pub(super) fn share(&self, caller: &Caller) -> Share {
        Room::share(&self.room, caller.sender)
    }

    /// The caller has shown that it knows the secret: what its repository may send in a second is what holds from here.
    pub(super) fn admit(&self, caller: &Caller, repo: &RepoName, rules: &BorderRules) -> Result<(), Refusal> {
        if !self.deliveries.take(repo, rules.rate_per_repository, Instant::now()) {
            return Err(Refusal::RepositoryRate);
        }
        if let Some(seat) = &caller.seat {
            seat.admit();
        }
        Ok(())
    }

    /// Counts, tells and answers a refusal.
    pub(super) async fn refuse(
        &self,
        (caller, repo): (&Caller, &str),
        refusal: Refusal,
        rules: &BorderRules,
    ) -> Response {
        meters::hook_refused(refusal.word());
        if let Some(sender) = caller.sender.filter(|_| refusal.is_of_a_stranger()) {
            self.failures.take(&sender, rules.rate_per_address, Instant::now());
        }
        if let Some(untold) = self.told.permit(Instant::now()) {
            let repo: String = clean_line(repo).chars().take(NAME_LIMIT).collect();
            let sender = caller.sender.map(|sender| sender.to_string()).unwrap_or_default();
            tracing::warn!(repo, sender, reason = refusal.word(), untold, "a delivery was refused");
        }
        if matches!(refusal, Refusal::AddressRate) {
            caller.seat.iter().for_each(Seat::refuse);
            let steps = self.held_back.fetch_add(1, Ordering::Relaxed) % 50;
            tokio::time::sleep(HOLD_BACK + STAGGER * (steps + 1)).await;
        }
        refusal.into_error().into_response()
    }
}
