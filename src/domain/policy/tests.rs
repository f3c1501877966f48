//! Small documents, one per rule family, and the property that nothing unknown passes.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ROOT: &str = "/checkout";

fn facts() -> CheckoutFacts {
    let paths = [
        ("", PathFact::Root),
        ("/data", PathFact::Directory),
        ("/conf", PathFact::File),
        ("/gone", PathFact::Missing),
        ("/out", PathFact::Outside),
        ("/.git/hooks", PathFact::Git),
        ("/socket", PathFact::Special),
        ("/Dockerfile", PathFact::File),
        ("/data/../out", PathFact::Outside),
        ("/a$b", PathFact::Directory),
        ("/c$$d", PathFact::Directory),
        ("/c$d", PathFact::Outside),
    ];
    CheckoutFacts {
        root: PathBuf::from(ROOT),
        paths: paths.into_iter().map(|(path, fact)| (PathBuf::from(format!("{ROOT}{path}")), fact)).collect(),
    }
}

/// A document with one service that has these keys besides an image.
fn with_service(keys: &Value) -> Value {
    let mut service = json!({"image": "busybox:1.36", "command": null, "networks": {"default": null}});
    merge(&mut service, keys);
    json!({
        "name": "p",
        "services": {"web": service, "db": {"image": "postgres:16"}},
        "networks": {"default": {"name": "p_default", "ipam": {}}},
        "volumes": {"data": {"name": "p_data"}},
        "configs": {"c": {"name": "p_c", "content": "x"}},
        "secrets": {"s": {"name": "p_s", "file": "/checkout/conf"}}
    })
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn verdict(document: &Value) -> Verdict {
    judge(document, &facts(), &Permissions::default())
}

/// The rules of all refusals.
fn refusals(document: &Value) -> Vec<&'static str> {
    verdict(document).rejections().map(|finding| finding.rule.as_str()).collect()
}

#[track_caller]
fn refused(rule: &str, keys: &Value) {
    let rules = refusals(&with_service(keys));
    assert!(rules.contains(&rule), "{keys}: {rules:?}");
}

#[track_caller]
fn accepted(keys: &Value) -> Value {
    let document = with_service(keys);
    let verdict = verdict(&document);
    assert!(verdict.is_accepted(), "{keys}: {:?}", verdict.findings);
    neutralised(&document, &verdict)["services"]["web"].take()
}

/// The keys of the findings that change something, announcements of default limits apart.
fn changes(document: &Value) -> Vec<String> {
    let findings =
        verdict(document).findings.into_iter().filter(|finding| !finding.message.contains("default limits"));
    findings.map(|finding| finding.key).collect()
}

#[test]
fn privileges_are_refused() {
    for value in [json!(true), json!("true"), json!("yes"), json!(1), json!("false")] {
        refused("PRIV", &json!({"privileged": value}));
    }
    accepted(&json!({"privileged": false}));
    for name in ["SYS_ADMIN", "cap_sys_ptrace", "net_admin", "ALL", "CAP_ALL", " SYS_ADMIN"] {
        refused("CAP", &json!({"cap_add": [name]}));
    }
    accepted(&json!({"cap_add": ["CHOWN", "cap_net_bind_service"], "cap_drop": ["ALL"]}));
    assert_eq!(accepted(&json!({"cap_add": ["cap_net_raw", "CHOWN", "MKNOD"]}))["cap_add"], json!(["CHOWN"]));
    let granted = Permissions::new(&["cap:NET_RAW".to_owned()], &["*".to_owned()]).unwrap();
    let asking = with_service(&json!({"cap_add": ["NET_RAW", "MKNOD"]}));
    let made = neutralised(&asking, &judge(&asking, &facts(), &granted));
    assert_eq!(made["services"]["web"]["cap_add"], json!(["NET_RAW"]));
    for option in [
        "seccomp:unconfined",
        "apparmor=unconfined",
        "label:disable",
        "systempaths=unconfined",
        "no-new-privileges:false",
    ] {
        refused("SECOPT", &json!({"security_opt": [option]}));
    }
    accepted(&json!({"security_opt": ["no-new-privileges:true"]}));
    for (rule, keys) in [
        ("DEV", json!({"devices": [{"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rwm"}]})),
        ("DEV", json!({"device_cgroup_rules": ["c 1:3 rwm"]})),
        ("DEV", json!({"gpus": [{"count": -1}]})),
        ("DEV", json!({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}})),
        ("RUNTIME", json!({"runtime": "nvidia"})),
        ("ANNOT", json!({"annotations": {"org.systemd.property.x": "1"}})),
        ("APISOCK", json!({"use_api_socket": true})),
        ("PROVIDER", json!({"provider": {"type": "./evil", "options": {"a": ["b"]}}})),
        ("MODEL", json!({"models": {"llm": {}}})),
        ("FILEREF", json!({"credential_spec": {"file": "/etc/shadow"}})),
    ] {
        refused(rule, &keys);
    }
}

