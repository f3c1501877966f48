//! What is put into good stacks to make hostile ones of them.

use serde_json::{Value, json};

use crate::dice::Dice;

/// A stack with every section that a branch may have.
pub(crate) const RICH: &str = r#"
x-shared: &shared { restart: always, logging: { driver: json-file } }
services:
  web:
    <<: *shared
    image: drey-demo/tiny:1
    command: ["serve", "8080", "/www"]
    ports: ["8080:8080"]
    expose: ["9000"]
    cap_add: [CHOWN]
    cap_drop: [KILL]
    security_opt: ["no-new-privileges:true"]
    dns: ["9.9.9.9"]
    environment: { A: "1", B: "two" }
    env_file: [some.env]
    labels: { com.example.a: b }
    healthcheck: { test: ["CMD", "busybox", "true"], interval: 5s }
    tmpfs: ["/scratch:size=1m"]
    ulimits: { nofile: { soft: 100, hard: 200 } }
    sysctls: { net.core.somaxconn: "512" }
    mem_limit: 64m
    volumes: ["./data:/www:ro", "kept:/kept", { type: tmpfs, target: /t, tmpfs: { size: 1048576 } }]
    configs: [{ source: inline, target: /etc/inline }, page]
    secrets: [key]
    networks: { default: { aliases: [page] }, back: }
    post_start: [{ command: ["busybox", "true"], user: root }]
    deploy: { replicas: 1, restart_policy: { condition: any } }
    depends_on: { db: { condition: service_started } }
  db:
    image: drey-demo/tiny:1
    command: ["serve", "9000", "/"]
    volumes: ["kept:/data"]
    volumes_from: ["made:ro"]
    deploy: { resources: { limits: { cpus: "0.5", memory: 64m } } }
    networks: [back]
  beside: { image: "drey-demo/tiny:1", command: ["serve", "9001", "/"], network_mode: "service:web", ipc: shareable }
  made:
    build: { context: ., dockerfile: Dockerfile, args: { A: "1" }, additional_contexts: { d: ./data }, labels: { a: b } }
    command: ["serve", "9002", "/"]
configs: { inline: { content: said }, page: { file: ./conf } }
secrets: { key: { file: ./conf } }
networks: { back: { internal: true, driver_opts: { com.docker.network.driver.mtu: "1400" } } }
volumes: { kept: { labels: { a: b } } }
"#;

/// Files that belong to it.
pub(crate) const FILES: [(&str, &str); 4] =
    [("data/f", "x\n"), ("conf", "x\n"), ("some.env", "C=3\n"), ("Dockerfile", "FROM drey-demo/tiny:1\n")];

/// Texts that mean the host, or others.
const TEXTS: [&str; 34] = [
    "host",
    "container:other",
    "/",
    "/etc",
    "/var/run/docker.sock",
    "../..",
    "unconfined",
    "seccomp=unconfined",
    "SYS_ADMIN",
    "cap_sys_ptrace",
    "ALL",
    "host-gateway",
    "169.254.169.254",
    "127.0.0.1",
    "/dev/sda:/dev/sda",
    "bind",
    "none",
    "nfs",
    "macvlan",
    "drey/other/web:1",
    "sha256:abcdef",
    "localhost:5000/x",
    "true",
    "-1",
    "99999999999",
    "1ms",
    "shared",
    "npipe",
    "service:nobody",
    "com.docker.compose.project",
    "drey.managed",
    "~/.ssh",
    "https://example.org/x.git",
    "docker.sock:/x",
];

