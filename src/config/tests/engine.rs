//! Where the engine is.

use std::path::PathBuf;

use super::*;

fn engine(engine: &str, environment: &[(&str, &str)]) -> Result<Engine, String> {
    let read = settings(&format!("{SMALL}[engine]\n{engine}"), environment);
    read.map(|settings| settings.engine).map_err(|faults| faults.to_string())
}

fn folder(folder: &str) -> EngineTls {
    let file = |name: &str| PathBuf::from(folder).join(name);
    EngineTls { ca: Some(file("ca.pem")), identity: Some((file("cert.pem"), file("key.pem"))) }
}

#[test]
fn the_variables_of_dockers_own_client_count_where_the_configuration_says_nothing() {
    let tcp = ("DOCKER_HOST", "tcp://engine.example:2376");
    let verify = ("DOCKER_TLS_VERIFY", "1");
    let certs = ("DOCKER_CERT_PATH", "/certs");
    let usual = engine("", &[("HOME", "/root")]).unwrap();
    assert_eq!((usual.host.as_str(), usual.tls), ("unix:///var/run/docker.sock", None));
    let plain = engine("", &[tcp, certs]).unwrap();
    assert_eq!((plain.host.as_str(), plain.tls), ("tcp://engine.example:2376", None));
    assert_eq!(engine("", &[tcp, verify, certs]).unwrap().tls, Some(folder("/certs")));
    assert_eq!(engine("", &[tcp, verify, ("HOME", "/root")]).unwrap().tls, Some(folder("/root/.docker")));
    let given = engine("host = \"tcp://other:1\"\nca = \"/ca\"", &[tcp, verify, certs]).unwrap();
    assert_eq!(given.host, "tcp://other:1");
    assert_eq!(given.tls, Some(EngineTls { ca: Some("/ca".into()), identity: None }));
    let unix = engine("host = \"unix:///s\"", &[tcp, verify, certs]).unwrap();
    assert_eq!((unix.host.as_str(), unix.tls), ("unix:///s", None));
    for good in ["ssh://engine", "ssh://a.b@engine.example:2222"] {
        assert_eq!(engine(&format!("host = \"{good}\""), &[]).unwrap().host, good);
    }
}

#[test]
fn what_is_no_engine_is_told() {
    for (text, variable, key) in [
        ("host = \"/var/run/docker.sock\"", "", "engine.host"),
        ("host = \"ssh://-oProxyCommand=x\"", "", "engine.host"),
        ("host = \"ssh://a b@engine\"", "", "engine.host"),
        ("host = \"ssh://engine/path\"", "", "engine.host"),
        ("", "npipe://x", "DOCKER_HOST"),
        ("ca = \"/ca\"", "", "engine.ca"),
        ("host = \"tcp://a:1\"\ncert = \"/c\"", "", "engine.key"),
        ("host = \"tcp://a:1\"\nkey = \"/c\"", "", "engine.cert"),
    ] {
        let told = engine(text, &[("DOCKER_HOST", variable)]).unwrap_err();
        assert!(told.contains(key), "{text} {variable}: {told}");
    }
}
