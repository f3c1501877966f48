//! What a service asks for in memory, CPU and processes; whoever sets the limits clamps it.

use serde_json::Value;

use super::bytes::parse_bytes;

/// The wishes of one service. `None`: nothing was asked for, or "unlimited", or nothing readable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestedLimits {
    pub memory_bytes: Option<u64>,
    pub cpus: Option<f64>,
    pub pids: Option<u64>,
    pub shm_bytes: Option<u64>,
}

/// Reads a service of the canonical document as Compose rendered it, before `neutralised` drops these keys.
/// The service's own keys win over `deploy.resources.limits`.
pub fn requested_limits(service: &Value) -> RequestedLimits {
    let deploy = service.pointer("/deploy/resources/limits");
    let of_deploy = |key: &str| deploy.and_then(|limits| limits.get(key));
    let either = |key: &str, deploy_key: &str| service.get(key).or_else(|| of_deploy(deploy_key));
    RequestedLimits {
        memory_bytes: either("mem_limit", "memory").and_then(bytes),
        cpus: either("cpus", "cpus").and_then(number).or_else(|| quota(service)).filter(|cpus| *cpus > 0.0),
        pids: either("pids_limit", "pids").and_then(whole),
        shm_bytes: service.get("shm_size").and_then(bytes),
    }
}

fn quota(service: &Value) -> Option<f64> {
    let quota = service.get("cpu_quota").and_then(number)?;
    let period =
        service.get("cpu_period").and_then(number).filter(|period| *period > 0.0).unwrap_or(100_000.0);
    Some(quota / period)
}

pub(super) fn bytes(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().and_then(parse_bytes)).filter(|bytes| *bytes > 0)
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
        .filter(|n: &f64| n.is_finite())
}

fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok())).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wishes_are_read_from_both_places() {
        let service = json!({"mem_limit": "10485760", "pids_limit": -1, "deploy": {"resources": {"limits": {"cpus": 0.5}}}});
        let asked = requested_limits(&service);
        assert_eq!(asked.memory_bytes, Some(10 << 20));
        assert_eq!(asked.cpus, Some(0.5));
        assert_eq!(asked.pids, None);
        assert_eq!(requested_limits(&json!({"cpu_quota": "50000"})).cpus, Some(0.5));
        assert_eq!(requested_limits(&json!({})), RequestedLimits::default());
    }
}
