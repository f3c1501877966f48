//! What a Traefik of the team's own is told.

use super::*;
use crate::config::TraefikSyntax;

fn read(proxy: &str, traefik: &str) -> Result<Proxy, ConfigErrors> {
    let text = format!("[proxy]\ndomain = \"qa.example\"\n{proxy}\n[proxy.traefik]\n{traefik}");
    settings(&text, &[]).map(|read| read.proxy)
}

const IN_FRONT: &str = "provider = \"traefik\"\nhttps = \"0.0.0.0:443\"\n";

#[test]
fn it_is_told_of_the_usual_entry_points_unless_others_are_named() {
    let usual = read(IN_FRONT, "").unwrap().traefik;
    let names = |name: &str| vec![name.to_owned()];
    assert_eq!((usual.entry_points, usual.redirected), (names("websecure"), names("web")));
    assert_eq!((usual.syntax, usual.poll_interval.as_secs()), (TraefikSyntax::V3, 5));
    let plain = read("provider = \"traefik\"\nhttp = \"0.0.0.0:80\"", "").unwrap().traefik;
    assert_eq!(plain.entry_points, names("web"));
    let text = "syntax = \"v2\"\ngate = \"http://[::1]:8421/\"\napi = \"http://127.0.0.1:8080\"";
    let given = read(IN_FRONT, text).unwrap().traefik;
    assert_eq!((given.syntax, given.gate.as_deref()), (TraefikSyntax::V2, Some("http://[::1]:8421")));
    assert_eq!(given.api.as_deref(), Some("127.0.0.1:8080"));
    for (more, key) in [
        ("gate = \"127.0.0.1:80\"", "proxy.traefik.gate"),
        ("entry_points = []", "proxy.traefik.entry_points"),
        ("syntax = \"v1\"", "proxy.traefik.syntax"),
        ("api = \"https://x\"", "proxy.traefik.api"),
        ("file = \"drey.json\"", "proxy.traefik.file"),
        ("tls = false", "follows from `proxy.https`"),
        ("direct = false", "is `proxy.direct` now"),
        ("entrypoints = []", "proxy.traefik.entrypoints"),
    ] {
        let told = read(IN_FRONT, more).unwrap_err().to_string();
        assert!(told.contains(key), "{more}: {told}");
    }
}

#[test]
fn who_configured_it_beside_another_proxy_is_told_the_way() {
    let told = read("http = \"127.0.0.1:8480\"", "cert_resolver = \"x\"").unwrap_err().to_string();
    assert!(told.contains("`provider = \"traefik\"`") && told.contains("proxy.gate_listen"), "{told}");
    let told = read(IN_FRONT, "\n[proxy.tls]\nmode = \"local-ca\"").unwrap_err().to_string();
    assert!(told.contains("cert_resolver"), "{told}");
    let elsewhere = read(&format!("{IN_FRONT}trusted_proxies = [\"10.0.0.0/8\"]"), "").unwrap();
    assert_eq!(elsewhere.believed().len(), 3, "a Traefik that is not on this machine");
}
