//! A container that holds everything, and each border taken from it alone.

use serde_json::json;

use super::*;

const PROJECT: &str = "drey-ab-7-x";

fn sound() -> Confinement {
    let text = str::to_owned;
    Confinement {
        id: "1".repeat(64),
        name: format!("{PROJECT}-web-1"),
        service: "web".to_owned(),
        labels: BTreeMap::from([("drey.managed".to_owned(), "true".to_owned())]),
        cap_add: vec![text("CAP_CHOWN")],
        cap_drop: vec![text("CAP_NET_RAW"), text("MKNOD")],
        security_opt: vec![text("no-new-privileges:true")],
        hides_kernel: true,
        name_spaces: NameSpaces {
            network: format!("{PROJECT}_default"),
            networks: vec![format!("{PROJECT}_default"), format!("{PROJECT}_back")],
            ipc: text("private"),
            cgroup: text("private"),
            ..NameSpaces::default()
        },
        memory_bytes: 1 << 20,
        swap_bytes: 1 << 20,
        cpus_limited: true,
        pids: 100,
        log: LogFact { driver: text("json-file"), is_limited: true },
        mounts: vec![
            mount("bind", "/data/environments/7/binds/ab/file", false),
            mount("volume", &format!("{PROJECT}_data"), true),
            mount("volume", &"a".repeat(64), true),
            MountFact { is_sized: true, ..mount("tmpfs", "", true) },
            mount("image", "sha256:1", false),
        ],
        volumes_from: vec![format!("{}:ro", "1".repeat(64))],
        ..Confinement::default()
    }
}

fn mount(kind: &str, source: &str, writable: bool) -> MountFact {
    let (kind, source, target) = (kind.to_owned(), source.to_owned(), "/x".to_owned());
    MountFact { kind, source, target, writable, driver: String::new(), is_sized: false }
}

/// The rules of all breaches, with what the operator allows and puts on the service.
fn rules(container: &Confinement, allow: &[&str], overlay: &Value) -> Vec<&'static str> {
    let allow: Vec<String> = allow.iter().map(ToString::to_string).collect();
    let expected = Expected {
        project: &ProjectName::from_stored(PROJECT.to_owned()),
        labels: &BTreeMap::from([("drey.managed".to_owned(), "true".to_owned())]),
        document: &json!({"services": {"web": {"cgroup": "private", "cgroup_parent": "drey.slice"}}}),
        overlay: &json!({"services": {"web": overlay}}),
        folders: &[PathBuf::from("/data/environments/7/binds"), PathBuf::from("/run/drey/ab/7")],
        permissions: &Permissions::new(&allow, &[]).unwrap(),
    };
    let container =
        Confinement { cgroup_parent: format!("{}drey.slice", container.cgroup_parent), ..container.clone() };
    breaches(&[container], &expected).iter().map(|breach| breach.rule.as_str()).collect()
}

#[track_caller]
fn breached(rule: &str, change: impl FnOnce(&mut Confinement)) {
    let mut container = sound();
    change(&mut container);
    assert_eq!(rules(&container, &[], &json!({})), [rule]);
}

#[track_caller]
fn granted(allow: &[&str], overlay: &Value, change: impl FnOnce(&mut Confinement)) {
    let mut container = sound();
    change(&mut container);
    assert_eq!(rules(&container, allow, overlay), [""; 0]);
}

fn of(text: &str) -> String {
    text.to_owned()
}

#[test]
fn what_holds_everything_is_no_breach() {
    granted(&[], &json!({}), |_| {});
    granted(&[], &json!({}), |it| it.mounts.push(mount("bind", "/run/drey/ab/7/token", false)));
    for mode in ["container:1111111111111111111111111111111111111111111111111111111111111111", "none"] {
        granted(&[], &json!({}), |it| it.name_spaces.network = of(mode));
    }
}

#[test]
fn powers() {
    breached("PRIV", |it| it.privileged = true);
    for name in ["SYS_ADMIN", "CAP_SYS_PTRACE", "cap_net_raw", "ALL"] {
        breached("CAP", |it| it.cap_add.push(of(name)));
    }
    breached("CAP", |it| it.cap_drop = vec![of("CAP_NET_RAW")]);
    breached("SECOPT", |it| it.security_opt = vec![]);
    breached("SECOPT", |it| it.security_opt.push(of("seccomp=unconfined")));
    breached("SECOPT", |it| it.hides_kernel = false);
    breached("DEV", |it| it.devices.push(of("/dev/kmsg")));
    breached("DEV", |it| it.device_rules.push(of("c 1:3 rwm")));
    breached("DEV", |it| it.device_requests.push(DeviceRequestFact { driver: of("cdi"), is_gpu: true }));
    breached("SYSCTL", |it| it.sysctls.push(of("kernel.msgmax")));
    breached("ANNOT", |it| it.annotations.push(of("org.systemd.property.x")));
    breached("RUNTIME", |it| it.runtime = Some(of("other")));
}