#[test]
fn name_spaces_are_the_containers_own() {
    for (rule, key, bad, good) in [
        (
            "NETNS",
            "network_mode",
            vec!["host", "bridge", "default", "container:x", "HOST", "service:other", "p_default"],
            vec!["none", "service:db"],
        ),
        ("PIDNS", "pid", vec!["host", "container:x", "service:other", "private"], vec!["service:db"]),
        (
            "IPCNS",
            "ipc",
            vec!["host", "container:x", "service:"],
            vec!["private", "shareable", "none", "service:db"],
        ),
        ("UTSNS", "uts", vec!["host", "private"], vec![]),
        ("USERNS", "userns_mode", vec!["host", "keep-id"], vec![]),
        ("CGROUP", "cgroup", vec!["host"], vec!["private"]),
        ("CGROUP", "cgroup_parent", vec!["/"], vec![]),
    ] {
        for value in bad {
            refused(rule, &json!({key: value}));
        }
        for value in good {
            assert_eq!(accepted(&json!({key: value}))[key], value);
        }
    }
    for name in [
        "kernel.msgmax",
        "fs.file-max",
        "vm.overcommit_memory",
        "net.ipv4.ip_forward",
        "net.ipv4.tcp_/../../x",
        "net.ipv4.tcp_",
    ] {
        refused("SYSCTL", &json!({"sysctls": {name: "1"}}));
    }
    refused("SYSCTL", &json!({"sysctls": {"net.core.somaxconn": "1"}, "network_mode": "service:db"}));
    accepted(&json!({"sysctls": {"net.core.somaxconn": "1024", "net.ipv4.tcp_syncookies": "0"}}));
}

