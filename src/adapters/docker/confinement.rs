//! How the engine says that containers are confined.

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{ContainerInspectResponse, DeviceRequest, HostConfig, HostConfigLogConfig, MountPoint};
use bollard::query_parameters::InspectContainerOptions;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::observe::{INSPECTS_AT_ONCE, SERVICE_LABEL, owned_ids};
use super::{CALL_LIMIT, DockerEngine, OBSERVE_LIMIT, call, error, limited};
use crate::domain::audit::{Confinement, DeviceRequestFact, LogFact, MountFact, NameSpaces};
use crate::domain::names::ProjectName;
use crate::ports::{Confinements, PortResult, meters};

/// What an engine runs containers in unless it is told otherwise.
const USUAL_RUNTIME: &str = "runc";

#[async_trait]
impl Confinements for DockerEngine {
    async fn confinements(&self, project: &ProjectName) -> PortResult<Vec<Confinement>> {
        let client = self.client()?;
        let looked = limited("audit of the engine", OBSERVE_LIMIT, look(&client, project)).await;
        meters::engine("confinements", self.named(looked))
    }
}

async fn look(client: &Docker, project: &ProjectName) -> PortResult<Vec<Confinement>> {
    let what = format!("project {project}");
    let failed = |found| error::map(&what, found);
    let ids = owned_ids(client, project).await.map_err(failed)?;
    let mut found: Vec<Confinement> = stream::iter(ids)
        .map(|id| inspect(client, id))
        .buffer_unordered(INSPECTS_AT_ONCE)
        .try_filter_map(async |container| Ok(container))
        .try_collect()
        .await
        .map_err(failed)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if found.iter().any(|it| it.runtime.is_some()) {
        let usual = call("the engine", CALL_LIMIT, client.info()).await?.default_runtime;
        for container in &mut found {
            container.runtime = container.runtime.take().filter(|runtime| Some(runtime) != usual.as_ref());
        }
    }
    Ok(found)
}

