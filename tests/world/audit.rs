//! What really runs is looked at: a stack with everything that a branch may ask for, and one that is not confined.

use crate::harness::{World, docker};

/// Shared name spaces, every kind of mount, replicas, a hook and a job that ends.
const RICH: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: ["serve", "8080", "/www"]
    ports: ["8080:8080"]
    cap_add: [CHOWN, NET_RAW]
    tmpfs: ["/scratch"]
    ulimits: { nofile: 1024 }
    sysctls: { net.core.somaxconn: "1024" }
    volumes:
      - ./www:/www
      - data:/data
      - /anonymous
    configs: [{ source: inline, target: /etc/inline }, { source: page, target: /etc/page }]
    depends_on: { setup: { condition: service_completed_successfully } }
    logging: { driver: syslog }
  beside:
    image: drey-demo/tiny:1
    command: ["serve", "9000", "/"]
    network_mode: service:web
    pid: service:web
    ipc: shareable
    volumes_from: ["web:ro"]
  several:
    image: drey-demo/tiny:1
    command: ["serve", "9001", "/"]
    deploy: { replicas: 2 }
    volumes: [{ type: tmpfs, target: /cache }]
    networks: [back]
  setup:
    image: drey-demo/tiny:1
    command: ["busybox", "true"]
    restart: "no"
    network_mode: none
configs:
  inline: { content: "said" }
  page: { file: ./www/index.html }
networks: { back: { internal: true } }
volumes: { data: }
"#;
const PLAIN: &str =
    "services: { web: { image: 'drey-demo/tiny:1', command: [serve, '8080', /], ports: ['8080'] } }\n";

/// An operator's template that forgets every guard and adds what nobody may have.
const LOOSE: &str = "services:\n{%- for service in services %}\n  {{ service.name | json }}: { privileged: true }\n{%- endfor %}\n";

#[test]
fn a_stack_that_uses_all_it_may_is_confined_and_said_to_be() {
    let world = World::new("audit", &[("compose.yaml", RICH), ("www/index.html", "rich\n")]);
    world.push("rich", &[]);
    world.reaches("rich", "ready");
    world.serves("rich", "rich");
    let container = world.container("rich", "web");
    let of = |what: &str| docker(&["inspect", "-f", what, &container]).trim().to_owned();
    assert_eq!(
        of("{{.HostConfig.CgroupnsMode}} {{.HostConfig.SecurityOpt}}"),
        "private [no-new-privileges:true]"
    );
    assert!(!of("{{.HostConfig.CapAdd}}").contains("NET_RAW"));
    assert!(
        of("{{.HostConfig.CapDrop}}").contains("NET_RAW") && of("{{.HostConfig.CapDrop}}").contains("MKNOD")
    );
    assert_eq!(
        of("{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config \"max-size\"}}"),
        "json-file 10m"
    );

    // Another file of it, and so other containers, is looked at again.
    world.push("rich", &[("www/index.html", "richer\n")]);
    world.reaches("rich", "ready");
    world.serves("rich", "richer");
}

#[test]
fn what_is_not_confined_is_stopped_before_anybody_sees_it() {
    let template = tempfile::NamedTempFile::with_suffix(".tera").unwrap();
    std::fs::write(template.path(), LOOSE).unwrap();
    let more = format!("[templates]\noverlay = \"{}\"\n", template.path().display());
    let world = World::configured("breach", &[("compose.yaml", PLAIN)], &more);
    world.push("loose", &[]);
    let failed = world.reaches("loose", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.starts_with("audit: ") && reason.contains("web (PRIV): "), "{reason}");
    // The guards do not come from the template: what is missing are those that privileges take away.
    for rule in ["CAP", "LIMITS", "LOG", "CGROUP", "BIND"] {
        assert!(!reason.contains(&format!("({rule})")), "{reason}");
    }
    assert_eq!((&failed["serving"], world.container("loose", "web").as_str()), (&false.into(), ""));
    let told = std::process::Command::new("curl")
        .args(["-s", &format!("http://{}/metrics", world.address())])
        .output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    assert!(told.contains("drey_audit_breaches_total{rule=\"PRIV\"} 1"), "{told}");
}
