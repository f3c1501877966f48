//! An own opinion on what is about to be deployed. It shares nothing with the policy but the promise: whatever is here
//! and not known to be harmless is a fault.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// Keys that a deployed service may have without a closer look.
const HARMLESS: [&str; 31] = [
    "attach",
    "command",
    "cpus",
    "depends_on",
    "domainname",
    "entrypoint",
    "group_add",
    "hostname",
    "init",
    "mem_limit",
    "memswap_limit",
    "pids_limit",
    "platform",
    "pull_refresh_after",
    "read_only",
    "restart",
    "stdin_open",
    "stop_signal",
    "tty",
    "user",
    "working_dir",
    "configs",
    "secrets",
    "links",
    "stop_grace_period",
    "oom_score_adj",
    "shm_size",
    "scale",
    "ulimits",
    "healthcheck",
    "env_file",
];
const CAPABILITIES: [&str; 12] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What belongs to the environment.
pub(crate) struct Own<'a> {
    pub(crate) project: &'a str,
    pub(crate) binds: &'a str,
    pub(crate) checkout: &'a str,
    /// The image that drey built.
    pub(crate) built: &'a str,
}

/// Everything in a deployed document that must not be there.
pub(crate) fn faults(document: &Value, own: &Own<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in document.as_object().unwrap() {
        match key.as_str() {
            "name" if value == own.project => {}
            "version" => {}
            "services" => each(value).for_each(|(name, it)| service(&mut found, name, it, document, own)),
            "networks" | "volumes" => each(value).for_each(|(name, it)| {
                let fine =
                    it["external"] == true && text(&it["name"]).starts_with(&format!("{}_", own.project));
                if !fine || it.as_object().unwrap().len() != 2 {
                    found.push(format!("{key}.{name}: {it}"));
                }
            }),
            "configs" | "secrets" => each(value).for_each(|(name, it)| {
                let known = it
                    .as_object()
                    .unwrap()
                    .keys()
                    .all(|key| ["name", "content", "labels"].contains(&key.as_str()));
                if !known || !text(&it["name"]).starts_with(&format!("{}_", own.project)) {
                    found.push(format!("{key}.{name}: {it}"));
                }
            }),
            _ => found.push(format!("{key}: {value}")),
        }
    }
    found
}

fn service(found: &mut Vec<String>, name: &str, service: &Value, document: &Value, own: &Own<'_>) {
    let has = |key: &str, item: &str| list(&service[key]).iter().any(|it| text(it) == item);
    let guarded = has("security_opt", "no-new-privileges:true")
        && (has("cap_drop", "ALL") || (has("cap_drop", "NET_RAW") && has("cap_drop", "MKNOD")))
        && service["cgroup"] == "private"
        && ["mem_limit", "cpus", "pids_limit"]
            .iter()
            .all(|key| service[*key].as_f64().is_some_and(|it| it > 0.0))
        && service["logging"]["driver"] == "json-file"
        && service["logging"]["options"]["max-size"].is_string();
    if !guarded {
        found.push(format!("services.{name}: a guard or a limit is not there"));
    }
    for (key, value) in service.as_object().unwrap() {
        if !is_fine(key, value, document, own) {
            found.push(format!("services.{name}.{key}: {value}"));
        }
    }
}

