use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;

fn arguments(place: &str) -> String {
    let reach = Reach::of(&format!("ssh://{place}"), None, ("ssh", None)).unwrap();
    let Way::Ssh { user, host, port, .. } = &*reach.0 else { panic!("{reach:?}") };
    Login { user: user.as_deref(), host, port: port.as_deref() }.arguments().join(" ")
}

#[test]
fn ssh_is_called_as_dockers_own_client_does() {
    let options = "-T -o BatchMode=yes -o ConnectTimeout=10";
    assert_eq!(arguments("engine"), format!("{options} -- engine docker system dial-stdio"));
    let all = format!("{options} -l drey -p 2222 -- engine.example docker system dial-stdio");
    assert_eq!(arguments("drey@engine.example:2222"), all);
}

#[test]
fn an_engine_that_is_spoken_to_directly_needs_no_way() {
    let tls = EngineTls { ca: None, identity: None };
    assert!(Reach::of("unix:///s", Some(&tls), ("ssh", None)).is_none());
    assert!(Reach::of("tcp://a:1", None, ("ssh", None)).is_none());
    let way = |host: &str| format!("{:?}", Reach::of(host, Some(&tls), ("ssh", None)).unwrap());
    assert_eq!(way("tcp://a:1"), "tls a:1");
    assert_eq!(way("tcp://a"), "tls a:2376");
    assert_eq!(way("tcp://[::1]:9"), "tls ::1:9");
    assert_eq!(way("tcp://[::1]"), "tls ::1:2376");
}

/// A program in place of ssh.
fn fake(folder: &Path, script: &str) -> Reach {
    let program = folder.join("ssh");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    Reach::by_ssh(program.to_str().unwrap(), "drey@engine", None)
}

#[tokio::test]
async fn what_ssh_says_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let reach = fake(folder.path(), "echo 'Host key verification failed.' >&2; exit 255");
    let mut stream = reach.dial().await.unwrap();
    let told = stream.read_u8().await.unwrap_err().to_string();
    assert_eq!(told, "ssh ended: Host key verification failed.");
    let client = connect(&reach, 5).unwrap();
    let told = crate::adapters::docker::error::map("version", client.version().await.unwrap_err());
    assert!(told.is_transient(), "{told}");
}

#[tokio::test]
async fn the_socket_leads_to_the_engine_and_is_gone_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let reach = fake(folder.path(), "read line; echo \"$2 $line\"; cat");
    let path = folder.path().join("engine.sock");
    drop(Bridge::open(&path, reach.clone()).unwrap());
    let bridge = Bridge::open(&path, reach).unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let served = bridge.serve(async { ended.await.unwrap_or_default() });
    let asked = async {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET\nrest").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "-o GET\nrest");
        end.send(()).unwrap();
    };
    tokio::join!(served, asked);
    assert!(!path.exists());
}
