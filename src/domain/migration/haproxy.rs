//! Options of Interlock's HAProxy.

use serde_json::Value;

use super::value::{Verdict, number, quoted, seconds, setting, text};

/// What was in force where nothing was said, and why it is not any more.
pub(super) const UNSAFE_DEFAULTS: &[(&str, &str)] =
    &[("AdminPass", NO_PASSWORD), ("SSLDefaultDHParam", SHORT_GROUP)];

const NO_PASSWORD: &str = "the page of figures was open to everybody on the public port: drey's figures are at /metrics of \
                           its own listener";
const SHORT_GROUP: &str = "1024 bits can be broken: only elliptic curves are spoken";
/// Shorter ones are in the reach of those who have the means.
const LONG_ENOUGH: u64 = 2048;

pub(super) fn judge(name: &str, value: &Value) -> Option<Verdict> {
    Some(match name {
        "connecttimeout" => seconds("proxy.timeouts", "connect", value, 1000),
        "servertimeout" => seconds("proxy.timeouts", "upstream", value, 1000),
        "clienttimeout" => seconds("proxy.timeouts", "idle", value, 1000),
        "syslogaddr" => {
            Verdict::Ignored("each branch has a log of what visitors asked for: drey env log --access")
        }
        "adminuser" => Verdict::Ignored("there is no page of figures: see /metrics"),
        "adminpass" if text(value).is_none() => Verdict::Replaced(NO_PASSWORD),
        "adminpass" => Verdict::Ignored("there is no page of figures: see /metrics"),
        "sslcert" => match text(value) {
            Some(file) => Verdict::Mapped(vec![
                setting("proxy.tls", "mode", quoted("files")),
                setting("proxy.tls", "certificate", quoted(file)),
                setting("proxy.tls", "key", quoted(file)),
            ]),
            None => Verdict::Ignored("says nothing: certificates are of a local authority"),
        },
        "sslopts" => options(value),
        "sslserververify" if text(value) == Some("none") => Verdict::Replaced(
            "a service is verified where its labels say by whom: drey.upstream.ca, drey.upstream.verify",
        ),
        "sslserververify" => {
            Verdict::Ignored("is said of each service: drey.upstream.ca, drey.upstream.verify")
        }
        "ssldefaultdhparam" => match number(value) {
            Some(LONG_ENOUGH..) => Verdict::Ignored("only elliptic curves are spoken"),
            Some(_) | None => Verdict::Replaced(SHORT_GROUP),
        },
        _other => return None,
    })
}

fn options(value: &Value) -> Verdict {
    let given = text(value).unwrap_or_default().to_ascii_lowercase();
    let old = ["sslv3", "tlsv10", "tlsv11"];
    let wants = |word: &str| {
        let name = word.trim_start_matches("force-");
        !word.starts_with("no-") && old.contains(&name)
    };
    if given.split_whitespace().any(wants) || given.contains("tlsv1.0") || given.contains("tlsv1.1") {
        return Verdict::Replaced("TLS 1.2 is the least that is spoken");
    }
    Verdict::Ignored("TLS 1.2 and 1.3 are spoken with good ciphers; more is said by [repo.tls]")
}
