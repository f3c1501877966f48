//! What a service is made of: image, command, networks, ports, labels, hooks.

use super::build::BUILD;
use super::deploy::{HEALTHCHECK, QUOTAS};
use super::mounts::{DATA, ENV_FILE};
use super::runtime::ISOLATION;
use super::{
    Check, ENVIRONMENT_HELP, INSIDE, LABEL_HELP, LEAVE_OUT, Row, Rule, Section, Shape, allow, check, dropped,
    refused,
};

/// A service.
pub(super) static SERVICE: Section = Section {
    rows: &[PLAIN, CHECKED, NETWORKING, DATA, QUOTAS, ISOLATION],
    bare: false,
    whole: Some(check(
        "",
        Rule::Limits,
        Check::ServiceLimits,
        "ask with `mem_limit`, `cpus` and `pids_limit`",
    )),
};

const PLAIN: &[Row] = &[
    allow("attach"),
    allow("cap_drop"),
    allow("command"),
    allow("depends_on").shaped(Shape::Map(&DEPENDENCY)),
    allow("domainname"),
    allow("entrypoint"),
    allow("group_add"),
    allow("hostname"),
    allow("init"),
    allow("platform"),
    allow("profiles"),
    allow("pull_policy"),
    allow("pull_refresh_after"),
    allow("read_only"),
    allow("stdin_open"),
    allow("stop_signal"),
    allow("tty"),
    allow("user"),
    allow("working_dir"),
];

const RESOLVED: &str = "use a newer Compose";
const NO_ANNOTATIONS: &str = "use labels to note something";

const CHECKED: &[Row] = &[
    refused("annotations", Rule::Annotation, "container runtimes act on annotations", NO_ANNOTATIONS)
        .shaped(Shape::Free),
    check("build", Rule::Build, Check::BuildContext, INSIDE).shaped(Shape::Section(&BUILD)),
    dropped(
        "container_name",
        Rule::Name,
        "it is one name for the whole engine",
        "other services reach this one by its service name",
    ),
    dropped("develop", Rule::Watch, "files are not watched here", "push again to update")
        .shaped(Shape::Section(&DEVELOP)),
    check("env_file", Rule::FileReference, Check::FilesToRead, INSIDE).shaped(Shape::List(&ENV_FILE)),
    check("environment", Rule::HostEnvironment, Check::Environment, ENVIRONMENT_HELP).shaped(Shape::Free),
    refused("extends", Rule::FileReference, "`extends` was not resolved by Compose", RESOLVED)
        .shaped(Shape::Section(&EXTENDS)),
    check("healthcheck", Rule::Limits, Check::HealthInterval, "at least 1s")
        .shaped(Shape::Section(&HEALTHCHECK)),
    check("image", Rule::Image, Check::ServiceImage, IMAGE_HELP),
    check("label_file", Rule::FileReference, Check::FilesToRead, INSIDE),
    check("labels", Rule::Label, Check::ServiceLabels, LABEL_HELP).shaped(Shape::Free),
    dropped("logging", Rule::Log, "drey keeps the logs, with a limit", "leave it out")
        .shaped(Shape::Section(&LOGGING)),
    refused(
        "models",
        Rule::Model,
        "a model is run by a program of the host",
        "run the model as a service of your own",
    )
    .shaped(Shape::Free),
    allow("post_start").shaped(Shape::List(&HOOK)),
    allow("pre_start").shaped(Shape::List(&HOOK)),
    allow("pre_stop").shaped(Shape::List(&HOOK)),
    refused("provider", Rule::Provider, "it runs a program of the host", "run what it provides as a service")
        .shaped(Shape::Free),
    dropped(
        "restart",
        Rule::Restart,
        "drey restarts what stops",
        "leave it out; `restart: \"no\"` still marks a service that may end",
    ),
    check("stop_grace_period", Rule::Limits, Check::StopGrace, "at most 30s"),
    refused(
        "use_api_socket",
        Rule::ApiSocket,
        "it hands over the engine and every registry credential",
        LEAVE_OUT,
    ),
];

