//! Quotas, health checks, and the `deploy` part of a service.

use super::{Check, LABEL_HELP, LEAVE_OUT, Row, Rule, Section, Shape, allow, check, dropped, refused};

const QUOTA: &str = "drey sets its own limits on every container";
const ASK: &str = "what is asked for counts up to the operator's limit";
const HARM: &str = "it would take from other containers and the host";

const fn quota(key: &'static str) -> Row {
    dropped(key, Rule::Limits, QUOTA, ASK)
}

const fn harm(key: &'static str) -> Row {
    refused(key, Rule::Limits, HARM, LEAVE_OUT)
}

pub(super) const QUOTAS: &[Row] = &[
    quota("mem_limit"),
    quota("mem_reservation"),
    quota("memswap_limit"),
    quota("mem_swappiness"),
    quota("cpus"),
    quota("cpu_count"),
    quota("cpu_percent"),
    quota("cpu_shares"),
    quota("cpu_quota"),
    quota("cpu_period"),
    quota("cpuset"),
    quota("pids_limit"),
    check("shm_size", Rule::Limits, Check::ShmSize, ASK),
    check("ulimits", Rule::Limits, Check::Ulimits, ASK).shaped(Shape::Map(&ULIMIT)),
    harm("cpu_rt_period"),
    harm("cpu_rt_runtime"),
    harm("oom_kill_disable"),
    check("oom_score_adj", Rule::Limits, Check::OomScore, "0 or more may be set"),
    harm("blkio_config").shaped(Shape::Free),
    harm("storage_opt").shaped(Shape::Free),
    check("scale", Rule::Limits, Check::Replicas, "use fewer containers"),
    check("deploy", Rule::Limits, Check::Replicas, "use fewer containers").shaped(Shape::Section(&DEPLOY)),
];

static ULIMIT: Section =
    Section { rows: &[&[allow("single"), allow("soft"), allow("hard")]], bare: true, whole: None };

static DEPLOY: Section = Section {
    rows: &[&[
        check("mode", Rule::Swarm, Check::DeployMode, "write `replicated`, or leave it out"),
        check("replicas", Rule::Limits, Check::Replicas, "use fewer containers"),
        allow("endpoint_mode"),
        dropped("placement", Rule::Swarm, "drey chooses where services run", LEAVE_OUT)
            .shaped(Shape::Section(&PLACEMENT)),
        dropped("resources", Rule::Limits, QUOTA, ASK).shaped(Shape::Section(&RESOURCES)),
        allow("restart_policy").shaped(Shape::Section(&RESTART)),
        allow("update_config").shaped(Shape::Section(&UPDATE)),
        allow("rollback_config").shaped(Shape::Section(&UPDATE)),
        check("labels", Rule::Label, Check::Labels, LABEL_HELP).shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};

static PLACEMENT: Section = Section {
    rows: &[&[
        allow("constraints"),
        allow("preferences").shaped(Shape::List(&PREFERENCE)),
        allow("max_replicas_per_node"),
    ]],
    bare: false,
    whole: None,
};

static PREFERENCE: Section = Section { rows: &[&[allow("spread")]], bare: false, whole: None };

static RESOURCES: Section = Section {
    rows: &[&[
        allow("limits").shaped(Shape::Section(&AMOUNTS)),
        allow("reservations").shaped(Shape::Section(&AMOUNTS)),
    ]],
    bare: false,
    whole: None,
};

static AMOUNTS: Section = Section {
    rows: &[&[
        allow("cpus"),
        allow("memory"),
        allow("pids"),
        refused("devices", Rule::Device, "it hands over devices of the host", LEAVE_OUT).shaped(Shape::Free),
        refused("generic_resources", Rule::Device, "it hands over devices of the host", LEAVE_OUT)
            .shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};

static RESTART: Section = Section {
    rows: &[&[allow("condition"), allow("delay"), allow("max_attempts"), allow("window")]],
    bare: false,
    whole: None,
};

static UPDATE: Section = Section {
    rows: &[&[
        allow("parallelism"),
        allow("delay"),
        allow("failure_action"),
        allow("monitor"),
        allow("max_failure_ratio"),
        allow("order"),
    ]],
    bare: false,
    whole: None,
};

/// `healthcheck` of a service.
pub(super) static HEALTHCHECK: Section = Section {
    rows: &[&[
        allow("test"),
        allow("interval"),
        allow("timeout"),
        allow("retries"),
        allow("start_period"),
        allow("start_interval"),
        allow("disable"),
    ]],
    bare: false,
    whole: None,
};
