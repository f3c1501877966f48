//! What is counted and measured: one line wherever it happens, every name in one place.
//!
//! Without a recorder (commands, most tests) each of these does nothing. No label ever holds what a stranger can choose:
//! branch names and paths make numbers of series without end. What is told of single branches is in [`super::traffic`].

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

use super::{PortError, PortResult};
use crate::domain::time::Timestamp;

/// Buckets of what takes from milliseconds to minutes, in seconds.
pub const LONG_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0];
/// Buckets of what should be done at once, in seconds.
pub const SHORT_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// The histogram that has [`SHORT_BUCKETS`].
pub const HOOK_DURATION: &str = "drey_hook_duration_seconds";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every name with what it tells. docs/operations.md has the same list; a test compares the two.
const DESCRIBED: &[(&str, Kind, &str)] = &[
    ("drey_build_info", Kind::Gauge, "Always 1; the version is in the label."),
    ("drey_events_received_total", Kind::Counter, "Events that were stored, by kind and source."),
    ("drey_events_settled_total", Kind::Counter, "Events that came to their end, by kind and state."),
    ("drey_events_pending", Kind::Gauge, "Events that are not settled."),
    (
        "drey_event_oldest_pending_seconds",
        Kind::Gauge,
        "Age of the oldest event that is not settled; 0 without one.",
    ),
    ("drey_environments", Kind::Gauge, "Environments by phase; ended ones are not counted."),
    ("drey_environments_with_work", Kind::Gauge, "Environments whose newest intent is not reached yet."),
    (
        "drey_work_oldest_seconds",
        Kind::Gauge,
        "Time since the last change of the environment with work that changed longest ago; 0 without one.",
    ),
    ("drey_firewall_up", Kind::Gauge, "1 while the walls around environments stand as they should."),
    ("drey_deployments_running", Kind::Gauge, "Runs of a plan that have begun and not ended."),
    (
        "drey_deployments_total",
        Kind::Counter,
        "Runs of a plan that ended, by repository, intent and outcome.",
    ),
    (
        "drey_deployment_duration_seconds",
        Kind::Histogram,
        "Runs of a plan from begin to end, by intent and outcome.",
    ),
    (
        "drey_audit_breaches_total",
        Kind::Counter,
        "Borders that a container did not have after `up`, by rule.",
    ),
    (
        "drey_step_duration_seconds",
        Kind::Histogram,
        "Steps of plans, those that failed too, by plan and step.",
    ),
    ("drey_reconcile_duration_seconds", Kind::Histogram, "Comparing all environments with the engine, once."),
    (
        "drey_engine_errors_total",
        Kind::Counter,
        "Failed calls of the engine, by operation and kind of error.",
    ),
    ("drey_git_errors_total", Kind::Counter, "Failed questions to git, by operation and kind of error."),
    ("drey_hook_requests_total", Kind::Counter, "Answers to hooks, by HTTP status."),
    ("drey_hook_refused_total", Kind::Counter, "Deliveries that were not taken, by reason."),
    (HOOK_DURATION, Kind::Histogram, "Time to answer a hook."),
    ("drey_proxy_requests_total", Kind::Counter, "Answers of the embedded proxy, by class of HTTP status."),
    ("drey_access_log_lost_total", Kind::Counter, "Requests that are missing in the access logs."),
    ("drey_acme_orders_total", Kind::Counter, "Orders of certificates, by outcome: issued or failed."),
    (
        "drey_certificate_expires_timestamp_seconds",
        Kind::Gauge,
        "When the first of the proxy's certificates expires, in seconds since the Unix epoch.",
    ),
    (
        "drey_provider_changes_total",
        Kind::Counter,
        "Tries to bring routes into force at a proxy in front, by outcome.",
    ),
    ("drey_provider_up", Kind::Gauge, "1 while the proxy in front has the newest routes."),
    (
        "drey_provider_applied_timestamp_seconds",
        Kind::Gauge,
        "When the proxy in front took up the configuration that serves, in seconds since the Unix epoch.",
    ),
    ("drey_provider_quarantined", Kind::Gauge, "Environments whose routes the proxy in front refuses."),
    (
        "drey_provider_apply_seconds",
        Kind::Histogram,
        "From the first change until the proxy in front serves by it.",
    ),
    ("drey_reports_total", Kind::Counter, "Tries to tell a forge something, by kind and outcome."),
    ("drey_archives", Kind::Gauge, "Archives that are kept."),
    ("drey_archives_bytes", Kind::Gauge, "Bytes of all archives that are kept."),
    ("drey_reloads_total", Kind::Counter, "Reloads of the configuration, by outcome: applied or refused."),
    ("drey_task_panics_total", Kind::Counter, "Background tasks that panicked."),
    ("drey_disk_total_bytes", Kind::Gauge, "Size of the file system of the data directory."),
    ("drey_disk_free_bytes", Kind::Gauge, "Bytes of it that are free for drey."),
    ("process_resident_memory_bytes", Kind::Gauge, "Resident memory of the daemon."),
    ("process_open_fds", Kind::Gauge, "Open file descriptors of the daemon."),
    ("process_max_fds", Kind::Gauge, "Most file descriptors that it may have open."),
    ("process_cpu_seconds_total", Kind::Counter, "Processor time of the daemon, without its children."),
    ("process_start_time_seconds", Kind::Gauge, "When the daemon started, in seconds since the Unix epoch."),
];

