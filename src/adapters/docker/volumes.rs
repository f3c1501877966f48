//! Volumes through the engine's copy interface, by a carrier: a container of an empty image that is never started and
//! only mounts the volume. It needs no registry, no root on the engine's machine, and no container of the branch.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, Volume};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
    ListContainersOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Mutex, mpsc};

use super::observe::{INSTANCE_LABEL, ONEOFF_LABEL, PROJECT_LABEL};
use super::{CALL_LIMIT, DockerEngine, call, checked_name, error, images, limited, resources};
use crate::domain::names::{InstanceId, ProjectName};
use crate::ports::{Outgoing, PortResult, VOLUME_ROOT, VolumeFacts, Volumes, failpoint};

/// Longest copy of one volume, in or out.
const COPY_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);
/// The label of carriers: their image's name is not enough to know them by.
pub(super) const CARRIER_LABEL: &str = "drey.carrier";
/// An empty tar archive: two blocks of zeros.
const EMPTY: [u8; 1024] = [0; 1024];

/// [`Volumes`] of one daemon's engine.
#[derive(Debug)]
pub struct DockerVolumes {
    engine: Arc<DockerEngine>,
    instance: InstanceId,
    /// Carriers at work: no sweep takes them. Held while their image is made or removed.
    carriers: Mutex<BTreeSet<String>>,
}

impl DockerVolumes {
    pub fn new(engine: Arc<DockerEngine>, instance: InstanceId) -> Self {
        Self { engine, instance, carriers: Mutex::default() }
    }

    fn client(&self) -> PortResult<Docker> {
        Ok(self.engine.client()?.with_timeout(COPY_LIMIT))
    }

    fn image(&self) -> String {
        format!("drey/carrier:{}", self.instance)
    }

    /// Makes a carrier of the volume; its name.
    async fn carry(&self, project: &ProjectName, volume: &str, read_only: bool) -> PortResult<String> {
        let client = self.client()?;
        let volume = checked_name("volume", volume)?;
        let name = carrier_name(project, volume);
        let mut carriers = self.carriers.lock().await;
        resources::remove_container(&client, &name).await?;
        self.import(&client).await?;
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let body = carrier((project, &self.instance), volume, read_only, &self.image());
        call(&format!("container {name}"), CALL_LIMIT, client.create_container(Some(options), body)).await?;
        carriers.insert(name.clone());
        Ok(name)
    }

    /// Removes the carrier, however its work ended.
    async fn put_down<T>(&self, carrier: &str, result: PortResult<T>) -> PortResult<T> {
        let client = self.client()?;
        let mut carriers = self.carriers.lock().await;
        carriers.remove(carrier);
        let mut removed = resources::remove_container(&client, carrier).await;
        if removed.is_ok() {
            // One that another carrier uses stays: the engine knows.
            removed = images::remove(&client, &self.image()).await;
        }
        let done = result?;
        removed.map(|()| done)
    }

    async fn import(&self, client: &Docker) -> PortResult<()> {
        let image = self.image();
        let (repository, tag) = image.split_once(':').unwrap_or((&image, "latest"));
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).build();
        let import =
            client.create_image(Some(options), Some(bollard::body_full(Bytes::from_static(&EMPTY))), None);
        call(&format!("image {image}"), CALL_LIMIT, import.try_collect::<Vec<_>>()).await.map(drop)
    }
}

#[async_trait]
impl Volumes for DockerVolumes {
    async fn look(&self, volume: &str) -> PortResult<VolumeFacts> {
        let volume = checked_name("volume", volume)?;
        let client = self.client()?;
        let found = call(&format!("volume {volume}"), CALL_LIMIT, client.inspect_volume(volume)).await?;
        Ok(VolumeFacts {
            is_tmpfs: found.options.get("type").is_some_and(|kind| kind == "tmpfs"),
            folder: folder(&found, &self.engine.settings.host),
        })
    }