#[test]
fn binds_stay_in_the_checkout_and_become_read_only() {
    for source in [
        "/etc",
        "/checkout/out",
        "/checkout/gone",
        "/checkout/.git/hooks",
        "/checkout/socket",
        "/checkout/never-looked-at",
        "",
        "~/.ssh",
        "data",
    ] {
        refused(
            "BIND",
            &json!({"volumes": [{"type": "bind", "source": source, "target": "/x", "read_only": true}]}),
        );
    }
    for kind in ["npipe", "cluster", "other"] {
        refused("BIND", &json!({"volumes": [{"type": kind, "source": "data", "target": "/x"}]}));
    }
    refused("YAML", &json!({"volumes": ["/etc:/etc"]}));
    refused(
        "BIND",
        &json!({"volumes": [{"type": "bind", "source": "/checkout/data", "target": "/x", "read_only": true, "bind": {"propagation": "rshared"}}]}),
    );
    refused("BIND", &json!({"volumes": [{"type": "volume", "source": "undeclared", "target": "/x"}]}));
    refused(
        "BIND",
        &json!({"volumes": [{"type": "volume", "source": "data", "target": "/x", "volume": {"subpath": "a/../.."}}]}),
    );
    refused("IMAGE", &json!({"volumes": [{"type": "image", "source": "drey/other/api:1", "target": "/x"}]}));
    let made = accepted(&json!({"volumes": [
        {"type": "bind", "source": "/checkout/data", "target": "/a", "bind": {"create_host_path": true}},
        {"type": "bind", "source": "/checkout/conf", "target": "/b", "read_only": true, "bind": {}},
        {"type": "volume", "source": "data", "target": "/c", "volume": {}},
        {"type": "volume", "target": "/d", "volume": {}},
        {"type": "tmpfs", "target": "/e"},
        {"type": "tmpfs", "target": "/f", "tmpfs": {"size": "99999999999", "mode": 493}},
    ]}));
    assert_eq!(made["volumes"][0]["read_only"], true);
    assert_eq!(made["volumes"][0]["bind"]["create_host_path"], false);
    assert_eq!(made["volumes"][4]["tmpfs"]["size"], "268435456");
    assert_eq!(made["volumes"][5]["tmpfs"], json!({"size": "268435456", "mode": 493}));
    let document =
        with_service(&json!({"volumes": [{"type": "bind", "source": "/checkout/data", "target": "/a"}]}));
    assert_eq!(changes(&document), ["services.web.volumes[0].read_only"]);
    let of_container = json!({"volumes_from": ["container:other"]});
    refused("VOLFROM", &of_container);
    refused("VOLFROM", &json!({"volumes_from": ["other:ro"]}));
    accepted(&json!({"volumes_from": ["db:ro", "db"]}));
}

#[test]
fn single_permissions_open_single_doors() {
    let allow =
        ["bind-rw", "cap:SYS_PTRACE", "device:/dev/fuse", "dns", "extra-host:10.0.0.7"].map(str::to_owned);
    let permissions = Permissions::new(&allow, &["*".to_owned()]).unwrap();
    let of = |keys: &Value| judge(&with_service(keys), &facts(), &permissions);
    let fuse =
        |source: &str| json!({"devices": [{"source": source, "target": "/dev/fuse", "permissions": "rwm"}]});
    assert!(
        of(&json!({"cap_add": ["cap_sys_ptrace"], "dns": ["10.0.0.1"], "extra_hosts": ["a=10.0.0.7"]}))
            .is_accepted()
    );
    assert!(of(&fuse("/dev/fuse")).is_accepted());
    assert!(!of(&fuse("/dev/sda")).is_accepted());
    assert!(!of(&json!({"cap_add": ["SYS_ADMIN"]})).is_accepted());
    assert!(!of(&json!({"extra_hosts": ["a=10.0.0.8"]})).is_accepted());
    let keys = json!({"volumes": [
        {"type": "bind", "source": "/checkout/data", "target": "/a"},
        {"type": "bind", "source": "/checkout", "target": "/b"},
    ]});
    let document = with_service(&keys);
    let made = neutralised(&document, &of(&keys));
    assert_eq!(made["services"]["web"]["volumes"][0]["read_only"], false);
    assert_eq!(made["services"]["web"]["volumes"][1]["read_only"], true);
}