/// Tells the recorder what each name means.
pub fn describe() {
    for (name, kind, text) in DESCRIBED.iter().copied() {
        match kind {
            Kind::Counter => describe_counter!(name, text),
            Kind::Gauge => describe_gauge!(name, text),
            Kind::Histogram => describe_histogram!(name, text),
        }
    }
}

/// An event is durable.
pub fn event_received(kind: &'static str, source: &'static str) {
    counter!("drey_events_received_total", "kind" => kind, "source" => source).increment(1);
}

/// An event is settled.
pub fn event_settled(kind: &'static str, state: &'static str) {
    counter!("drey_events_settled_total", "kind" => kind, "state" => state).increment(1);
}

/// A run of a plan came to its end. `intent` is `run` or the word of another one.
pub fn deployment_ended(repo: &str, intent: &'static str, outcome: &'static str, took: Duration) {
    let repo = repo.to_owned();
    counter!("drey_deployments_total", "repo" => repo, "intent" => intent, "outcome" => outcome).increment(1);
    histogram!("drey_deployment_duration_seconds", "intent" => intent, "outcome" => outcome).record(took);
}

/// A container was found without a border that it must have.
pub fn breach(rule: &'static str) {
    counter!("drey_audit_breaches_total", "rule" => rule).increment(1);
}

/// Measures a step until what is returned is dropped: also one that fails, and one that is cut.
pub fn step(plan: &'static str, step: &'static str) -> Measured {
    Measured::new(histogram!("drey_step_duration_seconds", "plan" => plan, "step" => step))
}

/// Measures one comparison of everything with the engine until what is returned is dropped.
pub fn reconcile() -> Measured {
    Measured::new(histogram!("drey_reconcile_duration_seconds"))
}

/// A hook got its answer.
pub fn hook_answered(status: u16, took: Duration) {
    counter!("drey_hook_requests_total", "status" => status.to_string()).increment(1);
    histogram!(HOOK_DURATION).record(took);
}

/// A delivery was not taken.
pub fn hook_refused(reason: &'static str) {
    counter!("drey_hook_refused_total", "reason" => reason).increment(1);
}

/// A try to bring routes into force ended.
pub fn provider_taken(outcome: &'static str) {
    counter!("drey_provider_changes_total", "outcome" => outcome).increment(1);
}

/// New routes are in force, so long after the first change.
#[expect(clippy::cast_precision_loss, reason = "Prometheus knows floating point numbers only")]
pub fn provider_applied(took: Duration, at: Timestamp) {
    histogram!("drey_provider_apply_seconds").record(took);
    set("drey_provider_applied_timestamp_seconds", (at.as_millis() / 1000) as f64);
}

