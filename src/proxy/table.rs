//! The table in force: read by every request without a lock, replaced as a whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::fleet::Fleet;
use super::pool::{Dialer, Pool, PoolKey};
use super::tally::{self, Tally};
use super::visits::Visits;
use crate::domain::environment::Phase;
use crate::domain::names::EnvironmentId;
use crate::domain::path::PathPrefix;
use crate::domain::presence::Presence;
use crate::domain::route::{Answer, Page, Replica, Route, RouteTable, Upstream, primary_of};
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::traffic::Traffic;

/// Where a hostname leads.
pub(super) struct Entry {
    pub(super) route: Route,
    pub(super) target: Target,
    pub(super) visits: Arc<Visits>,
    pub(super) tally: Arc<Tally>,
    /// Taken off the paths of requests before the service sees them.
    pub(super) stripped: Option<PathPrefix>,
    /// Longest prefix first; mostly there are none.
    paths: Vec<(PathPrefix, Arc<Self>)>,
    /// When somebody last knocked here, in milliseconds of the steady clock. What falls asleep again is another entry.
    knocked: AtomicU64,
}

/// [`Answer`] with its connections.
pub(super) enum Target {
    Proxy(Arc<Fleet>),
    Replacing(Option<Arc<Fleet>>),
    Page(Page),
}

/// Milliseconds between two knocks at the same door.
const KNOCK_EVERY: u64 = 500;

impl Entry {
    /// A container of the host may be asked.
    fn is_served(&self) -> bool {
        self.target.fleet().is_some() || self.paths.iter().any(|(_, entry)| entry.target.fleet().is_some())
    }

    /// Whether somebody may knock: once in a while is enough for all who wait.
    pub(super) fn may_knock(&self, steady: Duration) -> bool {
        let now = u64::try_from(steady.as_millis()).unwrap_or(u64::MAX).max(1);
        let last = self.knocked.load(Ordering::Relaxed);
        let may = last == 0 || now >= last.saturating_add(KNOCK_EVERY);
        if may {
            self.knocked.store(now, Ordering::Relaxed);
        }
        may
    }

    /// What a path of the host leads to, where it is not this entry itself.
    fn below(&self, path: &str) -> Option<&Arc<Self>> {
        self.paths.iter().find(|(prefix, _)| prefix.has(path)).map(|(_, entry)| entry)
    }

    /// Itself, or where it serves the first of its paths that does not: a page of any of them watches the host.
    pub(super) fn behind(&self) -> &Self {
        let serves = |entry: &Self| matches!(entry.target, Target::Proxy(_));
        let late = || self.paths.iter().map(|(_, entry)| &**entry).find(|entry| !serves(entry));
        if serves(self) { late().unwrap_or(self) } else { self }
    }

    /// Not one that is ready and speaks no HTTP.
    fn is_for_browsers(&self) -> bool {
        !matches!(&self.target, Target::Page(page) if page.phase == Phase::Ready)
    }
}

/// Holds the table and makes the next one from it.
pub(super) struct Table {
    current: ArcSwap<Compiled>,
    dialer: Arc<Dialer>,
    clock: Arc<dyn Clock>,
    /// One publisher at a time; never taken by a request.
    publishing: Mutex<()>,
    changed: watch::Sender<()>,
    published: AtomicBool,
}

#[derive(Default)]
struct Compiled {
    hosts: HashMap<String, Arc<Entry>>,
    families: HashMap<String, Arc<Entry>>,
    visits: HashMap<EnvironmentId, Arc<Visits>>,
    /// With the names; those that are over have none here.
    tallies: HashMap<EnvironmentId, (String, Arc<Tally>)>,
    /// One pool for all hosts that lead to the same upstream.
    pools: HashMap<PoolKey, Arc<Pool>>,
}

impl Table {
    pub(super) fn new(dialer: Dialer, clock: Arc<dyn Clock>) -> Self {
        Self {
            current: ArcSwap::default(),
            dialer: Arc::new(dialer),
            clock,
            publishing: Mutex::default(),
            changed: watch::Sender::default(),
            published: AtomicBool::new(false),
        }
    }

    /// What the canonical host leads to, whatever the path.
    pub(super) fn find(&self, host: &str) -> Option<Arc<Entry>> {
        self.find_path(host, "")
    }

