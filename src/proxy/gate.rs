//! Decides how each request is answered: by a container, after a wait, or by a page.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::account::{Asked, Head};
use super::answer::{self, AnswerBody};
use super::connection::ConnectionInfo;
use super::door::{self, Caller, Door};
use super::forward::{NoAnswer, Outgoing, TunnelHouse};
use super::host;
use super::limits::Limits;
use super::pages::{self, Pages};
use super::pool::Pool;
use super::settings::Robots;
use super::table::{Entry, Table, Target};
use super::{headers, robots, tally, waker};
use crate::domain::environment::Phase;
use crate::domain::names::EnvironmentId;
use crate::domain::time::Timestamp;
use crate::ports::meters::Answers;
use crate::ports::{AccessLog, Clock};
use crate::supervisor::Supervisor;

/// Everything a request needs; shared by all connections.
pub(super) struct Gate {
    pub(super) table: Table,
    pub(super) pages: Pages,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) supervisor: Supervisor,
    pub(super) draining: CancellationToken,
    pub(super) limits: Limits,
    /// Who stands at the door of an environment that sleeps. One that is lost knocks again.
    pub(super) knocks: mpsc::Sender<EnvironmentId>,
    pub(super) answers: Answers,
    pub(super) door: Door,
    pub(super) robots: Robots,
    pub(super) access_log: Option<Arc<dyn AccessLog>>,
}

/// A request that found its environment.
struct Visitor<'a> {
    host: &'a str,
    /// Of the request: for the pages.
    accept: HeaderMap,
    version: Version,
    client: &'a Arc<ConnectionInfo>,
    /// Until when the request may be held, from its first moment on.
    deadline: Instant,
}

enum Next {
    Answer(Response<AnswerBody>),
    /// Ask again when the table has changed, or say that it is updating.
    Hold(Arc<Entry>, Outgoing),
    /// Ask at once: the table has changed already.
    LookAgain(Arc<Entry>, Outgoing),
}