#[test]
fn spaces() {
    for mode in ["host", "bridge", "default", "", "other_net", "container:2"] {
        breached("NETNS", |it| it.name_spaces.network = of(mode));
    }
    for name in ["bridge", "drey-ab-7", "drey-ab-70-x_default", "host"] {
        breached("EXTNET", |it| it.name_spaces.networks.push(of(name)));
    }
    for mode in ["host", "container:2"] {
        breached("PIDNS", |it| it.name_spaces.pid = of(mode));
        breached("IPCNS", |it| it.name_spaces.ipc = of(mode));
    }
    breached("UTSNS", |it| it.name_spaces.uts = of("host"));
    breached("USERNS", |it| it.name_spaces.user = of("host"));
    breached("CGROUP", |it| it.name_spaces.cgroup = of("host"));
    breached("CGROUP", |it| it.cgroup_parent = of("/other/"));
    breached("PORT", |it| it.published.push(of("80/tcp")));
    breached("EXTLINK", |it| it.links.push(of("/other:/db")));
    for entry in ["a:host-gateway", "m=169.254.169.254", "x"] {
        breached("HOSTGW", |it| it.extra_hosts.push(of(entry)));
    }
}

#[test]
fn files() {
    for source in [
        "/etc/passwd",
        "/var/run/docker.sock",
        "/data/environments/7/binds",
        "/data/environments/7/binds/../../8/x",
        "/data/environments/70/binds/ab",
        "/data/environments/7/compose.json",
    ] {
        breached("BIND", |it| it.mounts.push(mount("bind", source, false)));
    }
    breached("BIND", |it| it.mounts.push(mount("bind", "/data/environments/7/binds/ab", true)));
    breached("BIND", |it| it.mounts.push(mount("npipe", "x", false)));
    breached("EXTVOL", |it| it.mounts.push(mount("volume", "drey-ab-8-y_data", true)));
    breached("EXTVOL", |it| it.mounts.push(mount("volume", &"g".repeat(64), true)));
    breached("VOLDRV", |it| {
        it.mounts.push(MountFact { driver: of("nfs"), ..mount("volume", &format!("{PROJECT}_x"), true) });
    });
    breached("LIMITS", |it| it.mounts.push(mount("tmpfs", "", true)));
    breached("VOLFROM", |it| it.volumes_from.push(of("2")));
}

#[test]
fn limits() {
    breached("LIMITS", |it| it.memory_bytes = 0);
    breached("LIMITS", |it| it.swap_bytes = -1);
    breached("LIMITS", |it| it.cpus_limited = false);
    breached("LIMITS", |it| it.pids = -1);
    breached("LIMITS", |it| it.oom_kill_disabled = true);
    breached("LIMITS", |it| it.oom_score = -500);
    breached("LOG", |it| it.log.driver = of("syslog"));
    breached("LOG", |it| it.log.is_limited = false);
    breached("LABEL", |it| it.labels.clear());
}

#[test]
fn what_the_operator_grants_is_no_breach() {
    granted(&["cap:SYS_PTRACE"], &json!({}), |it| it.cap_add.push(of("CAP_SYS_PTRACE")));
    granted(&["cap:NET_RAW"], &json!({}), |it| it.cap_add.push(of("NET_RAW")));
    granted(&["device:/dev/fuse"], &json!({}), |it| it.devices.push(of("/dev/fuse")));
    granted(&["gpus"], &json!({}), |it| {
        it.device_requests.push(DeviceRequestFact { driver: String::new(), is_gpu: true });
    });
    granted(&["bind-rw"], &json!({}), |it| it.mounts.push(mount("bind", "/run/drey/ab/7/x", true)));
    granted(&["extra-host:203.0.113.7"], &json!({}), |it| it.extra_hosts.push(of("a:203.0.113.7")));
    granted(&["sysctl:kernel.msgmax"], &json!({}), |it| it.sysctls.push(of("kernel.msgmax")));
}

#[test]
fn what_the_operator_puts_on_every_service_is_no_breach() {
    let overlay = json!({
        "runtime": "other", "logging": {"driver": "journald"}, "volumes": ["/etc/ssl/certs:/etc/ssl/certs:ro"],
        "security_opt": ["apparmor=strict"], "cap_add": ["SYS_PTRACE"], "extra_hosts": ["mail:10.0.0.5"],
    });
    granted(&[], &overlay, |it| {
        it.runtime = Some(of("other"));
        it.log = LogFact { driver: of("journald"), is_limited: false };
        it.mounts.push(mount("bind", "/etc/ssl/certs", false));
        it.security_opt.push(of("apparmor=strict"));
        it.cap_add.push(of("CAP_SYS_PTRACE"));
        it.extra_hosts.push(of("mail:10.0.0.5"));
    });
    let mut container = sound();
    container.privileged = true;
    assert_eq!(rules(&container, &[], &json!({"privileged": true})), ["PRIV"], "nobody may have that");
}

#[test]
fn a_breach_says_who_and_what() {
    let mut container = sound();
    container.privileged = true;
    let expected = Expected {
        project: &ProjectName::from_stored(PROJECT.to_owned()),
        labels: &BTreeMap::new(),
        document: &json!({}),
        overlay: &json!({}),
        folders: &[PathBuf::from("/data/environments/7/binds")],
        permissions: &Permissions::default(),
    };
    let found = breaches(&[container], &expected);
    assert_eq!(found[0].to_string(), "web (PRIV): container drey-ab-7-x-web-1 is privileged");
}
