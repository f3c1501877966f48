//! What keeps a container apart from the host: privileges, name spaces, devices, kernel settings.

use super::{Check, LEAVE_OUT, Row, Rule, Section, Shape, allow, check, refused};

const WINDOWS: &str = "it reads files and registry keys of the host";
const OPERATOR: &str = "leave it out; the operator may choose a runtime for all";
const DEVICE: &str = "leave it out, or ask the operator for `device:/dev/NAME`";

pub(super) const ISOLATION: &[Row] = &[
    refused("privileged", Rule::Privileged, "it gives the container every power over the host", "leave it out; ask the operator for a single capability (`cap:NAME`) where one is needed"),
    check("cap_add", Rule::Capability, Check::Capabilities, "leave it out, or ask the operator for `cap:NAME`"),
    check("devices", Rule::Device, Check::Devices, DEVICE).shaped(Shape::List(&DEVICE_ITEM)),
    refused("device_cgroup_rules", Rule::Device, "it opens devices of the host", DEVICE),
    check("gpus", Rule::Device, Check::Gpus, "leave it out, or ask the operator for `gpus`").shaped(Shape::List(&GPU)),
    check("security_opt", Rule::SecurityOption, Check::SecurityOptions, "only `no-new-privileges:true` may be set, and drey sets it anyway"),
    check("network_mode", Rule::NetworkMode, Check::NetworkMode, "use `networks`, `none`, or `service:NAME` with a service of this file"),
    check("pid", Rule::Pid, Check::Pid, "leave it out, or use `service:NAME` with a service of this file"),
    check("ipc", Rule::Ipc, Check::Ipc, "use `private`, `shareable`, `none`, or `service:NAME` with a service of this file"),
    check("uts", Rule::Uts, Check::MustBeEmpty, LEAVE_OUT),
    check("userns_mode", Rule::UserNamespace, Check::MustBeEmpty, LEAVE_OUT),
    check("cgroup", Rule::Cgroup, Check::Cgroup, "leave it out, or write `private`"),
    refused("cgroup_parent", Rule::Cgroup, "the parent group is set by drey", LEAVE_OUT),
    refused("runtime", Rule::Runtime, "another runtime has other borders", OPERATOR),
    refused("isolation", Rule::Runtime, "another isolation has other borders", OPERATOR),
    refused("credential_spec", Rule::FileReference, WINDOWS, LEAVE_OUT).shaped(Shape::Free),
    check("sysctls", Rule::Sysctl, Check::Sysctls, "only net.core.somaxconn, net.ipv4.ip_unprivileged_port_start, net.ipv4.ip_local_port_range and net.ipv4.tcp_* may be set, in an own network name space; ask the operator for `sysctl:NAME`").shaped(Shape::Free),
];

static DEVICE_ITEM: Section =
    Section { rows: &[&[allow("source"), allow("target"), allow("permissions")]], bare: false, whole: None };

static GPU: Section = Section {
    rows: &[&[
        allow("driver"),
        allow("count"),
        allow("device_ids"),
        allow("capabilities"),
        allow("options").shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};