    async fn read(&self, project: &ProjectName, volume: &str, into: Outgoing) -> PortResult<()> {
        let carrier = self.carry(project, volume, true).await?;
        failpoint("archive.carrier_made");
        let what = format!("copy of volume {volume}");
        let client = self.client()?;
        let copied = limited(&what, COPY_LIMIT, download(&client, &carrier, into)).await;
        self.put_down(&carrier, copied).await
    }

    async fn write(
        &self,
        project: &ProjectName,
        volume: &str,
        from: mpsc::Receiver<Bytes>,
    ) -> PortResult<()> {
        let carrier = self.carry(project, volume, false).await?;
        failpoint("restore.carrier_made");
        let what = format!("copy of volume {volume}");
        let client = self.client()?;
        let copied = limited(&what, COPY_LIMIT, upload(&client, &carrier, from)).await;
        self.put_down(&carrier, copied).await
    }

    async fn sweep(&self) -> PortResult<()> {
        let client = self.client()?;
        let carriers = self.carriers.lock().await;
        let prefix = ProjectName::prefix(&self.instance);
        let filters = HashMap::from([("label", vec![CARRIER_LABEL.to_owned()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        for container in call("carriers", CALL_LIMIT, client.list_containers(Some(options))).await? {
            let names = container.names.unwrap_or_default();
            let mut names = names.iter().map(|name| name.trim_start_matches('/'));
            if let Some(name) = names.find(|name| name.starts_with(&prefix) && !carriers.contains(*name)) {
                resources::remove_container(&client, name).await?;
            }
        }
        images::remove(&client, &self.image()).await
    }
}

async fn download(client: &Docker, carrier: &str, into: Outgoing) -> PortResult<()> {
    let options = DownloadFromContainerOptionsBuilder::new().path(&format!("/{VOLUME_ROOT}")).build();
    let mut chunks = Box::pin(client.download_from_container(carrier, Some(options)));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|failure| error::map(carrier, failure))?;
        if into.send(Ok(chunk)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn upload(client: &Docker, carrier: &str, from: mpsc::Receiver<Bytes>) -> PortResult<()> {
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let chunks = stream::unfold(from, async |mut from| {
        let chunk = from.recv().await?;
        failpoint("restore.half_filled");
        Some((chunk, from))
    });
    let upload = client.upload_to_container(carrier, Some(options), bollard::body_stream(chunks));
    upload.await.map_err(|failure| error::map(carrier, failure))
}

/// Begins like every container of the project; the volume's name does too and is long enough to be unique.
fn carrier_name(project: &ProjectName, volume: &str) -> String {
    let key = volume.strip_prefix(project.as_str()).unwrap_or(volume);
    format!("{project}-carrier{key}")
}

/// A one-off container in the words of Compose: it belongs to the project, and to none of its services.
fn carrier(
    (project, instance): (&ProjectName, &InstanceId),
    volume: &str,
    read_only: bool,
    image: &str,
) -> ContainerCreateBody {
    let labels = [
        (INSTANCE_LABEL, instance.0.as_str()),
        (CARRIER_LABEL, "true"),
        ("drey.managed", "true"),
        (PROJECT_LABEL, project.as_str()),
        (ONEOFF_LABEL, "True"),
    ];
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["never-started".to_owned()]),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            mounts: Some(vec![Mount {
                target: Some(format!("/{VOLUME_ROOT}")),
                source: Some(volume.to_owned()),
                typ: Some(MountType::VOLUME),
                read_only: Some(read_only),
                ..Mount::default()
            }]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Only of a plain local volume, of an engine on this machine: what has options is mounted while it is in use only.
fn folder(volume: &Volume, host: &str) -> Option<PathBuf> {
    let is_plain = volume.driver == "local" && volume.options.is_empty();
    let folder = Path::new(&volume.mountpoint);
    let is_reached = || std::fs::read_dir(folder).is_ok();
    (is_plain && host.starts_with("unix:") && is_reached()).then(|| folder.to_owned())
}