fn is_fine(key: &str, value: &Value, document: &Value, own: &Own<'_>) -> bool {
    let is_service = |name: &str| document["services"].get(name).is_some();
    let of_service = |mode: &str| mode.strip_prefix("service:").is_some_and(is_service);
    match key {
        "env_file" => list(value).iter().all(|it| {
            let path = it["path"].as_str().unwrap_or_else(|| text(it));
            path.starts_with(&format!("{}/", own.checkout)) && !path.contains("..")
        }),
        "healthcheck" => !text(&value["interval"]).ends_with("ms"),
        "oom_score_adj" => value.as_i64().is_some_and(|score| score >= 0),
        "shm_size" => number(value) <= 256 << 20,
        "scale" => number(value) <= 10,
        "ulimits" => {
            each(value).all(|(name, _)| ["core", "memlock", "nofile", "nproc"].contains(&name.as_str()))
        }
        "links" => list(value).iter().all(|it| is_service(text(it).split(':').next().unwrap())),
        _ if HARMLESS.contains(&key) => true,
        "cap_drop" | "logging" => true,
        "cap_add" => list(value).iter().all(|it| {
            let name = text(it).to_ascii_uppercase();
            CAPABILITIES.contains(&name.strip_prefix("CAP_").unwrap_or(&name))
        }),
        "security_opt" => list(value)
            .iter()
            .all(|it| text(it).starts_with("no-new-privileges") && !text(it).ends_with("false")),
        "cgroup" => value == "private",
        "pull_policy" => value == "never",
        "network_mode" => text(value) == "none" || of_service(text(value)),
        "pid" => of_service(text(value)),
        "ipc" => ["private", "shareable", "none"].contains(&text(value)) || of_service(text(value)),
        "dns" => list(value).iter().all(|it| text(it).parse::<IpAddr>().is_ok_and(is_far)),
        "environment" => each(value).all(|(_, it)| !it.is_null()),
        "image" => value == own.built || is_public_image(text(value)),
        "labels" => each(value).all(|(name, _)| is_plain_label(name)),
        "sysctls" => {
            each(value).all(|(name, _)| name.starts_with("net.ipv4.tcp_") || name == "net.core.somaxconn")
        }
        "tmpfs" => list(value).iter().all(|it| {
            let size = text(it).rsplit_once("size=").map(|(_, size)| size);
            size.and_then(|size| size.parse::<u64>().ok()).is_some_and(|size| size <= 256 << 20)
        }),
        "networks" => each(value).all(|(name, it)| {
            let allowed = ["aliases", "priority", "gw_priority", "interface_name"];
            document["networks"].get(name).is_some()
                && each(it).all(|(key, _)| allowed.contains(&key.as_str()))
        }),
        "volumes" => list(value).iter().all(|it| is_fine_mount(it, document, own)),
        "volumes_from" => list(value).iter().all(|it| is_service(text(it).split(':').next().unwrap())),
        "post_start" | "pre_stop" | "pre_start" => list(value).iter().all(|hook| {
            each(hook).all(|(key, it)| match key.as_str() {
                "command" | "user" | "working_dir" | "per_replica" => true,
                "environment" => each(it).all(|(_, it)| !it.is_null()),
                "image" => is_public_image(text(it)),
                "privileged" => it == false,
                _ => false,
            })
        }),
        // Empty or false is nothing.
        _ => value.is_null() || value == false || value == "" || value.as_array().is_some_and(Vec::is_empty),
    }
}

fn is_fine_mount(mount: &Value, document: &Value, own: &Own<'_>) -> bool {
    match text(&mount["type"]) {
        "bind" => {
            let source = text(&mount["source"]);
            let propagates = mount["bind"].get("propagation").is_some();
            source.starts_with(own.binds)
                && !source.contains("..")
                && mount["read_only"] == true
                && !propagates
        }
        "volume" => {
            let subpath = text(&mount["volume"]["subpath"]);
            let source = text(&mount["source"]);
            (source.is_empty() || document["volumes"].get(source).is_some())
                && !subpath.starts_with('/')
                && !subpath.split('/').any(|part| part == "..")
        }
        "tmpfs" => (1..=256 << 20).contains(&number(&mount["tmpfs"]["size"])),
        "image" => is_public_image(text(&mount["source"])),
        _ => false,
    }
}

/// drey's own labels are there with drey's values; only those of others are looked at.
fn is_plain_label(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let known = [
        "drey.service",
        "drey.branch",
        "drey.content",
        "drey.port",
        "drey.host",
        "drey.scheme",
        "drey.primary",
        "drey.ready.path",
        "drey.ready.within",
        "drey.upstream.ca",
        "drey.upstream.server-name",
        "drey.upstream.verify",
        "drey.upstream.client-cert",
        "drey.lb",
        "drey.sticky",
        "drey.timeout",
        "drey.metrics.port",
        "drey.metrics.path",
    ];
    known.contains(&name.as_str())
        || !["drey.", "com.docker.", "traefik", "caddy"].iter().any(|it| name.starts_with(it))
}

fn is_public_image(name: &str) -> bool {
    !name.is_empty()
        && ![
            "drey/",
            "docker.io/drey/",
            "sha256:",
            "localhost:",
            "localhost/",
            "127.0.0.1:",
            "127.0.0.1/",
            "drey-ab",
        ]
        .iter()
        .any(|it| name.starts_with(it))
}

fn is_far(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => !(it.is_loopback() || it.is_private() || it.is_link_local() || it.is_unspecified()),
        IpAddr::V6(it) => !(it.is_loopback() || it.is_unspecified() || it.is_unicast_link_local()),
    }
}

fn each(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().map(Map::iter).into_iter().flatten()
}

/// A list, or the one item that stands for it.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(u64::MAX)
}
