//! What is known of each remote: whether it answers, when it is asked next, what was told of it. In memory only: a start
//! asks anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::domain::names::{CommitSha, RepoName};
use crate::domain::poll::{self, News};
use crate::domain::time::Timestamp;
use crate::ports::PortError;

use super::chance::chance;

/// Remotes that are asked at once; each costs a process.
const AT_ONCE: usize = 4;

/// How the remote of a repository answered last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RemoteState {
    /// When it was last asked for its branches, by the poller or for an event.
    pub last_polled_at: Option<Timestamp>,
    /// Why that told nothing.
    pub poll_error: Option<String>,
}

/// The remotes of all repositories.
pub struct Remotes {
    known: Mutex<BTreeMap<RepoName, Known>>,
    /// Counts answers of remotes that had been away.
    returns: watch::Sender<u64>,
    /// Hosts and paths that are being asked.
    busy: Mutex<BTreeSet<String>>,
    nudge: Notify,
    pub(super) places: Semaphore,
}

#[derive(Default)]
struct Known {
    url: String,
    state: RemoteState,
    is_away: bool,
    failures: u32,
    next: Option<Instant>,
    judged_main: Option<CommitSha>,
    told: Vec<News>,
    times_told: u32,
    silent_until: Option<Instant>,
}

impl Default for Remotes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            returns: watch::Sender::new(0),
            busy: Mutex::default(),
            nudge: Notify::new(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl Remotes {
    /// Why the repository's remote does not answer now; `None` when it does, or nobody has asked it yet.
    pub fn is_away(&self, repo: &RepoName) -> Option<String> {
        let known = self.known();
        known.get(repo).filter(|known| known.is_away).and_then(|known| known.state.poll_error.clone())
    }

    /// Returns as soon as the repository's remote is not known to be away. The poller asks those that are, with growing
    /// pauses, also where polling is switched off.
    pub async fn answers(&self, repo: &RepoName) {
        let mut returns = self.returns.subscribe();
        while self.is_away(repo).is_some() {
            // The sender is our own: it is there as long as we are.
            returns.changed().await.ok();
        }
    }

    /// How it answered last, for people.
    pub fn state(&self, repo: &RepoName) -> RemoteState {
        self.known().get(repo).map(|known| known.state.clone()).unwrap_or_default()
    }

    /// It was asked for its branches: what it said, and when. Whether it is back after it had been away.
    pub(super) fn answered(
        &self,
        repo: &RepoName,
        said: Result<(), &PortError>,
        every: Duration,
        at: Timestamp,
    ) -> bool {
        let mut all = self.known();
        let known = all.entry(repo.clone()).or_default();
        let was_away = known.is_away;
        known.is_away = said.is_err_and(PortError::is_transient);
        known.failures = if said.is_ok() { 0 } else { known.failures.saturating_add(1) };
        known.state =
            RemoteState { last_polled_at: Some(at), poll_error: said.err().map(ToString::to_string) };
        known.next = poll::next_in(every, known.failures, chance()).map(|pause| Instant::now() + pause);
        let is_back = was_away && !known.is_away;
        drop(all);
        if is_back {
            self.returns.send_modify(|returns| *returns += 1);
        }
        self.nudge.notify_one();
        is_back
    }

    /// It answers, but what it said is of no use.
    pub(super) fn complain(&self, repo: &RepoName, reason: String) {
        self.known().entry(repo.clone()).or_default().state.poll_error = Some(reason);
    }

    /// Where main was when the branches were last compared with it.
    pub(super) fn judged_main(&self, repo: &RepoName) -> Option<CommitSha> {
        self.known().get(repo)?.judged_main.clone()
    }

    pub(super) fn set_judged_main(&self, repo: &RepoName, main: &CommitSha) {
        self.known().entry(repo.clone()).or_default().judged_main = Some(main.clone());
    }

    /// Whether the news are to be told now: the same ones, which changed nothing, are told ever more rarely.
    pub(super) fn is_worth_telling(&self, repo: &RepoName, news: Vec<News>, every: Duration) -> bool {
        let mut all = self.known();
        let known = all.entry(repo.clone()).or_default();
        let now = Instant::now();
        if known.told != news {
            known.told = news;
            known.times_told = 0;
        } else if known.silent_until.is_some_and(|until| now < until) {
            return false;
        }
        known.times_told = known.times_told.saturating_add(1);
        known.silent_until = Some(now + poll::silence(every, known.times_told));
        !known.told.is_empty()
    }

    /// Takes what is due of these repositories (name, URL, how often), by place; each place is taken until its
    /// [`Occupied`] goes. A repository that was not seen before is due within its time.
    pub(super) fn due<'a>(
        &self,
        repositories: impl Iterator<Item = (&'a RepoName, &'a str, Duration)>,
    ) -> BTreeMap<String, Vec<RepoName>> {
        let (mut all, mut busy) = (self.known(), self.busy());
        let now = Instant::now();
        let mut present = BTreeSet::new();
        let mut due = BTreeMap::<String, Vec<RepoName>>::new();
        for (repo, url, every) in repositories {
            present.insert(repo.clone());
            let known = all.entry(repo.clone()).or_default();
            known.meet(url, now);
            if known.next.is_none() && (known.state.last_polled_at.is_none() || !every.is_zero()) {
                known.next = (!every.is_zero()).then(|| now + every.mul_f64(chance()));
            }
            // Switched off, or made shorter, since the time was set.
            let latest = poll::next_in(every, known.failures, 1.0).map(|pause| now + pause);
            known.next = known.next.and_then(|next| latest.map(|latest| next.min(latest)));
            let place = poll::place(url);
            if known.next.is_some_and(|next| next <= now) && !busy.contains(place) {
                due.entry(place.to_owned()).or_default().push(repo.clone());
            }
        }
        all.retain(|repo, _| present.contains(repo));
        busy.extend(due.keys().cloned());
        due
    }

    /// How long until the next one is due, at most `limit`.
    pub(super) fn pause(&self, limit: Duration) -> Duration {
        let (all, now) = (self.known(), Instant::now());
        // What is due already waits for its place, and is called when that is free.
        let next = all.values().filter_map(|known| known.next).filter(|next| *next > now).min();
        next.map_or(limit, |next| next.saturating_duration_since(now).min(limit))
    }

    /// The place is free again when this goes.
    pub(super) fn occupied(&self, place: String) -> Occupied<'_> {
        Occupied { remotes: self, place }
    }

    /// Returns when something changed.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<RepoName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// One that was away and has another address, or another login, now is asked at once.
    fn meet(&mut self, url: &str, now: Instant) {
        if self.url == url {
            return;
        }
        let had_another = !self.url.is_empty();
        url.clone_into(&mut self.url);
        if had_another && self.is_away {
            self.next = Some(now);
        }
    }
}