/// Whether the newest routes are in force, but for those that the proxy refuses.
#[expect(clippy::cast_precision_loss, reason = "Prometheus knows floating point numbers only")]
pub fn provider_stands(is_up: bool, quarantined: usize) {
    set("drey_provider_up", f64::from(u8::from(is_up)));
    set("drey_provider_quarantined", quarantined as f64);
}

/// A forge was told something, or did not take it.
pub fn report(kind: &'static str, outcome: &'static str) {
    counter!("drey_reports_total", "kind" => kind, "outcome" => outcome).increment(1);
}

/// Lines of access logs were not written.
pub fn access_lost(lines: u64) {
    counter!("drey_access_log_lost_total").increment(lines);
}

/// The configuration was read anew.
pub fn reloaded(outcome: &'static str) {
    counter!("drey_reloads_total", "outcome" => outcome).increment(1);
}

/// A certificate was ordered.
pub fn acme_order(outcome: &'static str) {
    counter!("drey_acme_orders_total", "outcome" => outcome).increment(1);
}

/// The proxy's certificates were read; the first of them expires then.
#[expect(clippy::cast_precision_loss, reason = "Prometheus knows floating point numbers only")]
pub fn certificate_expires(until: Timestamp) {
    set("drey_certificate_expires_timestamp_seconds", (until.as_millis() / 1000) as f64);
}

/// Passes on what the engine answered, and counts it if it is an error.
pub fn engine<T>(operation: &'static str, result: PortResult<T>) -> PortResult<T> {
    result.inspect_err(|error| port_error("drey_engine_errors_total", operation, error))
}

/// Passes on what git answered, and counts it if it is an error.
pub fn git<T>(operation: &'static str, result: PortResult<T>) -> PortResult<T> {
    result.inspect_err(|error| port_error("drey_git_errors_total", operation, error))
}

fn port_error(name: &'static str, operation: &'static str, error: &PortError) {
    let kind = match error {
        PortError::Transient(_) | PortError::NoRoom(_) => "transient",
        PortError::Permanent(_) => "permanent",
        PortError::Refused(_) => "refused",
        // An answer, and the asker's own doing: neither is a fault.
        PortError::NotFound(_) | PortError::Cancelled => return,
    };
    counter!(name, "operation" => operation, "kind" => kind).increment(1);
}

/// What is true now, as it was looked up for a scrape.
pub fn set(name: &'static str, value: f64) {
    gauge!(name).set(value);
}

/// The same with a label.
pub fn set_of(name: &'static str, label: (&'static str, &'static str), value: f64) {
    gauge!(name, label.0 => label.1).set(value);
}

/// A count that somebody else keeps.
pub fn count_is(name: &'static str, value: u64) {
    counter!(name).absolute(value);
}

/// Counters of the proxy's answers: looked up once, because it answers thousands in a second.
#[derive(Clone)]
pub struct Answers([metrics::Counter; 5]);

impl Answers {
    pub fn new() -> Self {
        Self(
            ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| counter!("drey_proxy_requests_total", "status" => class)),
        )
    }

    pub fn count(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = self.0.get(class) {
            counter.increment(1);
        }
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self::new()
    }
}

/// Records the time since it was made when it is dropped.
#[must_use]
pub struct Measured {
    histogram: metrics::Histogram,
    begun: Instant,
}

impl Measured {
    fn new(histogram: metrics::Histogram) -> Self {
        Self { histogram, begun: Instant::now() }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.histogram.record(self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_name_and_no_other() {
        let page = include_str!("../../docs/operations.md");
        let begins = |text: &str| text.starts_with("drey_") || text.starts_with("process_");
        let mut documented: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next())
            .filter(|name| begins(name))
            .collect();
        let of_branches = crate::ports::traffic::DESCRIBED.iter().map(|(name, ..)| *name);
        let mut described: Vec<&str> = DESCRIBED.iter().map(|(name, ..)| *name).chain(of_branches).collect();
        documented.sort_unstable();
        described.sort_unstable();
        assert_eq!(documented, described);
    }

    #[test]
    fn names_follow_the_conventions() {
        for (name, kind, _) in DESCRIBED {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
        }
    }
}
