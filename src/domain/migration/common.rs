//! Options that both proxies of Interlock's have.

use serde_json::Value;

use super::value::{Verdict, number, one, port, quoted, text};

pub(super) fn judge(name: &str, value: &Value) -> Option<Verdict> {
    Some(match name {
        "name" => one("proxy", "provider", quoted(&text(value)?.to_ascii_lowercase())),
        "configpath" => {
            Verdict::Ignored("drey writes a folder of its own, which the proxy's configuration includes")
        }
        "pidpath" => Verdict::Ignored("drey finds the proxy by itself"),
        "templatepath" => Verdict::Ignored(
            "a template of Interlock's cannot be read; drey's own can be replaced, see docs/proxy.md",
        ),
        "backendoverrideaddress" => Verdict::Ignored("containers are reached at their own addresses"),
        "maxconn" => match number(value) {
            Some(most @ 1..) => one("proxy.limits", "connections", most.to_string()),
            Some(0) | None => Verdict::Ignored("is no number above zero: as many as file descriptors allow"),
        },
        "port" => port("http", value),
        "sslport" => port("https", value),
        "sslcertpath" => Verdict::Ignored(
            "was a folder for the names in labels: name each pair with [[proxy.tls.file]] certificate and key, and set \
             proxy.tls.mode to \"files\"",
        ),
        _other => return None,
    })
}