impl Gate {
    /// Answers one request.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<ConnectionInfo>,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let open = client.begin();
        let is_head = request.method() == Method::HEAD;
        let (asked, mut found) = (Asked::new(&request, self.access_log.is_some()), None);
        let response = self.respond(request, &client, &mut found).await;
        let response =
            response.unwrap_or_else(|page| if is_head { answer::without_body(page) } else { page });
        self.answers.count(response.status().as_u16());
        let response = match found {
            Some(entry) => self.account(asked, entry, client, response),
            None => response,
        };
        Ok(response.map(|body| body.counted(open)))
    }

    /// The same answer, with its environment's account.
    fn account(
        &self,
        asked: Asked,
        entry: Arc<Entry>,
        client: Arc<ConnectionInfo>,
        mut response: Response<AnswerBody>,
    ) -> Response<AnswerBody> {
        let (asked_at, upload) = response.body_mut().take_asked().unzip();
        let head = Head { status: response.status().as_u16(), at: self.clock.now(), asked_at };
        let log = self.access_log.clone().filter(|_| !tally::is_over(&entry.route.answer));
        let account = asked.of(entry, head, upload.unwrap_or_default(), log.map(|log| (log, client)));
        response.map(|body| body.accounted(account))
    }

    /// A container's answer, or (as the error) one of the proxy's own; and the environment that was asked for.
    async fn respond(
        &self,
        mut request: Request<Incoming>,
        client: &Arc<ConnectionInfo>,
        asked_for: &mut Option<Arc<Entry>>,
    ) -> Result<Response<AnswerBody>, Response<AnswerBody>> {
        let version = request.version();
        let deadline = Instant::now() + self.limits.hold;
        if request.method() == Method::CONNECT {
            return Err(answer::refusal(version, "this is not a proxy for other hosts"));
        }
        let authority = host::authority(&request).map_err(|error| answer::refusal(version, error))?;
        let host = host::canonical(authority).map_err(|error| answer::refusal(version, error))?.into_owned();
        let Ok(value) = HeaderValue::from_str(authority) else {
            return Err(answer::refusal(version, host::HostError::Invalid));
        };
        if let Some(rules) = robots::answer(&request).filter(|_| self.robots == Robots::Deny) {
            return Err(rules);
        }
        if !self.table.is_published() && !self.first_table(deadline).await {
            return Err(self.pages.starting(request.headers()));
        }
        let Some(entry) = self.table.find(&host) else {
            return Err(self.pages.unknown(&host, request.headers()));
        };
        *asked_for = Some(entry.clone());
        let now = self.clock.now();
        if let Some(stopped) = self.stop(&entry, &mut request, (&value, &host, client, now)) {
            return Err(stopped);
        }
        if !door::is_for_challenges(request.uri()) {
            entry.visit.mark(now);
        }
        if let Target::Page(page) = &entry.target {
            let wakes = page.phase == Phase::Asleep && waker::wakes(&request);
            if wakes && self.knocks.try_send(entry.route.environment).is_err() {
                tracing::debug!(environment.name = %entry.route.name, "too many knock at once");
            }
            if !(wakes || page.phase == Phase::Waking) || pages::wants_html(request.headers()) {
                return Err(self.pages.phase(&entry.route, page, request.headers()));
            }
        }
        let accept = accept_of(request.headers());
        let outgoing = Outgoing::new(request, value, client);
        self.pass(&Visitor { host: &host, accept, version, client, deadline }, entry, outgoing).await
    }

    /// The answer to somebody who may not look, or who is sent on from a link.
    fn stop(
        &self,
        entry: &Entry,
        request: &mut Request<Incoming>,
        (authority, host, client, now): (&HeaderValue, &str, &ConnectionInfo, Timestamp),
    ) -> Option<Response<AnswerBody>> {
        let (proto, authority) = (headers::proto(client), authority.to_str().unwrap_or_default());
        let hosts = || self.table.hosts_of(entry.route.environment);
        let caller = Caller { proto, authority, host, hosts: &hosts, now };
        self.door.stop(&self.pages, &entry.route, request, &caller)
    }

    async fn pass(
        &self,
        visitor: &Visitor<'_>,
        entry: Arc<Entry>,
        outgoing: Outgoing,
    ) -> Result<Response<AnswerBody>, Response<AnswerBody>> {
        let (mut entry, mut outgoing) = (entry, outgoing);
        let mut looked_again = false;
        let mut waiting: Option<Waiting> = None;
        loop {
            match self.try_once(visitor, entry, outgoing, looked_again).await? {
                Next::Answer(response) => return Ok(response),
                Next::LookAgain(found, request) => {
                    looked_again = true;
                    (entry, outgoing) = (found, request);
                }
                Next::Hold(found, request) => {
                    (entry, outgoing) = (found, request);
                    match &mut waiting {
                        Some(waiting) => {
                            if !self.wait(waiting).await {
                                return Err(self.too_late(&entry, &visitor.accept));
                            }
                        }
                        // The table may have changed before anybody watched: look once more, then wait.
                        None => {
                            let (changes, deadline) = (self.table.changes(), visitor.deadline);
                            waiting = Some(Waiting { changes, deadline });
                        }
                    }
                    let Some(found) = self.table.find(visitor.host) else {
                        return Err(self.pages.unknown(visitor.host, &visitor.accept));
                    };
                    looked_again = false;
                    entry = found;
                }
            }
        }
    }

    async fn try_once(
        &self,
        visitor: &Visitor<'_>,
        entry: Arc<Entry>,
        outgoing: Outgoing,
        looked_again: bool,
    ) -> Result<Next, Response<AnswerBody>> {
        let pool = match &entry.target {
            Target::Page(page) if is_coming(page.phase) => return Ok(Next::Hold(entry, outgoing)),
            Target::Page(page) => return Err(self.pages.phase(&entry.route, page, &visitor.accept)),
            Target::Replacing(None) => return Ok(Next::Hold(entry, outgoing)),
            Target::Proxy(pool) | Target::Replacing(Some(pool)) => pool.clone(),
        };
        let failed = match self.send(visitor, &entry, &pool, outgoing).await {
            Ok(response) => return Ok(Next::Answer(response)),
            Err(failed) => failed,
        };
        tracing::debug!(environment.name = %entry.route.name, service = %entry.route.service, error = %failed.why, "no answer from a container");
        if failed.is_clients_fault {
            return Err(answer::refusal(visitor.version, "its body is malformed or was cut"));
        }
        let Some(outgoing) = failed.outgoing else {
            return Err(self.pages.unreachable(&entry.route, &visitor.accept));
        };
        if matches!(entry.target, Target::Replacing(_)) {
            return Ok(Next::Hold(entry, outgoing));
        }
        match self.table.find(visitor.host) {
            Some(found) if !looked_again && !Arc::ptr_eq(&found, &entry) => {
                Ok(Next::LookAgain(found, outgoing))
            }
            Some(_) | None => Err(self.pages.unreachable(&entry.route, &visitor.accept)),
        }
    }

    async fn send(
        &self,
        visitor: &Visitor<'_>,
        entry: &Entry,
        pool: &Arc<Pool>,
        outgoing: Outgoing,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let house = TunnelHouse {
            client: visitor.client,
            visit: &entry.visit,
            tally: &entry.tally,
            clock: &self.clock,
            supervisor: &self.supervisor,
            grace: self.limits.tunnel_grace,
        };
        // Only where the request is held after a failure: else the connection's own limit is enough.
        let connect_by = matches!(entry.target, Target::Replacing(_)).then_some(visitor.deadline);
        outgoing.send(pool, connect_by, &house).await
    }

    fn too_late(&self, entry: &Entry, accept: &HeaderMap) -> Response<AnswerBody> {
        match &entry.target {
            Target::Page(page) => self.pages.phase(&entry.route, page, accept),
            Target::Proxy(_) | Target::Replacing(_) => self.pages.updating(&entry.route, accept),
        }
    }

    /// Waits for the daemon's first table; returns whether it is there.
    async fn first_table(&self, deadline: Instant) -> bool {
        let mut waiting = Waiting { changes: self.table.changes(), deadline };
        while !self.table.is_published() {
            if !self.wait(&mut waiting).await {
                return false;
            }
        }
        true
    }

    /// Returns whether there is something new to look at.
    async fn wait(&self, waiting: &mut Waiting) -> bool {
        tokio::select! {
            changed = waiting.changes.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(waiting.deadline) => false,
            () = self.draining.cancelled() => false,
        }
    }
}

struct Waiting {
    changes: watch::Receiver<()>,
    deadline: Instant,
}

/// Will be there soon: whoever does not read pages is held.
fn is_coming(phase: Phase) -> bool {
    matches!(phase, Phase::Asleep | Phase::Waking)
}

fn accept_of(headers: &HeaderMap) -> HeaderMap {
    let mut accept = HeaderMap::new();
    if let Some(value) = headers.get(http::header::ACCEPT) {
        accept.insert(http::header::ACCEPT, value.clone());
    }
    accept
}