#[test]
fn networks_and_volumes_are_the_branchs_own() {
    for (rule, place, value) in [
        ("EXTNET", "/networks/default/external", json!(true)),
        ("EXTNET", "/networks/default/external", json!({"name": "host"})),
        ("NETDRV", "/networks/default/driver", json!("macvlan")),
        ("NETDRV", "/networks/default/driver", json!("host")),
        ("NETDRV", "/networks/default/driver_opts", json!({"com.docker.network.bridge.name": "docker0"})),
        ("NETDRV", "/networks/default/driver_opts", json!({"com.docker.network.driver.mtu": "x"})),
        ("EXTVOL", "/volumes/data/external", json!(true)),
        ("VOLDRV", "/volumes/data/driver", json!("vieux/sshfs")),
        ("VOLDRV", "/volumes/data/driver_opts", json!({"type": "none", "device": "/", "o": "bind"})),
        ("VOLDRV", "/volumes/data/driver_opts", json!({"type": "tmpfs", "device": "/dev/vda", "o": ""})),
        (
            "VOLDRV",
            "/volumes/data/driver_opts",
            json!({"type": "tmpfs", "device": "tmpfs", "o": "size=1m,bind"}),
        ),
        ("VOLDRV", "/volumes/data/driver_opts", json!({"type": "tmpfs", "device": "tmpfs", "x": "y"})),
        ("EXTRES", "/secrets/s/external", json!(true)),
        ("EXTRES", "/secrets/s/driver", json!("vault")),
        ("EXTRES", "/configs/c/template_driver", json!("golang")),
        ("HOSTENV", "/configs/c/environment", json!("TOKEN")),
        ("FILEREF", "/configs/c/file", json!("/etc/shadow")),
        ("FILEREF", "/configs/c/file", json!("/checkout/gone")),
        ("FILEREF", "/secrets/s/file", json!("/checkout/out")),
        ("LABEL", "/volumes/data/labels", json!({"drey.environment": "x"})),
        ("LABEL", "/networks/default/labels", json!({"drey.port": "1"})),
        ("MODEL", "/models", json!({"llm": {"model": "x"}})),
    ] {
        let mut document = with_service(&json!({}));
        let (parent, key) = place.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[key] = value.clone();
        assert_eq!(refusals(&document), [rule], "{place} {value}");
    }
    for (rule, keys) in [
        (
            "NETDRV",
            json!({"networks": {"default": {"driver_opts": {"com.docker.network.endpoint.sysctls": "x"}}}}),
        ),
        ("DNSALIAS", json!({"networks": {"other": null}})),
        ("EXTLINK", json!({"external_links": ["other_db_1"]})),
        ("EXTLINK", json!({"links": ["other_db_1:db"]})),
        ("HOSTGW", json!({"extra_hosts": ["a=host-gateway"]})),
        ("HOSTGW", json!({"extra_hosts": {"a": "169.254.169.254"}})),
        ("HOSTGW", json!({"extra_hosts": ["a:127.0.0.1"]})),
        ("NETDRV", json!({"dns": ["169.254.169.254"]})),
        ("FILEREF", json!({"configs": [{"source": "other"}]})),
    ] {
        refused(rule, &keys);
    }
    accepted(
        &json!({"dns": ["1.1.1.1"], "links": ["db:alias"], "networks": {"default": {"aliases": ["x"]}}}),
    );
}

