//! The containers of one service: which of them gets a request, and which the next try.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use super::pool::Pool;
use super::standing::Busy;
use crate::domain::backend::Balance;
use crate::domain::route::Upstream;

/// Tells which container a visitor stays with; of its host only.
const COOKIE_NAME: &str = "drey-backend";
/// Hex digits of the digest of a container's id: it tells nobody the id.
const MARK_DIGITS: usize = 16;

/// One or more containers. Made anew with the route; the pools are kept.
pub(super) struct Fleet {
    members: Vec<Member>,
    balance: Balance,
    sticky: bool,
    /// Of this service; none: as the proxy is configured.
    pub(super) timeout: Option<Duration>,
    turn: AtomicUsize,
}

struct Member {
    pool: Arc<Pool>,
    /// Empty where no visitor has to stay.
    mark: String,
}

impl Fleet {
    /// `pools` are those of the upstream's containers, in their order.
    pub(super) fn new(upstream: &Upstream, pools: Vec<Arc<Pool>>) -> Self {
        let sticky = upstream.sticky && pools.len() > 1;
        let mark = |pool: &Pool| if sticky { mark(pool.container()) } else { String::new() };
        let members = pools.into_iter().map(|pool| Member { mark: mark(&pool), pool }).collect();
        let (balance, timeout) = (upstream.balance, upstream.timeout);
        Self { members, balance, sticky, timeout, turn: AtomicUsize::new(0) }
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.members.iter().map(|member| &member.pool)
    }

    /// The tries of one request.
    pub(super) fn tries(&self, request: &HeaderMap) -> Option<Try<'_>> {
        let kept = self.sticky.then(|| self.kept(request)).flatten();
        let kept = kept.filter(|kept| !self.members[*kept].pool.standing.is_passed_over());
        let place = kept.or_else(|| self.next(&[]))?;
        Some(Try { fleet: self, place, tried: Vec::new(), is_known: kept.is_some() })
    }

    fn is_one(&self) -> bool {
        self.members.len() == 1
    }

    /// The place of the member whose mark the visitor brings.
    fn kept(&self, request: &HeaderMap) -> Option<usize> {
        let cookies = request.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies.flat_map(|text| text.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE_NAME).then_some(value)
        });
        values.find_map(|value| self.members.iter().position(|member| member.mark == value))
    }

    /// Whose turn it is of those that were not tried: one that is passed over only where all are.
    fn next(&self, tried: &[usize]) -> Option<usize> {
        let count = self.members.len();
        if count <= 1 {
            return (tried.len() < count).then_some(0);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let in_turn = self.members.iter().enumerate().cycle().skip(turn).take(count);
        let left = in_turn.filter(|(place, _)| !tried.contains(place));
        // Of equals the first: that is the one whose turn it is.
        left.min_by_key(|(_, member)| self.burden(member)).map(|(place, _)| place)
    }

    fn burden(&self, member: &Member) -> (bool, usize) {
        let standing = &member.pool.standing;
        let open = match self.balance {
            Balance::RoundRobin => 0,
            Balance::LeastConnections => standing.open(),
        };
        (standing.is_passed_over(), open)
    }
}

/// One try after the other, each at another container.
pub(super) struct Try<'a> {
    fleet: &'a Fleet,
    place: usize,
    tried: Vec<usize>,
    /// The visitor brought the member's mark.
    is_known: bool,
}

impl<'a> Try<'a> {
    pub(super) fn pool(&self) -> &'a Arc<Pool> {
        &self.member().pool
    }

    fn member(&self) -> &'a Member {
        &self.fleet.members[self.place]
    }

    /// Counts the request, where others are there to compare with.
    pub(super) fn occupy(&self) -> Option<Busy> {
        (!self.fleet.is_one()).then(|| self.pool().standing.occupy())
    }

    /// The container took no connection: the next one, if there is one.
    pub(super) fn refused(&mut self) -> bool {
        if self.fleet.is_one() {
            return false;
        }
        self.pool().standing.refused();
        self.tried.push(self.place);
        match self.fleet.next(&self.tried) {
            Some(next) => {
                (self.place, self.is_known) = (next, false);
                true
            }
            None => false,
        }
    }

    /// Asks the visitor to stay with the container that answered.
    pub(super) fn mark(&self, answer: &mut HeaderMap, is_secure: bool) {
        if !self.fleet.sticky || self.is_known {
            return;
        }
        let secure = if is_secure { "; Secure" } else { "" };
        let cookie = format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Lax{secure}", self.member().mark);
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            answer.append(SET_COOKIE, cookie);
        }
    }
}

fn mark(container: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(container));
    digest.truncate(MARK_DIGITS);
    digest
}
