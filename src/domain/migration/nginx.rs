//! Options of Interlock's nginx.

use serde_json::Value;

use super::value::{Verdict, one, quoted, seconds, text};

/// What was in force where nothing was said, and why it is not any more.
pub(super) const UNSAFE_DEFAULTS: &[(&str, &str)] = &[("SSLProtocols", OLD_TLS)];

const OLD_TLS: &str = "SSL 3.0, TLS 1.0 and TLS 1.1 are broken: TLS 1.2 is the least that is spoken";

pub(super) fn judge(name: &str, value: &Value) -> Option<Verdict> {
    Some(match name {
        "user" => match text(value) {
            Some(user) => one("proxy.nginx", "user", quoted(user)),
            None => Verdict::Ignored("says nothing: as nginx is configured"),
        },
        "workerprocesses" => Verdict::Ignored("one for each core"),
        "rlimitnofile" => Verdict::Ignored("is said where the proxy is started (LimitNOFILE= of its unit)"),
        "proxyconnecttimeout" => seconds("proxy.timeouts", "connect", value, 1),
        "proxyreadtimeout" => seconds("proxy.timeouts", "upstream", value, 1),
        "proxysendtimeout" => Verdict::Ignored("a container may be as slow as the visitor who sends to it"),
        "sendtimeout" => {
            Verdict::Ignored("slow readers are no fault; who is silent goes by proxy.timeouts.idle")
        }
        "sslciphers" => Verdict::Ignored("chosen with the library's care: only those without known faults"),
        "sslprotocols" => {
            let given = text(value).unwrap_or(OLD_TLS).to_ascii_lowercase();
            let is_old =
                given.split([' ', ',']).any(|word| matches!(word, "sslv2" | "sslv3" | "tlsv1" | "tlsv1.1"));
            match is_old || text(value).is_none() {
                true => Verdict::Replaced(OLD_TLS),
                false => Verdict::Ignored("TLS 1.2 and 1.3 are spoken; only 1.3 by [repo.tls] min_version"),
            }
        }
        "dhparam" | "dhparampath" => Verdict::Ignored("only elliptic curves are spoken"),
        "nginxplusenabled" => {
            Verdict::Ignored("drey changes what it can without a reload, and reloads nginx for the rest")
        }
        _other => return None,
    })
}
