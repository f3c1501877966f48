//! What a container may do to the kernel: privileges, capabilities, guards, devices, kernel settings.

use serde_json::Value;

use super::Look;
use crate::domain::policy::{DEFAULT_CAPABILITIES, Rule, TAKEN_CAPABILITIES, is_own_sysctl};

const NO_NEW_PRIVILEGES: [&str; 3] =
    ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"];

pub(super) fn check(look: &mut Look<'_>) {
    if look.container.privileged {
        look.breach(Rule::Privileged, "is privileged");
    }
    capabilities(look);
    guards(look);
    devices(look);
    let container = look.container;
    let own_settings = look.overlay("sysctls").is_some();
    for name in container.sysctls.iter().filter(|name| !own_settings && !is_own_sysctl(name)) {
        if !look.expected.permissions.allows(&format!("sysctl:{name}")) {
            look.breach(Rule::Sysctl, format!("changes the kernel setting {name}"));
        }
    }
    for name in &container.annotations {
        if look.overlay("annotations").is_none() {
            look.breach(
                Rule::Annotation,
                format!("has the annotation {name}, which container runtimes obey"),
            );
        }
    }
    if let Some(runtime) = &container.runtime
        && look.overlay("runtime").and_then(Value::as_str) != Some(runtime)
    {
        look.breach(Rule::Runtime, format!("runs in the runtime {runtime}, not in the engine's own"));
    }
}

fn capabilities(look: &mut Look<'_>) {
    let container = look.container;
    let plain = |name: &str| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
    };
    let granted = |look: &Look<'_>, name: &str| {
        look.expected.permissions.allows(&format!("cap:{name}"))
            || look.overlay_lists("cap_add", name)
            || look.overlay_lists("cap_add", &format!("CAP_{name}"))
    };
    for name in container.cap_add.iter().map(|name| plain(name)) {
        let usual =
            DEFAULT_CAPABILITIES.contains(&name.as_str()) && !TAKEN_CAPABILITIES.contains(&name.as_str());
        if !usual && !granted(look, &name) {
            look.breach(Rule::Capability, format!("has the capability {name}"));
        }
    }
    let dropped: Vec<String> = container.cap_drop.iter().map(|name| plain(name)).collect();
    for name in TAKEN_CAPABILITIES {
        let is_dropped = dropped.iter().any(|dropped| dropped == name || dropped == "ALL");
        if !is_dropped && !granted(look, name) {
            look.breach(Rule::Capability, format!("has not lost the capability {name}"));
        }
    }
}

fn guards(look: &mut Look<'_>) {
    let container = look.container;
    let is_set = |option: &String| NO_NEW_PRIVILEGES.contains(&option.as_str());
    if !container.security_opt.iter().any(is_set) {
        look.breach(Rule::SecurityOption, "runs without no-new-privileges");
    }
    for option in container.security_opt.iter().filter(|option| !is_set(option)) {
        if !look.overlay_lists("security_opt", option) {
            look.breach(Rule::SecurityOption, format!("has the security option {option}"));
        }
    }
    if !container.hides_kernel && !look.overlay_lists("security_opt", "systempaths=unconfined") {
        look.breach(Rule::SecurityOption, "sees all of /proc and /sys");
    }
}

fn devices(look: &mut Look<'_>) {
    let container = look.container;
    if look.overlay("devices").is_none() {
        for path in &container.devices {
            if !look.expected.permissions.allows(&format!("device:{path}")) {
                look.breach(Rule::Device, format!("has the device {path}"));
            }
        }
    }
    for rule in &container.device_rules {
        look.breach(Rule::Device, format!("has the device rule {rule}"));
    }
    let of_operator = look.overlay("gpus").is_some() || look.overlay("deploy").is_some();
    for request in container.device_requests.iter().filter(|_| !of_operator) {
        if !request.is_gpu || request.driver == "cdi" || !look.expected.permissions.allows("gpus") {
            look.breach(Rule::Device, format!("has devices of the driver {:?}", request.driver));
        }
    }
}