pub(super) const IMAGE_HELP: &str = "name an image of an allowed registry, or use `build`";

const SUBNETS: &str = "addresses are given by drey";
const BY_NAME: &str = "reach services by their names";
const LOCAL_PORTS: &str = "visitors come through the proxy";
const PORT_HELP: &str = "leave the host's part out; the container's port is used for the route";

const NETWORKING: &[Row] = &[
    check("dns", Rule::NetworkDriver, Check::Dns, "name public resolvers, or leave it out"),
    check("dns_opt", Rule::NetworkDriver, Check::DnsOptions, LEAVE_OUT),
    check("dns_search", Rule::NetworkDriver, Check::DnsOptions, LEAVE_OUT),
    check("expose", Rule::Limits, Check::PortCount, "list the ports that are used"),
    refused(
        "external_links",
        Rule::ExternalLink,
        "it links containers of other projects",
        "run that service in this file",
    ),
    check(
        "extra_hosts",
        Rule::HostGateway,
        Check::ExtraHosts,
        "reach services by their names, or ask the operator for `extra-host:ADDRESS`",
    )
    .shaped(Shape::Free),
    check("links", Rule::ExternalLink, Check::Links, "name a service of this file"),
    dropped("mac_address", Rule::NetworkDriver, SUBNETS, BY_NAME),
    check("networks", Rule::DnsAlias, Check::ServiceNetworks, "name networks of this file")
        .shaped(Shape::Map(&ENDPOINT)),
    check("ports", Rule::Limits, Check::PortCount, "list the ports that are used").shaped(Shape::List(&PORT)),
];

static ENDPOINT: Section = Section {
    rows: &[&[
        allow("aliases"),
        dropped("ipv4_address", Rule::NetworkDriver, SUBNETS, BY_NAME),
        dropped("ipv6_address", Rule::NetworkDriver, SUBNETS, BY_NAME),
        dropped("link_local_ips", Rule::NetworkDriver, SUBNETS, BY_NAME),
        dropped("mac_address", Rule::NetworkDriver, SUBNETS, BY_NAME),
        allow("interface_name"),
        allow("priority"),
        allow("gw_priority"),
        refused(
            "driver_opts",
            Rule::NetworkDriver,
            "options of an endpoint change kernel settings",
            LEAVE_OUT,
        )
        .shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};

static PORT: Section = Section {
    rows: &[&[
        allow("target"),
        allow("protocol"),
        allow("name"),
        allow("app_protocol"),
        dropped("published", Rule::Port, LOCAL_PORTS, PORT_HELP),
        dropped("host_ip", Rule::Port, LOCAL_PORTS, PORT_HELP),
        check("mode", Rule::Port, Check::PortMode, PORT_HELP),
    ]],
    bare: false,
    whole: None,
};

static DEPENDENCY: Section =
    Section { rows: &[&[allow("condition"), allow("restart"), allow("required")]], bare: false, whole: None };

static LOGGING: Section =
    Section { rows: &[&[allow("driver"), allow("options").shaped(Shape::Free)]], bare: false, whole: None };

static EXTENDS: Section = Section { rows: &[&[allow("file"), allow("service")]], bare: false, whole: None };

static DEVELOP: Section =
    Section { rows: &[&[allow("watch").shaped(Shape::List(&WATCH))]], bare: false, whole: None };

static WATCH: Section = Section {
    rows: &[&[
        allow("path"),
        allow("action"),
        allow("target"),
        allow("ignore"),
        allow("include"),
        allow("initial_sync"),
        allow("exec").shaped(Shape::Section(&HOOK)),
    ]],
    bare: false,
    whole: None,
};

static HOOK: Section = Section {
    rows: &[&[
        allow("command"),
        allow("user"),
        allow("working_dir"),
        allow("per_replica"),
        check("environment", Rule::HostEnvironment, Check::Environment, ENVIRONMENT_HELP).shaped(Shape::Free),
        refused("privileged", Rule::Hook, "a privileged hook has every power over the host", LEAVE_OUT),
        check("image", Rule::Image, Check::Image, IMAGE_HELP),
    ]],
    bare: false,
    whole: None,
};
