//! What is told of a daemon, and what it does when it is signalled.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{REPO, World};

const COMPOSE: &str = r#"
services:
  web: { image: "drey-demo/tiny:1", command: [serve, "8080", /], expose: [8080] }
"#;
/// Runs, and never answers.
const SLOW: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [busybox, sleep, "1000"]
    expose: [8080]
    labels: { drey.ready.within: "60" }
"#;

/// Status line, head and body of one request to the daemon.
fn ask(world: &World, method: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(world.address()).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: drey\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn figure(world: &World, series: &str) -> Option<f64> {
    let text = ask(world, "GET", "/metrics")?;
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn log_says(world: &World, level: &str, text: &str) -> bool {
    let log = std::fs::read_to_string(world.path("daemon.log")).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.into_iter().any(|line| line["level"] == level && line.to_string().contains(text))
}

fn rewrite(world: &World, change: impl Fn(String) -> String) {
    let file = world.path("drey.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, change(text)).unwrap();
}

#[test]
fn figures_tell_what_happened_and_a_reload_is_whole_or_not_at_all() {
    let world = World::new("seen", &[("compose.yaml", COMPOSE)]);
    world.push("seen/told", &[("one.txt", "told")]);
    world.reaches("seen/told", "ready");
    assert!(world.get("seen-told").is_some());
    let run = format!("drey_deployments_total{{repo=\"{REPO}\",intent=\"run\",outcome=\"succeeded\"}}");
    for (series, least) in [
        (run.as_str(), 1.0),
        ("drey_step_duration_seconds_count{plan=\"deploy\",step=\"up\"}", 1.0),
        ("drey_hook_requests_total{status=\"202\"}", 1.0),
        ("drey_environments{phase=\"ready\"}", 1.0),
        ("drey_proxy_requests_total{status=\"2xx\"}", 1.0),
        ("drey_disk_total_bytes", 1e6),
        ("process_resident_memory_bytes", 1e6),
    ] {
        let value = figure(&world, series);
        assert!(value.is_some_and(|value| value >= least), "{series}: {value:?}");
    }
    assert_eq!(figure(&world, "drey_task_panics_total"), Some(0.0));
    assert!(log_says(&world, "INFO", "the environment is ready"));

    rewrite(&world, |text| format!("surprise = 1\n{text}\n[[repo]]\nname = \"second\"\nurl = \"nowhere\"\n"));
    world.signal("HUP");
    let refused = "drey_reloads_total{outcome=\"refused\"}";
    world.eventually("the faulty one is refused", 10, || figure(&world, refused) == Some(1.0));
    assert!(log_says(&world, "ERROR", "surprise") && log_says(&world, "ERROR", "repo[1].url"));
    world.push("seen/told", &[("one.txt", "told again")]);
    world.eventually("it works as before", 60, || figure(&world, &run) == Some(2.0));

    let url = world.path("world.git");
    rewrite(&world, |text| {
        let mut text =
            text.replace("surprise = 1\n", "").replace("url = \"nowhere\"", &format!("url = \"{url}\""));
        text = text
            .replace("[proxy]\n", "[proxy]\nprovider = \"embedded\"\n")
            .replace("world.localhost", "other.localhost");
        write!(text, "branches = [\"none\"]\n[limits]\nbuilds = 1\n").unwrap();
        text
    });
    world.signal("HUP");
    let applied = "drey_reloads_total{outcome=\"applied\"}";
    world.eventually("the good one is in force", 10, || figure(&world, applied) == Some(1.0));
    world.eventually("the new repository was looked at", 30, || {
        let events = world.drey(&["event", "list", "--repo", "second", "--json"]).unwrap();
        let events: Value = serde_json::from_str(&events).unwrap();
        events["items"][0]["kind"] == "look" && events["items"][0]["state"] == "done"
    });
    assert!(log_says(&world, "WARN", "proxy.domain"), "what has to wait for a restart is named");
    assert_eq!(world.get("seen-told").map(|(status, _)| status), Some(200), "addresses stay until then");
    rewrite(&world, |text| text.replace("other.localhost", "world.localhost"));
}

#[test]
fn from_the_first_signal_on_hooks_get_503_and_visitors_are_served() {
    let mut world = World::new("drained", &[("compose.yaml", COMPOSE)]);
    world.push("drained/ready", &[("one.txt", "ready")]);
    world.reaches("drained/ready", "ready");
    world.push("drained/slow", &[("compose.yaml", SLOW)]);
    world.eventually("it starts", 60, || {
        world.environment("drained/slow").is_some_and(|it| it["phase"] == "starting")
    });
    world.signal("TERM");
    world.eventually("it is not ready any more", 5, || {
        ask(&world, "GET", "/readyz").is_some_and(|text| text.starts_with("HTTP/1.1 503"))
    });
    let refused = ask(&world, "POST", &format!("/hooks/git/{REPO}")).unwrap();
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: ") && refused.contains("\"code\":\"draining\""), "{refused}");
    let asked = world.drey(&["env", "deploy", &format!("{REPO}/drained/ready")]).unwrap_err();
    assert!(asked.contains("takes nothing new"), "{asked}");
    assert_eq!(world.environment("drained/slow").unwrap()["phase"], "starting", "questions are answered");
    assert!(ask(&world, "GET", "/healthz").unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(world.get("drained-ready").map(|(status, _)| status), Some(200));
    world.push("drained/later", &[("compose.yaml", COMPOSE)]);

    let begun = Instant::now();
    world.signal("TERM");
    assert_eq!(world.ended(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "the second signal cuts");
    assert!(!std::path::Path::new(&world.path("data/drey.sock")).exists());
    world.start();
    world.reaches("drained/later", "ready");
    assert!(
        world.environment("drained/slow").unwrap()["phase"] != "failed",
        "what was cut is taken up again"
    );
}
