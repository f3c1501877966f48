//! Images leave the engine as a stream and come back.

use std::path::Path;

use bytes::Bytes;
use drey::adapters::docker::{DockerEngine, DockerSettings};
use drey::ports::{ImageStore, PortError, PortResult};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::harness::{World, docker};

/// An image of one layer that is found nowhere else, under these tags.
fn make_image(folder: &Path, tags: &[String]) -> String {
    let content = folder.join("content");
    std::fs::write(&content, format!("{}\n", folder.display()).repeat(1000)).unwrap();
    let tar = folder.join("content.tar");
    let packed =
        std::process::Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder).arg("content").status();
    assert!(packed.unwrap().success());
    let id = docker(&["import", tar.to_str().unwrap(), &tags[0]]);
    for tag in &tags[1..] {
        docker(&["tag", &tags[0], tag]);
    }
    id.trim().to_owned()
}

/// Whatever becomes of a test, its images go.
struct Tags(Vec<String>);

impl Drop for Tags {
    fn drop(&mut self) {
        for tag in &self.0 {
            std::process::Command::new("docker").args(["image", "rm", tag]).output().unwrap();
        }
    }
}

async fn load(engine: &DockerEngine, pieces: Vec<PortResult<Bytes>>) -> PortResult<Vec<String>> {
    engine.load(Box::pin(stream::iter(pieces))).await
}

#[tokio::test]
async fn images_leave_the_engine_as_a_stream_and_come_back_with_their_tags() {
    let folder = tempfile::tempdir().unwrap();
    let unique = folder.path().file_name().unwrap().to_str().unwrap().trim_matches('.').to_ascii_lowercase();
    let tags = Tags(["web", "worker"].map(|name| format!("drey/world/{name}:{unique}")).to_vec());
    let id = make_image(folder.path(), &tags.0);
    let host = std::env::var_os("DOCKER_HOST").and_then(|host| host.into_string().ok());
    let host = host.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let engine = DockerEngine::new(DockerSettings { host, reach: None, registries: Vec::new() });

    let stream = engine.save(&tags.0).await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    let size: usize = pieces.iter().map(Bytes::len).sum();
    let content = std::fs::metadata(folder.path().join("content")).unwrap().len();
    assert!(
        size as u64 > content && (size as u64) < content * 2 + 40_000,
        "the shared layer is in it once: {size}"
    );
    docker(&["image", "rm", &tags.0[0], &tags.0[1]]);
    let missing = engine.save(&tags.0).await.map(|_| ()).unwrap_err();
    assert!(matches!(missing, PortError::NotFound(_)), "{missing:?}");

    for _ in 0..2 {
        assert_eq!(load(&engine, pieces.iter().cloned().map(Ok).collect()).await.unwrap(), tags.0);
        for tag in &tags.0 {
            assert_eq!(docker(&["image", "inspect", "-f", "{{.Id}}", tag]).trim(), id);
        }
    }
    let broken = vec![Ok(pieces[0].clone()), Err(PortError::Permanent("the archive is damaged".to_owned()))];
    let error = load(&engine, broken).await.unwrap_err();
    assert_eq!(error.to_string(), "the archive is damaged");
    let nonsense = stream::iter([Ok(Bytes::from_static(b"no tar at all"))]).boxed();
    assert!(engine.load(nonsense).await.is_err());
}

/// What a base image brings (`ONBUILD`) is in no text that could be read before.
#[test]
fn the_builder_itself_fetches_no_address() {
    let compose = "services:\n  web: {build: ., expose: [8080]}\n";
    let world = World::new("fetched", &[("compose.yaml", compose)]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let base = Tags(vec![format!("world-base:{}", address.port())]);
    let folder = tempfile::tempdir().unwrap();
    let brings = format!("FROM drey-demo/tiny:1\nONBUILD ADD http://{address}/ /x\n");
    std::fs::write(folder.path().join("Dockerfile"), brings).unwrap();
    docker(&["build", "-q", "-t", &base.0[0], &folder.path().to_string_lossy()]);
    world.push("fetched/address", &[("Dockerfile", &format!("FROM {}\n", base.0[0]))]);
    let failed = world.reaches("fetched/address", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("denied by policy"), "{reason}");
    assert!(listener.accept().is_err(), "nobody came");
}