/// A place that is being asked.
pub(super) struct Occupied<'a> {
    remotes: &'a Remotes,
    place: String,
}

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        self.remotes.busy().remove(&self.place);
        self.remotes.nudge.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(300);

    fn repo(name: &str) -> RepoName {
        RepoName::parse(name).unwrap()
    }

    fn away() -> PortError {
        PortError::Transient("no route to host".to_owned())
    }

    fn due(remotes: &Remotes, every: Duration) -> Vec<String> {
        let (shop, blog, other) = (repo("shop"), repo("blog"), repo("other"));
        let (one, two) = ("https://git.example/shop.git", "https://git.example/blog.git");
        let all = [(&shop, one, every), (&blog, two, every), (&other, "/srv/x", every)];
        let due: Vec<String> = remotes.due(all.into_iter()).into_keys().collect();
        due.iter().for_each(|place| drop(remotes.occupied(place.clone())));
        due
    }

    #[tokio::test]
    async fn each_is_due_within_its_time_and_a_busy_place_waits() {
        let remotes = Remotes::default();
        assert_eq!(due(&remotes, EVERY), [] as [String; 0]);
        assert!(remotes.pause(EVERY * 2) <= EVERY);
        tokio::time::sleep(EVERY).await;
        let busy = remotes.occupied("git.example".to_owned());
        remotes.busy().insert("git.example".to_owned());
        assert_eq!(due(&remotes, EVERY), ["/srv/x"]);
        drop(busy);
        assert_eq!(due(&remotes, EVERY), ["/srv/x", "git.example"]);
        remotes.answered(&repo("other"), Ok(()), EVERY, Timestamp::from_millis(1));
        assert_eq!(due(&remotes, EVERY), ["git.example"]);
        assert_eq!(due(&remotes, Duration::ZERO), [] as [String; 0], "switched off");
    }

    #[tokio::test]
    async fn who_is_away_is_asked_again_also_where_polling_is_off_and_whoever_waits_is_told() {
        let remotes = Remotes::default();
        let (at, other) = (Timestamp::from_millis(1), repo("other"));
        assert!(!remotes.answered(&other, Err(&away()), Duration::ZERO, at));
        assert_eq!(remotes.is_away(&other).as_deref(), Some("no route to host"));
        assert_eq!(due(&remotes, Duration::ZERO), [] as [String; 0]);
        // With another address, or login, at once.
        let moved = [(&other, "/srv/y", Duration::ZERO)];
        assert_eq!(remotes.due(moved.into_iter()).into_keys().collect::<Vec<_>>(), ["/srv/y"]);
        remotes.answered(&other, Err(&away()), Duration::ZERO, at);
        let pause = remotes.pause(Duration::from_secs(3600));
        assert!((7..12).contains(&pause.as_secs()), "{pause:?}");
        let (is_back, ()) = tokio::join!(
            async { remotes.answered(&other, Ok(()), Duration::ZERO, at) },
            remotes.answers(&other)
        );
        assert!(is_back);
        assert_eq!(remotes.state(&other), RemoteState { last_polled_at: Some(at), poll_error: None });
        let limit = Duration::from_secs(3600);
        assert_eq!(remotes.pause(limit), limit, "nobody asks it by itself");
    }

    #[tokio::test]
    async fn what_will_not_pass_is_told_and_nobody_waits_for_it() {
        let remotes = Remotes::default();
        let refused = PortError::Permanent("too many branches".to_owned());
        remotes.answered(&repo("shop"), Err(&refused), EVERY, Timestamp::from_millis(1));
        assert_eq!(remotes.is_away(&repo("shop")), None);
        assert_eq!(remotes.state(&repo("shop")).poll_error.as_deref(), Some("too many branches"));
    }

    #[tokio::test]
    async fn the_same_news_are_told_ever_more_rarely() {
        let remotes = Remotes::default();
        let main = |digit: &str| News::Main { tip: CommitSha::parse(&digit.repeat(40)).unwrap() };
        let told = |news| remotes.is_worth_telling(&repo("shop"), news, EVERY);
        assert!(!told(vec![]) && told(vec![main("a")]) && !told(vec![main("a")]));
        assert!(told(vec![main("b")]), "other news");
        tokio::time::sleep(EVERY).await;
        assert!(told(vec![main("b")]));
        tokio::time::sleep(EVERY).await;
        assert!(!told(vec![main("b")]));
        assert!(!told(vec![]) && told(vec![main("b")]), "it was settled in between");
    }
}
