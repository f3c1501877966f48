//! Decides how each request is answered: by a container, after a wait, or by a page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::account::{Asked, Head};
use super::answer::{self, AnswerBody};
use super::connection::ConnectionInfo;
use super::cut::Cut;
use super::door::{Caller, Door};
use super::events;
use super::fleet::Fleet;
use super::forward::{NoAnswer, Outgoing, TunnelHouse, Unreachable};
use super::host;
use super::in_force::InForce;
use super::pages::{self, Pages, Reader};
use super::settings::Robots;
use super::table::{Entry, Table, Target};
use super::waiting::{Waiting, WaitingRoom};
use super::{headers, robots, tally, waker};
use crate::domain::names::EnvironmentId;
use crate::domain::time::Timestamp;
use crate::ports::meters::Answers;
use crate::ports::{AccessLog, Clock};
use crate::supervisor::Supervisor;

/// Everything a request needs; shared by all connections.
pub(super) struct Gate {
    pub(super) table: Table,
    pub(super) pages: Pages,
    pub(super) waiting: WaitingRoom,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) supervisor: Supervisor,
    pub(super) draining: CancellationToken,
    /// The same, as far as they may change.
    pub(super) bounds: Arc<InForce>,
    /// Who stands at the door of an environment that sleeps. One that is not heard knocks again.
    pub(super) knocks: mpsc::Sender<EnvironmentId>,
    pub(super) answers: Answers,
    pub(super) door: Door,
    pub(super) robots: Robots,
    pub(super) access_log: Option<Arc<dyn AccessLog>>,
}

/// A request that found its environment.
struct Visitor<'a> {
    host: &'a str,
    reader: Reader,
    version: Version,
    client: &'a Arc<ConnectionInfo>,
    /// Until when the request may be held, from its first moment on.
    deadline: Instant,
}

#[expect(clippy::large_enum_variant, reason = "nearly always it is the large one")]
enum Next {
    Answer(Response<AnswerBody>),
    /// Ask again when the table has changed, or say that it is updating.
    Hold(Arc<Entry>, Box<Outgoing>),
    /// Ask at once: the table has changed already.
    LookAgain(Arc<Entry>, Box<Outgoing>),
    /// Ask the same container after a pause.
    TryAgain(Arc<Entry>, Box<Outgoing>),
}

/// What became of a request so far.
#[derive(Default)]
struct Tries {
    looks: u32,
    was_held: bool,
    failures: u32,
}

/// Looks for where a host leads now, while nothing was sent yet.
const MOST_LOOKS: u32 = 16;
/// Longer with each failure.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Failures of one request that was held, after which it is told.
const MOST_FAILURES: u32 = 5;