/// `None` when it went between the list and the question.
async fn inspect(client: &Docker, id: String) -> Result<Option<Confinement>, EngineError> {
    match client.inspect_container(&id, None::<InspectContainerOptions>).await {
        Ok(inspected) => Ok(Some(confinement(id, inspected))),
        Err(error) if error::code(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the engine leaves out counts as not confined, where that could be.
fn confinement(id: String, inspected: ContainerInspectResponse) -> Confinement {
    let host = inspected.host_config.unwrap_or_default();
    let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
    let networks = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    Confinement {
        name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        service: labels.get(SERVICE_LABEL).cloned().unwrap_or_default(),
        labels: labels.into_iter().collect(),
        mounts: inspected.mounts.iter().flatten().map(mount).chain(sized_tmpfs(&host)).collect(),
        name_spaces: name_spaces(&host, networks.into_keys().collect()),
        log: log(host.log_config.as_ref()),
        published: published(&host),
        memory_bytes: host.memory.unwrap_or_default(),
        swap_bytes: host.memory_swap.unwrap_or_default(),
        cpus_limited: host.nano_cpus.unwrap_or_default() > 0 || host.cpu_quota.unwrap_or_default() > 0,
        pids: host.pids_limit.unwrap_or_default(),
        oom_kill_disabled: host.oom_kill_disable.unwrap_or_default(),
        oom_score: host.oom_score_adj.unwrap_or_default(),
        privileged: host.privileged.unwrap_or_default(),
        hides_kernel: host.masked_paths.is_some_and(|paths| !paths.is_empty())
            && host.readonly_paths.is_some_and(|paths| !paths.is_empty()),
        devices: paths_of(host.devices.unwrap_or_default()),
        device_rules: host.device_cgroup_rules.unwrap_or_default(),
        device_requests: host.device_requests.iter().flatten().map(device_request).collect(),
        cap_add: host.cap_add.unwrap_or_default(),
        cap_drop: host.cap_drop.unwrap_or_default(),
        security_opt: host.security_opt.unwrap_or_default(),
        volumes_from: host.volumes_from.unwrap_or_default(),
        sysctls: host.sysctls.unwrap_or_default().into_keys().collect(),
        extra_hosts: host.extra_hosts.unwrap_or_default(),
        annotations: host.annotations.unwrap_or_default().into_keys().collect(),
        links: host.links.unwrap_or_default(),
        runtime: host.runtime.filter(|runtime| !["", USUAL_RUNTIME].contains(&runtime.as_str())),
        cgroup_parent: host.cgroup_parent.unwrap_or_default(),
        id,
    }
}

fn name_spaces(host: &HostConfig, mut networks: Vec<String>) -> NameSpaces {
    networks.sort();
    let text = |mode: &Option<String>| mode.clone().unwrap_or_default();
    NameSpaces {
        network: text(&host.network_mode),
        networks,
        pid: text(&host.pid_mode),
        ipc: text(&host.ipc_mode),
        uts: text(&host.uts_mode),
        user: text(&host.userns_mode),
        cgroup: host.cgroupns_mode.map(|mode| mode.to_string()).unwrap_or_default(),
    }
}

fn mount(point: &MountPoint) -> MountFact {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let kind = text(&point.typ);
    let source = if kind == "volume" { text(&point.name) } else { text(&point.source) };
    MountFact {
        // Those with a size or without are told from what was asked for.
        is_sized: kind == "tmpfs",
        kind,
        source,
        target: text(&point.destination),
        writable: point.rw.unwrap_or(true),
        driver: text(&point.driver),
    }
}

/// Every tmpfs as it was asked for, in either way of asking.
fn sized_tmpfs(host: &HostConfig) -> Vec<MountFact> {
    let fact = |target: String, is_sized| MountFact {
        kind: "tmpfs".to_owned(),
        target,
        is_sized,
        writable: true,
        ..MountFact::default()
    };
    let has_size = |options: &str| options.split(',').any(|option| option.starts_with("size="));
    let plain = host.tmpfs.iter().flatten().map(|(target, options)| fact(target.clone(), has_size(options)));
    let asked = host
        .mounts
        .iter()
        .flatten()
        .filter(|mount| mount.typ.as_ref().is_some_and(|kind| kind.to_string() == "tmpfs"));
    let mounted = asked.map(|mount| {
        let size = mount.tmpfs_options.as_ref().and_then(|options| options.size_bytes);
        fact(mount.target.clone().unwrap_or_default(), size.is_some_and(|size| size > 0))
    });
    plain.chain(mounted).collect()
}

/// Files of the `local` driver are turned over by the engine itself.
fn log(config: Option<&HostConfigLogConfig>) -> LogFact {
    let driver = config.and_then(|config| config.typ.clone()).unwrap_or_default();
    let options = config.and_then(|config| config.config.as_ref());
    let is_limited = driver == "local" || options.is_some_and(|options| options.contains_key("max-size"));
    LogFact { driver, is_limited }
}

fn published(host: &HostConfig) -> Vec<String> {
    let bound = host.port_bindings.iter().flatten();
    let mut ports: Vec<String> = bound
        .filter(|(_, bindings)| bindings.as_ref().is_some_and(|bindings| !bindings.is_empty()))
        .map(|(port, _)| port.clone())
        .collect();
    if host.publish_all_ports == Some(true) {
        ports.push("*".to_owned());
    }
    ports.sort();
    ports
}

fn paths_of(devices: Vec<bollard::models::DeviceMapping>) -> Vec<String> {
    devices.into_iter().map(|device| device.path_on_host.unwrap_or_default()).collect()
}

fn device_request(request: &DeviceRequest) -> DeviceRequestFact {
    let wanted = request.capabilities.iter().flatten().flatten();
    DeviceRequestFact {
        driver: request.driver.clone().unwrap_or_default(),
        is_gpu: wanted.into_iter().any(|capability| capability == "gpu"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(answer: serde_json::Value) -> Confinement {
        confinement("ff".to_owned(), serde_json::from_value(answer).unwrap())
    }

    #[test]
    fn an_inspect_answer_becomes_a_confinement() {
        let found = told(json!({
            "Name": "/drey-a-1-x-web-1",
            "Config": { "Labels": { "com.docker.compose.service": "web" } },
            "Mounts": [
                { "Type": "bind", "Source": "/d/binds/a", "Destination": "/a", "RW": false },
                { "Type": "volume", "Name": "drey-a-1-x_v", "Source": "/var/lib/v", "Destination": "/v", "Driver": "local", "RW": true },
                { "Type": "tmpfs", "Destination": "/t", "RW": true },
            ],
            "NetworkSettings": { "Networks": { "drey-a-1-x_default": {}, "drey-a-1-x_back": {} } },
            "HostConfig": {
                "Privileged": true, "Memory": 5, "MemorySwap": 5, "NanoCpus": 1, "PidsLimit": 9,
                "CapAdd": ["CAP_SYS_ADMIN"], "SecurityOpt": ["no-new-privileges:true"], "CgroupnsMode": "private",
                "NetworkMode": "drey-a-1-x_default", "PidMode": "host", "IpcMode": "private",
                "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m" } },
                "PortBindings": { "80/tcp": [{ "HostPort": "80" }], "81/tcp": [] },
                "Mounts": [{ "Type": "tmpfs", "Target": "/t", "TmpfsOptions": { "SizeBytes": 7 } }],
                "Tmpfs": { "/s": "rw,size=5", "/u": "rw" },
                "Devices": [{ "PathOnHost": "/dev/fuse" }],
                "DeviceRequests": [{ "Driver": "", "Capabilities": [["gpu"]] }],
                "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus"], "Runtime": "runc",
            }
        }));
        assert_eq!((found.name.as_str(), found.service.as_str()), ("drey-a-1-x-web-1", "web"));
        assert!(found.privileged && found.cpus_limited && found.hides_kernel && found.log.is_limited);
        assert_eq!((found.memory_bytes, found.swap_bytes, found.pids), (5, 5, 9));
        assert_eq!(found.name_spaces.networks, ["drey-a-1-x_back", "drey-a-1-x_default"]);
        assert_eq!((found.name_spaces.pid.as_str(), found.name_spaces.cgroup.as_str()), ("host", "private"));
        assert_eq!(
            (found.published, found.devices),
            (vec!["80/tcp".to_owned()], vec!["/dev/fuse".to_owned()])
        );
        assert_eq!(found.runtime, None);
        assert!(found.device_requests[0].is_gpu);
        let mut mounts: Vec<String> =
            found.mounts.iter().map(|it| format!("{} {} {}", it.kind, it.source, it.target)).collect();
        mounts.sort();
        assert_eq!(
            mounts,
            [
                "bind /d/binds/a /a",
                "tmpfs  /s",
                "tmpfs  /t",
                "tmpfs  /t",
                "tmpfs  /u",
                "volume drey-a-1-x_v /v"
            ]
        );
        let open: Vec<&str> = found
            .mounts
            .iter()
            .filter(|it| it.kind == "tmpfs" && !it.is_sized)
            .map(|it| it.target.as_str())
            .collect();
        assert_eq!(open, ["/u"]);
    }

    #[test]
    fn what_is_left_out_is_not_confined() {
        let found = told(json!({ "Mounts": [{ "Type": "bind", "Source": "/x" }] }));
        assert!(!found.hides_kernel && !found.cpus_limited && !found.log.is_limited);
        assert!(found.mounts[0].writable && found.pids == 0 && found.memory_bytes == 0);
    }
}