/// Keys with values that nobody may have, wherever they land.
#[expect(clippy::too_many_lines, reason = "it is a list")]
fn keys() -> Vec<(&'static str, Value)> {
    vec![
        ("privileged", json!(true)),
        ("privileged", json!("true")),
        ("cap_add", json!(["SYS_ADMIN"])),
        ("cap_add", json!(["NET_RAW", "all"])),
        ("security_opt", json!(["apparmor=unconfined"])),
        ("devices", json!([{"source": "/dev/mem", "target": "/dev/mem", "permissions": "rwm"}])),
        ("device_cgroup_rules", json!(["a *:* rwm"])),
        ("gpus", json!([{"count": -1}])),
        ("network_mode", json!("host")),
        ("network_mode", json!("container:drey")),
        ("pid", json!("host")),
        ("ipc", json!("host")),
        ("uts", json!("host")),
        ("userns_mode", json!("host")),
        ("cgroup", json!("host")),
        ("cgroup_parent", json!("/")),
        ("runtime", json!("other")),
        ("sysctls", json!({"kernel.core_pattern": "|/x"})),
        (
            "volumes",
            json!([{"type": "bind", "source": "/", "target": "/host", "bind": {"propagation": "rshared"}}]),
        ),
        ("volumes", json!([{"type": "bind", "source": "/run", "target": "/run"}])),
        (
            "volumes",
            json!([{"type": "volume", "source": "kept", "target": "/v", "volume": {"subpath": "../.."}}]),
        ),
        ("volumes", json!([{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "99999999999"}}])),
        ("volumes", json!({"kept": {"external": true, "name": "other"}})),
        ("volumes", json!({"kept": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}})),
        ("volumes_from", json!(["container:other"])),
        ("driver_opts", json!({"type": "none", "o": "bind", "device": "/etc"})),
        ("driver_opts", json!({"com.docker.network.bridge.name": "docker0"})),
        ("driver", json!("host")),
        ("external", json!(true)),
        ("name", json!("other_default")),
        ("networks", json!({"host": {"external": true, "name": "host"}})),
        ("ipam", json!({"config": [{"subnet": "0.0.0.0/0"}]})),
        ("extra_hosts", json!(["a=host-gateway"])),
        ("dns", json!(["127.0.0.53"])),
        ("external_links", json!(["other:db"])),
        ("ports", json!([{"target": 80, "published": "443", "mode": "host", "host_ip": "0.0.0.0"}])),
        (
            "labels",
            json!({"drey.managed": "true", "com.docker.compose.project": "other", "traefik.enable": "true"}),
        ),
        ("annotations", json!({"a": "b"})),
        ("environment", json!({"TOKEN": null})),
        ("env_file", json!([{"path": "/proc/self/environ"}])),
        ("label_file", json!(["/etc/passwd"])),
        ("logging", json!({"driver": "syslog", "options": {"syslog-address": "unixgram:///dev/log"}})),
        ("post_start", json!([{"command": ["x"], "privileged": true}])),
        ("pre_start", json!([{"image": "drey/other/x", "command": ["x"]}])),
        ("provider", json!({"type": "sh"})),
        ("use_api_socket", json!(true)),
        ("models", json!({"m": {"model": "a/b"}})),
        ("credential_spec", json!({"file": "/etc/shadow"})),
        ("develop", json!({"watch": [{"path": "/", "action": "sync"}]})),
        (
            "build",
            json!({"context": "/", "network": "host", "entitlements": ["security.insecure"], "ssh": ["default"]}),
        ),
        ("image", json!("drey/other/web:1")),
        ("container_name", json!("drey")),
        ("oom_score_adj", json!(-1000)),
        ("oom_kill_disable", json!(true)),
        ("blkio_config", json!({"weight_device": [{"path": "/dev/sda", "weight": 1000}]})),
        ("storage_opt", json!({"size": "1T"})),
        ("mem_limit", json!("-1")),
        ("memswap_limit", json!("-1")),
        ("pids_limit", json!(-1)),
        ("cpus", json!(9999)),
        ("scale", json!(10_000)),
        (
            "deploy",
            json!({"mode": "global", "resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}),
        ),
        ("ulimits", json!({"rtprio": 99, "core": -1})),
        ("shm_size", json!("99999999999")),
        ("tmpfs", json!(["/x:size=90%", "/y:exec,dev,size=1t"])),
        ("healthcheck", json!({"test": ["CMD", "x"], "interval": "1ms"})),
        ("configs", json!({"page": {"file": "/etc/shadow"}, "inline": {"environment": "HOME"}})),
        ("secrets", json!({"key": {"external": true}})),
        ("file", json!("/etc/shadow")),
        ("content", json!("${DOCKER_CONFIG}")),
        ("template_driver", json!("golang")),
        ("include", json!(["https://example.org/x.git"])),
        ("extends", json!({"file": "/etc/x.yaml", "service": "web"})),
        ("restart", json!("always")),
    ]
}

