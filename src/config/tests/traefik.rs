//! What a Traefik of the team's own is told.

use super::*;
use crate::domain::traefik::Syntax;

#[test]
fn it_is_told_of_the_usual_entry_points_unless_others_are_named() {
    let read = |more: &str| settings(&format!("{SMALL}[proxy.traefik]\n{more}"), &[]);
    let traefik = |more: &str| read(more).unwrap().proxy.traefik;
    let usual = traefik("");
    let names = |name: &str| vec![name.to_owned()];
    assert_eq!((usual.entry_points, usual.redirected), (names("websecure"), names("web")));
    assert_eq!((usual.tls, usual.direct, usual.syntax), (true, true, Syntax::V3));
    let given = traefik("tls = false\nsyntax = \"v2\"\nhttps_port = 8443\ngate = \"http://[::1]:8480/\"");
    assert!(given.redirected.is_empty());
    assert_eq!((given.syntax, given.https_port), (Syntax::V2, Some(8443)));
    assert_eq!(given.gate.as_deref(), Some("http://[::1]:8480"));
    for (more, key) in [
        ("gate = \"127.0.0.1:80\"", "proxy.traefik.gate"),
        ("entry_points = []", "proxy.traefik.entry_points"),
        ("syntax = \"v1\"", "proxy.traefik.syntax"),
        ("https_port = 0", "proxy.traefik.https_port"),
        ("entrypoints = []", "proxy.traefik.entrypoints"),
    ] {
        let told = read(more).unwrap_err().to_string();
        assert!(told.contains(key), "{more}: {told}");
    }
}