impl Gate {
    /// Answers one request.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<ConnectionInfo>,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let open = client.begin();
        let is_head = request.method() == Method::HEAD;
        let (asked, mut found) = (Asked::new(&request, &client, self.access_log.is_some()), None);
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
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        client: &Arc<ConnectionInfo>,
        asked_for: &mut Option<Arc<Entry>>,
    ) -> Result<Response<AnswerBody>, Response<AnswerBody>> {
        let version = request.version();
        if request.method() == Method::CONNECT {
            return Err(answer::refusal(version, "this is not a proxy for other hosts"));
        }
        let refusal = |error| answer::refusal(version, error);
        let authority = host::authority(&request).map_err(refusal)?;
        let host = host::canonical_of(&authority).map_err(refusal)?;
        if let Some(rules) = robots::answer(&request).filter(|_| self.robots == Robots::Deny) {
            return Err(rules);
        }
        let reader = Reader::of(request.headers());
        let navigates = pages::navigates(&request, reader);
        let deadline = self.waiting.deadline(navigates);
        if !self.table.is_published() && !self.first_table(deadline).await {
            return Err(self.pages.starting(reader));
        }
        let Some(entry) = self.table.find_path(&host, request.uri().path()) else {
            return Err(self.pages.unknown(&host, reader));
        };
        *asked_for = Some(entry.clone());
        let now = self.clock.now();
        if let Some(stopped) = self.stop(&entry, &mut request, (&authority, &host, reader, client, now)) {
            return Err(stopped);
        }
        let is_visit = waker::is_visit(&request);
        let visit = is_visit.then(|| entry.visits.begin());
        if let Target::Page(page) = &entry.target {
            if is_visit {
                self.knock(&entry);
            }
            if events::is_asked(&request) {
                return self.events(&entry, host.into_owned(), reader);
            }
            if navigates || !is_visit || !page.is_coming() {
                return Err(self.pages.phase(&entry.route, page, reader));
            }
        } else if events::is_asked(&request) {
            return self.events(&entry, host.into_owned(), reader);
        }
        let outgoing = Outgoing::new(request, authority.clone(), client);
        let visitor = Visitor { host: &host, reader, version, client, deadline };
        let answer = self.pass(&visitor, entry, outgoing).await?;
        Ok(answer.map(|body| body.visited(visit)))
    }

    /// Somebody stands at its door: it is woken where it sleeps.
    fn knock(&self, entry: &Entry) {
        let sleeps = matches!(&entry.target, Target::Page(page) if page.wakes());
        if sleeps
            && entry.may_knock(self.clock.steady())
            && self.knocks.try_send(entry.route.environment).is_err()
        {
            tracing::debug!(environment.name = %entry.route.name, "too many knock at once");
        }
    }

    /// Where the host leads to, told as it changes.
    fn events(
        self: &Arc<Self>,
        entry: &Entry,
        host: String,
        reader: Reader,
    ) -> Result<Response<AnswerBody>, Response<AnswerBody>> {
        let place =
            self.waiting.listen(&entry.visits).ok_or_else(|| self.pages.crowded(&entry.route, reader))?;
        let (gate, changes) = (self.clone(), self.table.changes());
        let look = move || {
            let found = gate.table.find(&host);
            if let Some(entry) = &found {
                gate.knock(entry);
            }
            events::mark_of(found.as_deref().map(Entry::behind))
        };
        Ok(events::answer(look, changes, self.draining.clone(), place))
    }

    /// The answer to somebody who may not look, or who is sent on from a link.
    fn stop(
        &self,
        entry: &Entry,
        request: &mut Request<Incoming>,
        (authority, host, reader, client, now): (&HeaderValue, &str, Reader, &ConnectionInfo, Timestamp),
    ) -> Option<Response<AnswerBody>> {
        let proto = headers::proto_before(client, request.headers());
        let authority = authority.to_str().unwrap_or_default();
        let hosts = || self.table.hosts_of(entry.route.environment);
        let caller = Caller { proto, authority, host, reader, hosts: &hosts, now };
        self.door.stop(&self.pages, &entry.route, request, &caller)
    }

    async fn pass(
        &self,
        visitor: &Visitor<'_>,
        entry: Arc<Entry>,
        outgoing: Box<Outgoing>,
    ) -> Result<Response<AnswerBody>, Response<AnswerBody>> {
        let (mut entry, mut outgoing) = (entry, outgoing);
        let mut waiting: Option<Waiting> = None;
        let mut tries = Tries::default();
        loop {
            tries.was_held = waiting.is_some();
            match self.try_once(visitor, entry, outgoing, &tries).await? {
                Next::Answer(response) => return Ok(response),
                Next::LookAgain(found, request) => {
                    tries.looks += 1;
                    (entry, outgoing) = (found, request);
                }
                Next::TryAgain(found, request) => {
                    tries.failures += 1;
                    (entry, outgoing) = (found, request);
                    tokio::time::sleep(TRY_AGAIN_AFTER * tries.failures).await;
                }
                Next::Hold(found, request) => {
                    (entry, outgoing) = (found, request);
                    self.knock(&entry);
                    match &mut waiting {
                        Some(waiting) => {
                            if !waiting.next(&self.draining).await {
                                return Err(self.too_late(&entry, visitor.reader));
                            }
                        }
                        // The table may have changed before anybody watched: look once more, then wait.
                        None => waiting = Some(self.begin_to_wait(&entry, visitor)?),
                    }
                    let Some(found) = self.table.find_path(visitor.host, outgoing.path()) else {
                        return Err(self.pages.unknown(visitor.host, visitor.reader));
                    };
                    tries.looks = 0;
                    entry = found;
                }
            }
        }
    }

    fn begin_to_wait(&self, entry: &Entry, visitor: &Visitor<'_>) -> Result<Waiting, Response<AnswerBody>> {
        let place = self.waiting.enter(&entry.visits);
        let place = place.ok_or_else(|| self.pages.crowded(&entry.route, visitor.reader))?;
        Ok(Waiting::new(self.table.changes(), visitor.deadline, Some(place)))
    }

    async fn try_once(
        &self,
        visitor: &Visitor<'_>,
        entry: Arc<Entry>,
        outgoing: Box<Outgoing>,
        tries: &Tries,
    ) -> Result<Next, Response<AnswerBody>> {
        let fleet = match &entry.target {
            Target::Page(page) if page.is_coming() => return Ok(Next::Hold(entry, outgoing)),
            Target::Page(page) => return Err(self.pages.phase(&entry.route, page, visitor.reader)),
            Target::Replacing(None) => return Ok(Next::Hold(entry, outgoing)),
            Target::Proxy(fleet) | Target::Replacing(Some(fleet)) => fleet.clone(),
        };
        let cut = entry.visits.open();
        let sending = self.send(visitor, &entry, &fleet, (outgoing, cut));
        let sent = if tries.was_held {
            Box::pin(entry.visits.in_turn(visitor.deadline, sending)).await
        } else {
            sending.await
        };
        let failed = match sent {
            Ok(response) => return Ok(Next::Answer(response)),
            Err(failed) => failed,
        };
        tracing::debug!(environment.name = %entry.route.name, service = %entry.route.service, error = %failed.why, "no answer from a container");
        let failed_page = |page: Response<AnswerBody>| page.map(|body| body.asked(failed.since.clone()));
        if failed.is_clients_fault {
            let refusal = answer::refusal(visitor.version, "its body is malformed or was cut");
            return Err(failed_page(refusal));
        }
        let unreachable = || failed_page(self.pages.unreachable(&entry.route, &failed.why, visitor.reader));
        // What was sent is not sent again to a container that only refused others.
        let refused = matches!(failed.why, Unreachable::Connect(_));
        let looks = if refused { MOST_LOOKS } else { 1 };
        let Some(outgoing) = failed.outgoing else {
            return Err(unreachable());
        };
        if matches!(entry.target, Target::Replacing(_)) {
            return Ok(Next::Hold(entry, outgoing));
        }
        match self.table.find_path(visitor.host, outgoing.path()) {
            Some(found) if tries.looks < looks && !Arc::ptr_eq(&found, &entry) => {
                Ok(Next::LookAgain(found, outgoing))
            }
            // It has only just come up, and many are let in at once.
            Some(found) if tries.was_held && refused && tries.failures < MOST_FAILURES => {
                Ok(Next::TryAgain(found, outgoing))
            }
            Some(_) | None => Err(unreachable()),
        }
    }

    async fn send(
        &self,
        visitor: &Visitor<'_>,
        entry: &Entry,
        fleet: &Fleet,
        (outgoing, cut): (Box<Outgoing>, Cut),
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let limits = self.bounds.limits();
        let house = TunnelHouse {
            client: visitor.client,
            visits: &entry.visits,
            tally: &entry.tally,
            supervisor: &self.supervisor,
            grace: limits.tunnel_grace,
            timeout: limits.upstream,
        };
        let outgoing = outgoing.below(entry.stripped.as_ref());
        // Only where the request is held after a failure: else the connection's own limit is enough.
        let connect_by = matches!(entry.target, Target::Replacing(_)).then_some(visitor.deadline);
        let answer = tokio::select! {
            biased;
            answer = outgoing.send(fleet, connect_by, &house) => answer?,
            () = cut.over() => return Err(NoAnswer::laid_down()),
        };
        Ok(answer.map(|body| body.until(cut)))
    }

    fn too_late(&self, entry: &Entry, reader: Reader) -> Response<AnswerBody> {
        match &entry.target {
            Target::Page(page) => self.pages.phase(&entry.route, page, reader),
            Target::Proxy(_) | Target::Replacing(_) => self.pages.updating(&entry.route, reader),
        }
    }

    /// Waits for the daemon's first table; returns whether it is there.
    async fn first_table(&self, deadline: Instant) -> bool {
        let mut waiting = Waiting::new(self.table.changes(), deadline, None);
        while !self.table.is_published() {
            if !waiting.next(&self.draining).await {
                return false;
            }
        }
        true
    }
}
