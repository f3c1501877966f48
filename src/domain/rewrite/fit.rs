//! What all services of an environment may use together, shared out among them.

use serde_json::Value;

use super::services::replicas;
use super::services_of;
use crate::domain::policy::requested_limits;

/// What one service may use at most; a service that asks for less gets less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceLimits {
    pub memory_bytes: u64,
    pub cpus: f64,
    pub pids: u64,
}

/// What one environment may use at most; `None`: as much as its services may one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EnvironmentLimits {
    pub memory_bytes: Option<u64>,
    pub cpus: Option<f64>,
}

/// Less memory than this is no share: hardly a program starts in it.
const LEAST_MEMORY: u64 = 64 << 20;
/// Less than this of a CPU is no share.
const LEAST_CPUS: f64 = 0.05;

/// What a service gets that asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    pub memory_bytes: u64,
    pub cpus: f64,
}

/// Shares so that all together stay within those of the environment: services that ask for nothing share
/// what those that do leave over.
///
/// # Errors
/// Says what the services ask for, what they may have, and what to change.
pub fn fit(
    rendered: &Value,
    service: ServiceLimits,
    environment: EnvironmentLimits,
) -> Result<Share, String> {
    let asked: Vec<_> = services_of(rendered)
        .map(|(_, service)| (requested_limits(service), f64::from(replicas(service))))
        .collect();
    let mut fitted = Share { memory_bytes: service.memory_bytes, cpus: service.cpus };
    if let Some(most) = environment.memory_bytes {
        let own = asked.iter().map(|(asked, count)| (asked.memory_bytes.filter(|it| *it > 0), *count));
        let own = own.map(|(bytes, count)| (bytes.map(|it| mebibytes(it.min(service.memory_bytes))), count));
        let share = share(own, mebibytes(service.memory_bytes), mebibytes(most));
        let share =
            share.filter(|share| *share >= mebibytes(LEAST_MEMORY).min(mebibytes(service.memory_bytes)));
        let told = || {
            format!(
                "limits: its {} containers do not fit into the {} MiB that an environment may have together ([limits] \
                 environment_memory); ask for less (`mem_limit` or deploy.resources.limits.memory of each service)",
                containers(&asked),
                most >> 20
            )
        };
        fitted.memory_bytes = bytes(share.ok_or_else(told)?).min(service.memory_bytes);
    }
    if let Some(most) = environment.cpus {
        let own = asked.iter().map(|(asked, count)| (asked.cpus.filter(|it| *it > 0.0), *count));
        let own = own.map(|(cpus, count)| (cpus.map(|it| it.min(service.cpus)), count));
        let share = share(own, service.cpus, most).filter(|share| *share >= LEAST_CPUS.min(service.cpus));
        let told = || {
            format!(
                "limits: its {} containers do not fit into the {most} CPUs that an environment may have together \
                 ([limits] environment_cpus); ask for less (`cpus` or deploy.resources.limits.cpus of each service)",
                containers(&asked)
            )
        };
        fitted.cpus = share.ok_or_else(told)?.min(service.cpus);
    }
    Ok(fitted)
}

/// What each that asks for nothing gets of `most`; at most `usual`, and nothing where the others take more than there is.
fn share(asked: impl Iterator<Item = (Option<f64>, f64)>, usual: f64, most: f64) -> Option<f64> {
    let (mut left, mut sharing) = (most, 0.0);
    for (own, count) in asked {
        match own {
            Some(own) => left -= own * count,
            None => sharing += count,
        }
    }
    if left < 0.0 {
        return None;
    }
    Some(if sharing > 0.0 { usual.min(left / sharing) } else { usual })
}

fn containers<T>(asked: &[(T, f64)]) -> f64 {
    asked.iter().map(|(_, count)| count).sum()
}

#[expect(clippy::cast_precision_loss, reason = "of an amount of memory, no byte is missed")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of what was a size")]
fn bytes(mebibytes: f64) -> u64 {
    (mebibytes * f64::from(1 << 20)) as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SERVICE: ServiceLimits = ServiceLimits { memory_bytes: 2 << 30, cpus: 2.0, pids: 100 };

    fn limits(memory: u64, cpus: f64) -> EnvironmentLimits {
        EnvironmentLimits { memory_bytes: Some(memory), cpus: Some(cpus) }
    }

    #[test]
    fn who_asks_for_nothing_shares_what_is_left() {
        let document = json!({"services": {
            "db": {"mem_limit": "1073741824", "cpus": 1.0}, "web": {}, "jobs": {"scale": 2}
        }});
        let fitted = fit(&document, SERVICE, limits(4 << 30, 2.5)).unwrap();
        assert_eq!((fitted.memory_bytes, fitted.cpus), (1 << 30, 0.5));
        let whole = Share { memory_bytes: SERVICE.memory_bytes, cpus: SERVICE.cpus };
        assert_eq!(fit(&document, SERVICE, limits(64 << 30, 64.0)), Ok(whole));
        assert_eq!(fit(&document, SERVICE, EnvironmentLimits::default()), Ok(whole));
    }

    #[test]
    fn too_much_is_told_with_the_way_out() {
        let document = json!({"services": {"db": {"mem_limit": "1073741824"}, "web": {}}});
        let told = fit(&document, SERVICE, limits(1 << 30, 4.0)).unwrap_err();
        assert!(told.contains("2 containers do not fit into the 1024 MiB"), "{told}");
        assert!(told.contains("[limits] environment_memory") && told.contains("mem_limit"), "{told}");
        let told = fit(&document, SERVICE, limits(8 << 30, 0.05)).unwrap_err();
        assert!(told.contains("environment_cpus"), "{told}");
    }
}