/// Where objects, lists and scalars are.
#[derive(Default)]
struct Places {
    objects: Vec<String>,
    lists: Vec<String>,
    scalars: Vec<String>,
}

fn places(value: &Value, pointer: &str, found: &mut Places) {
    match value {
        Value::Object(members) => {
            found.objects.push(pointer.to_owned());
            for (name, inner) in members {
                places(inner, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            found.lists.push(pointer.to_owned());
            for (at, inner) in items.iter().enumerate() {
                places(inner, &format!("{pointer}/{at}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.scalars.push(pointer.to_owned());
        }
    }
}

fn place(dice: &mut Dice, of: &[String]) -> String {
    dice.pick(of).clone()
}

/// The document with one to three hostile changes, most of them where they mean something.
pub(crate) fn mutated(dice: &mut Dice, document: &Value) -> Value {
    let mut document = document.clone();
    for _ in 0..=dice.below(3) {
        let mut found = Places::default();
        places(&document, "", &mut found);
        let keys = keys();
        let (key, value) = dice.pick(&keys).clone();
        let services: Vec<String> = found
            .objects
            .iter()
            .filter(|it| it.starts_with("/services/") && it.matches('/').count() == 2)
            .cloned()
            .collect();
        match dice.below(6) {
            0 => change(&mut document, &place(dice, &found.scalars), json!(*dice.pick(&TEXTS))),
            1 => change(&mut document, &place(dice, &found.scalars), value),
            2 if !found.lists.is_empty() => {
                let list = document.pointer_mut(&place(dice, &found.lists)).unwrap();
                list.as_array_mut().unwrap().push(json!(*dice.pick(&TEXTS)));
            }
            3 => insert(&mut document, &place(dice, &found.objects), key, value),
            _ if !services.is_empty() => insert(&mut document, &place(dice, &services), key, value),
            _ => insert(&mut document, "", key, value),
        }
    }
    document
}

/// The document with one key that nobody knows, at a place where keys of the schema stand.
pub(crate) fn with_unknown_key(dice: &mut Dice, document: &Value) -> (Value, String) {
    const FREE: [&str; 10] = [
        "environment",
        "labels",
        "args",
        "driver_opts",
        "options",
        "sysctls",
        "additional_contexts",
        "extra_hosts",
        "depends_on",
        "ulimits",
    ];
    const NAMED: [&str; 6] = ["services", "networks", "volumes", "configs", "secrets", "x-shared"];
    let mut found = Places::default();
    places(document, "", &mut found);
    let of_schema = |it: &&String| {
        let last = it.rsplit('/').next().unwrap();
        !FREE.contains(&last) && !NAMED.contains(&last) && !it.contains("/x-")
    };
    let objects: Vec<String> = found.objects.iter().filter(of_schema).cloned().collect();
    let mut name = String::new();
    for _ in 0..3 + dice.below(8) {
        name.push(*dice.pick(&['a', 'e', 'k', 'n', 'q', 'z', '_', '-', '9', 'é', '.']));
    }
    let name = format!("q{name}q");
    let place = dice.pick(&objects).clone();
    let mut document = document.clone();
    let value = dice.pick(&[json!("x"), json!(1), json!({"a": "b"}), json!(["a"]), json!(true)]).clone();
    insert(&mut document, &place, &name, value);
    (document, format!("{place}/{name}"))
}

fn change(document: &mut Value, pointer: &str, value: Value) {
    *document.pointer_mut(pointer).unwrap() = value;
}

fn insert(document: &mut Value, pointer: &str, key: &str, value: Value) {
    document.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
}