#[test]
fn host_names_ports_and_addresses_are_dropped() {
    let mut document = with_service(&json!({
        "container_name": "mine", "restart": "always", "mac_address": "02:00:00:00:00:01",
        "logging": {"driver": "syslog", "options": {"syslog-address": "x"}},
        "mem_limit": "1048576", "cpus": 2, "pids_limit": 5,
        "ports": [{"mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "published": "8080", "protocol": "tcp"}],
        "networks": {"default": {"ipv4_address": "10.0.0.5"}},
        "develop": {"watch": [{"path": "/x", "action": "sync", "target": "/x"}]},
        "deploy": {"replicas": 2, "placement": {"constraints": ["x"]}, "resources": {}},
        "labels": {"traefik.enable": "true", "drey.port": "80", "com.example.x": "1"},
    }));
    document["networks"]["default"] = json!({"name": "theirs", "driver": "overlay", "attachable": true, "ipam": {"config": [{"subnet": "10.0.0.0/8"}]}});
    document["volumes"]["data"]["name"] = json!("theirs");
    let verdict = verdict(&document);
    assert!(verdict.is_accepted(), "{:?}", verdict.findings);
    for key in [
        "services.web.container_name",
        "services.web.restart",
        "services.web.logging",
        "services.web.ports[0].published",
        "services.web.ports[0].host_ip",
        "services.web.networks.default.ipv4_address",
        "services.web.develop",
        "services.web.deploy.placement",
        "services.web.labels.traefik.enable",
        "networks.default.name",
        "networks.default.ipam",
        "networks.default.driver",
        "volumes.data.name",
        "services.web.mem_limit",
    ] {
        assert!(verdict.findings.iter().any(|finding| finding.key == key), "{key}");
    }
    let made = neutralised(&document, &verdict);
    assert_eq!(
        made["services"]["web"],
        json!({
            "image": "busybox:1.36", "command": null, "networks": {"default": {}}, "deploy": {"replicas": 2},
            "ports": [{"target": 80, "protocol": "tcp"}], "labels": {"drey.port": "80", "com.example.x": "1"},
        })
    );
    assert_eq!(made["networks"]["default"], json!({"driver": "bridge"}));
    assert_eq!(made["volumes"]["data"], json!({}));
}

#[test]
fn labels_of_others_are_refused() {
    for name in [
        "drey.managed",
        "drey.anything",
        "Drey.managed",
        " drey.managed",
        "com.docker.compose.project",
        "COM.DOCKER.x",
    ] {
        refused("LABEL", &json!({"labels": {name: "x"}}));
        refused("LABEL", &json!({"deploy": {"labels": {name: "x"}}}));
    }
    accepted(&json!({"labels": {"drey.port": "80", "drey.ready.within": "60s", "dreyfus": "1"}}));
}

#[test]
fn builds_take_only_the_checkout() {
    for (rule, key, value) in [
        ("FILEREF", "context", json!("/")),
        ("FILEREF", "context", json!("/checkout/out")),
        ("FILEREF", "context", json!("/checkout/conf")),
        ("REMOTE", "context", json!("https://git.example/x.git#main")),
        ("REMOTE", "context", json!("git@git.example:x/y.git")),
        ("REMOTE", "context", json!("github.com/x/y")),
        ("FILEREF", "dockerfile", json!("/etc/shadow")),
        ("FILEREF", "dockerfile", json!("data/../out")),
        ("REMOTE", "dockerfile", json!("https://x.example/Dockerfile")),
        ("FILEREF", "additional_contexts", json!({"host": "/root"})),
        ("REMOTE", "additional_contexts", json!({"x": "oci-layout://./x"})),
        ("REMOTE", "additional_contexts", json!({"x": "https://x.example/y.git"})),
        ("IMAGE", "additional_contexts", json!({"x": "docker-image://drey/other/web:1"})),
        ("FILEREF", "additional_contexts", json!({"x": "service:none"})),
        ("BUILD", "network", json!("host")),
        ("BUILD", "network", json!("container:drey")),
        ("BUILD", "ssh", json!(["default"])),
        ("BUILD", "entitlements", json!(["security.insecure"])),
        ("BUILD", "privileged", json!(true)),
        ("BUILD", "isolation", json!("x")),
        ("BUILD", "cache_to", json!(["type=local,dest=/etc"])),
        ("BUILD", "cache_from", json!(["type=local,src=/etc"])),
        ("BUILD", "cache_from", json!(["src=/etc,type=LOCAL"])),
        ("IMAGE", "tags", json!(["postgres:16"])),
        ("IMAGE", "sbom", json!("generator=evil/image")),
        ("LABEL", "labels", json!({"drey.managed": "true"})),
        ("HOSTGW", "extra_hosts", json!(["a=host-gateway"])),
        ("FILEREF", "secrets", json!([{"source": "other"}])),
        ("HOSTENV", "args", json!({"TOKEN": null})),
    ] {
        let mut build = json!({"context": "/checkout", "dockerfile": "Dockerfile"});
        build[key] = value.clone();
        refused(rule, &json!({"build": build}));
    }
    let made = accepted(&json!({"image": "drey/other/x", "build": {
        "context": "/checkout", "dockerfile": "Dockerfile", "args": {"A": "1"}, "shm_size": "1", "network": "none",
        "additional_contexts": {"a": "/checkout/data", "b": "service:db", "c": "docker-image://alpine:3"},
        "cache_from": ["type=registry,ref=ghcr.io/a/b:c", "ghcr.io/a/b"], "secrets": [{"source": "s"}], "sbom": "true",
    }}));
    assert_eq!(made.get("image"), None);
    assert_eq!(made["build"].get("shm_size"), None);
}

#[test]
fn values_of_the_daemon_and_hooks_are_refused() {
    refused("HOSTENV", &json!({"environment": {"TOKEN": null}}));
    refused("HOSTENV", &json!({"environment": ["TOKEN"]}));
    accepted(&json!({"environment": {"A": "", "B": "1"}}));
    refused("FILEREF", &json!({"env_file": [{"path": "/proc/self/environ", "required": false}]}));
    refused("FILEREF", &json!({"label_file": ["/etc/passwd"]}));
    refused("HOOK", &json!({"post_start": [{"command": ["x"], "privileged": true}]}));
    refused("HOOK", &json!({"pre_start": [{"image": "x:1", "privileged": true}]}));
    refused("IMAGE", &json!({"pre_start": [{"image": "drey/a/b"}]}));
    refused("HOSTENV", &json!({"pre_stop": [{"command": ["x"], "environment": {"T": null}}]}));
    accepted(&json!({"post_start": [{"command": ["x"], "user": "root", "environment": {"A": "1"}}]}));
}

#[test]
fn quotas_are_clamped_and_counts_refused() {
    for (rule, keys) in [
        ("LIMITS", json!({"oom_score_adj": -1})),
        ("LIMITS", json!({"oom_kill_disable": true})),
        ("LIMITS", json!({"blkio_config": {"weight": 1000}})),
        ("LIMITS", json!({"storage_opt": {"size": "1G"}})),
        ("LIMITS", json!({"scale": 1000})),
        ("LIMITS", json!({"deploy": {"replicas": 11}})),
        ("SWARM", json!({"deploy": {"mode": "global"}})),
        ("LIMITS", json!({"expose": vec!["1"; 300]})),
    ] {
        let found = refusals(&with_service(&keys));
        assert!(!found.is_empty() && found.iter().all(|found| *found == rule), "{keys}: {found:?}");
    }
    let made = accepted(&json!({
        "healthcheck": {"test": ["CMD", "x"], "interval": "1ms", "start_interval": "2s"}, "stop_grace_period": "2m0s",
        "shm_size": "67108864", "oom_score_adj": 5, "tmpfs": ["/tmp:size=50%"],
        "ulimits": {"nofile": 9999999, "memlock": {"soft": -1, "hard": -1}, "rtprio": 99, "nproc": {"soft": 5, "hard": -1}},
    }));
    assert_eq!(made["healthcheck"], json!({"test": ["CMD", "x"], "interval": "1s", "start_interval": "2s"}));
    assert_eq!(made["stop_grace_period"], "30s");
    assert_eq!(made["shm_size"], "67108864");
    assert_eq!(made["tmpfs"], json!(["/tmp:size=268435456"]));
    let limits = json!({"nofile": 1_048_576, "memlock": {"soft": -1, "hard": -1}, "nproc": {"soft": 5, "hard": 65_535}});
    assert_eq!(made["ulimits"], limits);
    let many = |kind: &str, count: usize| {
        let entries: serde_json::Map<String, Value> =
            (0..count).map(|at| (format!("x{at}"), json!({"image": "x:1"}))).collect();
        json!({ kind: entries })
    };
    assert_eq!(refusals(&many("services", 400)), ["LIMITS"]);
    assert_eq!(verdict(&many("services", 400)).findings[0].key, "services");
    assert_eq!(refusals(&many("services", 50)), Vec::<&str>::new());
    assert_eq!(refusals(&many("networks", 17)), ["LIMITS"]);
}

#[test]
fn the_verdict_has_the_documented_form() {
    let json = verdict(&with_service(&json!({"privileged": true, "restart": "always"}))).to_json();
    assert_eq!(json["verdict"], "reject");
    let finding =
        json["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "PRIV").unwrap();
    assert_eq!(finding["key"], "services.web.privileged");
    assert_eq!(finding["action"], "reject");
    assert_eq!(finding["file"], Value::Null);
    assert!(finding["message"].as_str().unwrap().contains("leave it out"));
    assert_eq!(verdict(&with_service(&json!({}))).to_json()["verdict"], "accept");
}

#[test]
fn odd_forms_are_refused() {
    for keys in [
        json!({"volumes": "x"}),
        json!({"ports": ["80:80"]}),
        json!({"healthcheck": "x"}),
        json!({"command": {"a": 1}}),
        json!({"environment": {"A": {"b": 1}}}),
        json!({"deploy": [1]}),
        json!({"build": "."}),
        json!({"post_start": ["x"]}),
        json!({"networks": ["default"]}),
        json!({"cap_add": [["SYS_ADMIN"]]}),
    ] {
        assert!(!refusals(&with_service(&keys)).is_empty(), "{keys}");
    }
    assert!(!verdict(&json!([])).is_accepted());
    assert!(!verdict(&json!({"services": ["x"]})).is_accepted());
}

/// The pointers of all objects whose keys belong to the schema: maps of names chosen by the author are left out.
fn schema_objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    const FREE: [&str; 9] = [
        "environment",
        "labels",
        "args",
        "driver_opts",
        "options",
        "sysctls",
        "additional_contexts",
        "extra_hosts",
        "aux_addresses",
    ];
    const NAMED: [&str; 7] =
        ["services", "networks", "volumes", "configs", "secrets", "depends_on", "ulimits"];
    let name = pointer.rsplit('/').next().unwrap();
    match value {
        Value::Object(object) if !FREE.contains(&name) => {
            if !NAMED.contains(&name) {
                found.push(pointer.to_owned());
            }
            for (key, inner) in object {
                schema_objects(inner, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                schema_objects(inner, &format!("{pointer}/{at}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
    }
}

fn rich_document() -> Value {
    let mut document = with_service(&json!({
        "build": {"context": "/checkout", "dockerfile": "Dockerfile", "secrets": [{"source": "s"}], "ulimits": {"nofile": {"soft": 1, "hard": 2}}},
        "configs": [{"source": "c"}], "depends_on": {"db": {"condition": "service_started", "required": true}},
        "deploy": {"mode": "replicated", "placement": {"preferences": [{"spread": "x"}]},
            "resources": {"limits": {"cpus": 1}, "reservations": {"cpus": 1}},
            "restart_policy": {"delay": "5s"}, "update_config": {"order": "stop-first"}, "rollback_config": {"order": "stop-first"}},
        "develop": {"watch": [{"path": "/x", "exec": {"command": null}}]},
        "env_file": [{"path": "/checkout/conf"}], "healthcheck": {"test": ["CMD", "x"]},
        "logging": {"driver": "local", "options": {"a": "b"}}, "networks": {"default": {"aliases": ["x"]}},
        "ports": [{"target": 80}], "post_start": [{"command": ["x"]}], "pre_stop": [{"command": ["x"]}],
        "ulimits": {"nofile": {"soft": 1, "hard": 2}},
        "volumes": [
            {"type": "bind", "source": "/checkout/data", "target": "/a", "bind": {"create_host_path": true}},
            {"type": "volume", "source": "data", "target": "/b", "volume": {"nocopy": true}},
            {"type": "tmpfs", "target": "/c", "tmpfs": {"size": "1"}},
            {"type": "image", "source": "x:1", "target": "/d", "image": {"subpath": "a"}},
        ],
    }));
    document["networks"]["default"]["ipam"] = json!({"config": [{"subnet": "10.0.0.0/24"}]});
    document
}

/// Any document, its keys mostly those of the schema.
fn any_document() -> impl Strategy<Value = Value> {
    let keys: Vec<String> = include_str!("table/schema_keys.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.split(['.', '[']))
        .map(|part| part.trim_end_matches(']').to_owned())
        .filter(|part| !part.is_empty() && part != "*")
        .collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![
            "host",
            "/etc",
            "/checkout/data",
            "",
            "1g",
            "-1",
            "a=b",
            "a:b:c",
            "service:web",
            "$$"
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![4 => prop::sample::select(keys), 1 => "\\PC{0,8}"];
    leaf.prop_recursive(7, 120, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_judged_and_only_objects_are_accepted(any in any_document(), service in any_document()) {
        let within = json!({"services": {"web": service.clone()}, "networks": {"n": any.clone()}, "volumes": {"v": any.clone()}});
        for document in [&any, &within] {
            let verdict = verdict(document);
            let made = neutralised(document, &verdict);
            prop_assert!(document.is_object() || !verdict.is_accepted());
            // What is dropped and set is settled at once.
            prop_assert!(!verdict.is_accepted() || judge(&made, &facts(), &Permissions::default()).is_accepted());
            prop_assert!(serde_json::to_string(&verdict.to_json()).is_ok());
        }
    }

    #[test]
    fn an_unknown_key_anywhere_is_refused(key in "[a-wyz][a-z_]{2,12}[0-9]", place in any::<prop::sample::Index>(), value in 0_usize..4) {
        let mut document = rich_document();
        let mut places: Vec<String> = Vec::new();
        schema_objects(&document, "", &mut places);
        let place = place.get(&places).clone();
        let value = [json!("x"), json!(1), json!({"a": "b"}), json!(["a"])][value].clone();
        document.pointer_mut(&place).unwrap()[&key] = value;
        prop_assert!(!verdict(&document).is_accepted(), "{place}/{key}");
    }

    #[test]
    fn what_is_neutralised_is_accepted_without_further_changes(port in 1..60000_u16, seconds in 0..100_u32) {
        let mut document = rich_document();
        document["services"]["web"]["ports"][0]["published"] = json!(port.to_string());
        document["services"]["web"]["stop_grace_period"] = json!(format!("{seconds}s"));
        let made = neutralised(&document, &verdict(&document));
        prop_assert_eq!(changes(&made), Vec::<String>::new());
        prop_assert_eq!(neutralised(&made, &verdict(&made)), made);
    }
}

#[test]
fn the_rich_document_is_accepted() {
    let verdict = verdict(&rich_document());
    assert!(verdict.is_accepted(), "{:?}", verdict.rejections().collect::<Vec<_>>());
}

#[test]
fn paths_used_lists_every_path_of_the_host() {
    let used = paths_used(&rich_document());
    let expected =
        ["/checkout", "/checkout/Dockerfile", "/checkout/conf", "/checkout/data"].map(PathBuf::from);
    assert_eq!(used, expected);
}

#[test]
fn a_doubled_dollar_is_one_of_the_path_on_the_disk() {
    let bind = |source: &str| {
        json!({"volumes": [{"type": "bind", "source": source, "target": "/x", "read_only": true}],
               "build": {"context": source}})
    };
    accepted(&bind("/checkout/a$$b"));
    accepted(&bind("/checkout/c$$$$d"));
    refused("FILEREF", &json!({"build": {"context": "/checkout/c$$d"}}));
    refused("BIND", &json!({"volumes": [{"type": "bind", "source": "/checkout/c$$d", "target": "/x"}]}));
    let used = paths_used(&with_service(&bind("/checkout/a$$b")));
    assert!(used.contains(&PathBuf::from("/checkout/a$b")), "{used:?}");
}