    /// What the path of the canonical host leads to.
    pub(super) fn find_path(&self, host: &str, path: &str) -> Option<Arc<Entry>> {
        let current = self.current.load();
        let family = || current.families.get(&primary_of(host)?);
        let entry = current.hosts.get(host).or_else(family)?;
        if entry.paths.is_empty() {
            return Some(entry.clone());
        }
        Some(entry.below(path).unwrap_or(entry).clone())
    }

    /// The environment's hosts that a browser may visit. Looks through the whole table.
    pub(super) fn hosts_of(&self, environment: EnvironmentId) -> Vec<String> {
        let current = self.current.load();
        let is_its = |entry: &Entry| entry.route.environment == environment && entry.is_for_browsers();
        let hosts = current.hosts.iter().filter(|(_, entry)| is_its(entry));
        hosts.map(|(host, _)| host.clone()).collect()
    }

    /// Whether there was a first table: until then nothing is known of any host.
    pub(super) fn is_published(&self) -> bool {
        self.published.load(Ordering::Acquire)
    }

    /// Every host of an environment that is not over, and that a browser may ask.
    pub(super) fn hosts(&self) -> BTreeSet<String> {
        let current = self.current.load();
        let lives = |entry: &Entry| entry.is_for_browsers() && !tally::is_over(&entry.route.answer);
        current.hosts.iter().filter(|(_, entry)| lives(entry)).map(|(host, _)| host.clone()).collect()
    }

    /// Sees each table that is published from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Puts the table in force. Entries that did not change stay the same ones, with their connections.
    pub(super) fn publish(&self, table: RouteTable) {
        let only_one = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current.load_full();
        let (dialer, clock) = (&self.dialer, &self.clock);
        let mut next = Next { before: &before, dialer, clock, compiled: Compiled::default() };
        for (host, route) in table.hosts {
            let entry = next.keep_or_make(before.hosts.get(&host), route);
            next.compiled.hosts.insert(host, entry);
        }
        for (primary, route) in table.families {
            let entry = next.keep_or_make(before.families.get(&primary), route);
            next.compiled.families.insert(primary, entry);
        }
        let next = Arc::new(next.compiled);
        self.current.store(next.clone());
        self.published.store(true, Ordering::Release);
        self.changed.send_replace(());
        for (_, pool) in before.pools.iter().filter(|(key, _)| !next.pools.contains_key(key)) {
            pool.retire();
        }
        drop(only_one);
    }

    /// The visits since they were last taken.
    pub(super) fn take_visits(&self) -> Vec<(EnvironmentId, Timestamp)> {
        let current = self.current.load();
        let entries = current.hosts.values().filter(|entry| entry.is_served());
        let served: HashSet<EnvironmentId> = entries.map(|entry| entry.route.environment).collect();
        current.visits.iter().filter_map(|(id, visits)| visits.take(served.contains(id))).collect()
    }

    /// Who is with the environment at this moment.
    pub(super) fn presence(&self, environment: EnvironmentId) -> Presence {
        self.current.load().visits.get(&environment).map(|visits| visits.presence()).unwrap_or_default()
    }

    /// What visitors asked for, by environment; of those that nobody came to, nothing.
    pub(super) fn traffic(&self) -> Vec<Traffic> {
        let current = self.current.load();
        let mut traffic: Vec<Traffic> =
            current.tallies.values().filter_map(|(name, tally)| tally.read(name)).collect();
        traffic.sort_by(|one, other| one.environment.cmp(&other.environment));
        traffic
    }

    /// Closes connections to containers that were idle for too long.
    pub(super) fn sweep(&self) {
        self.current.load().pools.values().for_each(|pool| pool.sweep());
    }

    /// Connections to containers end with the answers they carry.
    pub(super) fn drain(&self) {
        self.current.load().pools.values().for_each(|pool| pool.drain());
    }
}

/// A table in the making.
struct Next<'a> {
    before: &'a Compiled,
    dialer: &'a Arc<Dialer>,
    clock: &'a Arc<dyn Clock>,
    compiled: Compiled,
}

