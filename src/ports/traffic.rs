//! Figures of single environments: plain values, and how they are written for a scrape.
//!
//! Their label holds a branch's name: so a series lives as long as its environment, and no longer. The recorder of
//! [`super::meters`] forgets none, therefore these are not in it.

use std::fmt::Write as _;
use std::time::Duration;

/// Upper bounds in seconds of how long containers take to answer.
pub const RESPONSE_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds in seconds of how long requests wait for their branch.
pub const HELD_BUCKETS: [f64; 8] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Most environments that are written: who has more looks at their logs.
const MOST_ENVIRONMENTS: usize = 1000;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Every name with its kind and what it tells.
pub const DESCRIBED: [(&str, &str, &str); 7] = [
    ("drey_environment_requests_total", "counter", "Answers to visitors, by class of HTTP status."),
    ("drey_environment_response_seconds", "histogram", "Asking a container until the head of its answer."),
    (
        "drey_environment_held_seconds",
        "histogram",
        "How long requests waited for the branch, of those that did.",
    ),
    ("drey_environment_received_bytes_total", "counter", "Bytes of bodies from visitors."),
    ("drey_environment_sent_bytes_total", "counter", "Bytes of bodies to visitors."),
    ("drey_environment_upgrades", "gauge", "Open tunnels: WebSockets above all."),
    ("drey_environment_wakes_total", "counter", "How often it was woken."),
];

/// What an environment's visitors asked for since the daemon began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// `REPO/BRANCH`.
    pub environment: String,
    /// Answers from 1xx to 5xx.
    pub classes: [u64; 5],
    pub responses: Spread,
    pub held: Spread,
    pub received: u64,
    pub sent: u64,
    pub upgrades: i64,
    pub wakes: u64,
}

/// How many took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// For each bound those that it is the first for, then those beyond all.
    pub buckets: Vec<u64>,
    pub sum: Duration,
}

/// In Prometheus' text format.
pub fn render(traffic: &[Traffic]) -> String {
    let traffic = traffic.get(..MOST_ENVIRONMENTS).unwrap_or(traffic);
    let labels: Vec<String> = traffic.iter().map(|it| label(&it.environment)).collect();
    let mut text = String::new();
    for (name, kind, help) in DESCRIBED {
        put(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (of, label) in traffic.iter().zip(&labels) {
            match name {
                "drey_environment_requests_total" => {
                    for (class, requests) in CLASSES.iter().zip(of.classes) {
                        put(&mut text, format_args!("{name}{{{label},status=\"{class}\"}} {requests}\n"));
                    }
                }
                "drey_environment_response_seconds" => {
                    spread(&mut text, name, label, &RESPONSE_BUCKETS, &of.responses);
                }
                "drey_environment_held_seconds" => spread(&mut text, name, label, &HELD_BUCKETS, &of.held),
                "drey_environment_received_bytes_total" => single(&mut text, name, label, of.received),
                "drey_environment_sent_bytes_total" => single(&mut text, name, label, of.sent),
                "drey_environment_upgrades" => single(&mut text, name, label, of.upgrades),
                _ => single(&mut text, name, label, of.wakes),
            }
        }
    }
    text
}

fn single(text: &mut String, name: &str, label: &str, value: impl std::fmt::Display) {
    put(text, format_args!("{name}{{{label}}} {value}\n"));
}

fn spread(text: &mut String, name: &str, label: &str, bounds: &[f64], spread: &Spread) {
    let mut so_far = 0;
    for (bound, count) in bounds.iter().zip(&spread.buckets) {
        so_far += count;
        put(text, format_args!("{name}_bucket{{{label},le=\"{bound}\"}} {so_far}\n"));
    }
    let all: u64 = spread.buckets.iter().sum();
    let sum = spread.sum.as_secs_f64();
    put(text, format_args!("{name}_bucket{{{label},le=\"+Inf\"}} {all}\n"));
    put(text, format_args!("{name}_sum{{{label}}} {sum}\n{name}_count{{{label}}} {all}\n"));
}

/// A branch's name is anybody's text.
fn label(environment: &str) -> String {
    let escaped = environment.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("environment=\"{escaped}\"")
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written: std::fmt::Result = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_environment_has_its_series() {
        let of = Traffic {
            environment: "shop/a\"b\\c".into(),
            classes: [0, 3, 0, 1, 0],
            responses: Spread {
                buckets: vec![1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                sum: Duration::from_millis(20_500),
            },
            held: Spread { buckets: vec![0; 9], sum: Duration::ZERO },
            received: 5,
            sent: 6,
            upgrades: 1,
            wakes: 2,
        };
        let text = render(&[of]);
        let label = "environment=\"shop/a\\\"b\\\\c\"";
        for line in [
            format!("drey_environment_requests_total{{{label},status=\"2xx\"}} 3"),
            format!("drey_environment_requests_total{{{label},status=\"4xx\"}} 1"),
            format!("drey_environment_response_seconds_bucket{{{label},le=\"0.005\"}} 1"),
            format!("drey_environment_response_seconds_bucket{{{label},le=\"10\"}} 3"),
            format!("drey_environment_response_seconds_bucket{{{label},le=\"+Inf\"}} 4"),
            format!("drey_environment_response_seconds_sum{{{label}}} 20.5"),
            format!("drey_environment_held_seconds_count{{{label}}} 0"),
            format!("drey_environment_received_bytes_total{{{label}}} 5"),
            format!("drey_environment_sent_bytes_total{{{label}}} 6"),
            format!("drey_environment_upgrades{{{label}}} 1"),
            format!("drey_environment_wakes_total{{{label}}} 2"),
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn names_follow_the_conventions() {
        for (name, kind, _) in DESCRIBED {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        }
    }
}
