//! Options of Interlock itself.

use serde_json::{Map, Value};

use super::value::{Verdict, is_true, one, option, quoted, text};

const ALL_THREE: [&str; 3] = ["tlscacert", "tlscert", "tlskey"];
/// Interlock polled no faster.
const SHORTEST_POLL: u64 = 2;

pub(super) fn judge(name: &str, value: &Value, all: &Map<String, Value>) -> Verdict {
    match name {
        "listenaddr" => match text(value) {
            Some(address) if address.starts_with(':') => {
                one("http", "listen", quoted(&format!("0.0.0.0{address}")))
            }
            Some(address) => one("http", "listen", quoted(address)),
            None => Verdict::Ignored("says nothing: drey listens at 127.0.0.1:8420"),
        },
        "dockerurl" => match text(value) {
            Some(host) if host.starts_with("unix:///") || host.starts_with("tcp://") => {
                one("engine", "host", quoted(host))
            }
            Some(_) => Verdict::Ignored("is neither unix:/// nor tcp://: set engine.host by hand"),
            None => Verdict::Ignored("says nothing: DOCKER_HOST counts, or the local socket"),
        },
        "tlscacert" => certificate("ca", value, all),
        "tlscert" => certificate("cert", value, all),
        "tlskey" => certificate("key", value, all),
        "allowinsecure" if is_true(value) => Verdict::Replaced(
            "the engine's certificate is always verified; name its authority with engine.ca",
        ),
        "allowinsecure" => Verdict::Ignored("had no effect in Interlock; drey always verifies"),
        "enablemetrics" => Verdict::Ignored("/metrics is always there"),
        "pollinterval" => poll(value),
        "rules" => Verdict::Ignored(
            "which containers are measured is said to Prometheus: relabel_configs, see docs/discovery.md",
        ),
        _unknown => Verdict::Ignored("is no option of Interlock"),
    }
}

fn certificate(key: &'static str, value: &Value, all: &Map<String, Value>) -> Verdict {
    let is_given = |name: &&str| option(all, name).is_some_and(|value| text(value).is_some());
    let is_tcp = option(all, "dockerurl").and_then(text).is_none_or(|host| host.starts_with("tcp://"));
    if !ALL_THREE.iter().all(is_given) {
        return Verdict::Ignored("Interlock spoke TLS only with all three of TLSCACert, TLSCert and TLSKey");
    }
    if !is_tcp {
        return Verdict::Ignored("the engine is behind a socket: there is no TLS");
    }
    one("engine", key, quoted(text(value).unwrap_or_default()))
}

/// Beside the events, not instead of them.
fn poll(value: &Value) -> Verdict {
    let Some(given) = text(value) else {
        return Verdict::Ignored("says nothing: drey hears events and polls every 30s");
    };
    match crate::domain::duration::parse_duration(given) {
        Ok(time) => {
            let seconds = time.as_secs().max(SHORTEST_POLL);
            one("discovery", "poll_interval", quoted(&format!("{seconds}s")))
        }
        Err(_why) => Verdict::Ignored("is no length of time such as 30s: drey polls every 30s"),
    }
}