impl Next<'_> {
    fn keep_or_make(&mut self, former: Option<&Arc<Entry>>, route: Route) -> Arc<Entry> {
        let unchanged = former.filter(|entry| entry.route == route).cloned();
        match unchanged {
            Some(entry) => {
                let paths = entry.paths.iter().filter_map(|(_, entry)| entry.target.fleet());
                for pool in entry.target.fleet().into_iter().chain(paths).flat_map(|fleet| fleet.pools()) {
                    self.compiled.pools.insert(pool.key.clone(), pool.clone());
                }
                self.compiled.visits.insert(route.environment, entry.visits.clone());
                self.keep(&route, &entry.tally);
                entry
            }
            None => {
                let paths = self.paths(former, &route);
                Arc::new(Entry { paths, ..self.entry(route) })
            }
        }
    }

    fn paths(&mut self, former: Option<&Arc<Entry>>, route: &Route) -> Vec<(PathPrefix, Arc<Entry>)> {
        let made = route.paths.iter().map(|path| {
            let below = |entry: &&Arc<Entry>| entry.stripped.is_some() == path.strip;
            let same =
                |(prefix, entry): &(PathPrefix, Arc<Entry>)| (*prefix == path.prefix).then(|| entry.clone());
            let former = former.and_then(|entry| entry.paths.iter().find_map(same));
            let (entry, stripped) = (route.below(path), path.strip.then(|| path.prefix.clone()));
            let entry = match former.as_ref().filter(below).filter(|former| former.route == entry) {
                Some(former) => self.keep_or_make(Some(former), entry),
                None => Arc::new(Entry { stripped, ..self.entry(entry) }),
            };
            (path.prefix.clone(), entry)
        });
        made.collect()
    }

    fn entry(&mut self, route: Route) -> Entry {
        let target = match &route.answer {
            Answer::Proxy(upstream) => Target::Proxy(self.fleet(&route, upstream)),
            Answer::Replacing(upstream) => {
                Target::Replacing(upstream.as_ref().map(|upstream| self.fleet(&route, upstream)))
            }
            Answer::Page(page) => Target::Page(page.clone()),
        };
        let visits = self.visits(route.environment);
        let tally = self.tally(&route);
        let knocked = AtomicU64::new(0);
        Entry { route, target, visits, tally, stripped: None, paths: Vec::new(), knocked }
    }

    fn fleet(&mut self, route: &Route, upstream: &Upstream) -> Arc<Fleet> {
        let mut pools = vec![self.pool(route, upstream)];
        for Replica { address, container } in &upstream.others {
            let (address, container) = (*address, container.clone());
            let one = Upstream { address, container, others: Vec::new(), ..upstream.clone() };
            pools.push(self.pool(route, &one));
        }
        Arc::new(Fleet::new(upstream, pools))
    }

    /// To the upstream's first container.
    fn pool(&mut self, route: &Route, upstream: &Upstream) -> Arc<Pool> {
        let key = PoolKey::new(route, upstream);
        if let Some(pool) = self.compiled.pools.get(&key) {
            return pool.clone();
        }
        let made = || Arc::new(Pool::new(key.clone(), upstream.clone(), self.dialer.clone()));
        let pool = self.before.pools.get(&key).cloned().unwrap_or_else(made);
        self.compiled.pools.insert(key, pool.clone());
        pool
    }

    fn tally(&mut self, route: &Route) -> Arc<Tally> {
        let of =
            |compiled: &Compiled| compiled.tallies.get(&route.environment).map(|(_, tally)| tally.clone());
        let tally = of(&self.compiled).or_else(|| of(self.before)).unwrap_or_default();
        tally.shows(&route.answer);
        self.keep(route, &tally);
        tally
    }

    fn keep(&mut self, route: &Route, tally: &Arc<Tally>) {
        if !tally::is_over(&route.answer) {
            self.compiled.tallies.insert(route.environment, (route.name.clone(), tally.clone()));
        }
    }

    fn visits(&mut self, environment: EnvironmentId) -> Arc<Visits> {
        let before = self.before.visits.get(&environment);
        let made =
            || before.cloned().unwrap_or_else(|| Arc::new(Visits::new(environment, self.clock.clone())));
        self.compiled.visits.entry(environment).or_insert_with(made).clone()
    }
}

impl Target {
    fn fleet(&self) -> Option<&Arc<Fleet>> {
        match self {
            Self::Proxy(fleet) | Self::Replacing(Some(fleet)) => Some(fleet),
            Self::Replacing(None) | Self::Page(_) => None,
        }
    }
}
