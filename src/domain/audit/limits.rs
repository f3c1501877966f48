//! What a container may take from the host.

use serde_json::Value;

use super::Look;
use crate::domain::policy::Rule;

pub(super) fn check(look: &mut Look<'_>) {
    let container = look.container;
    if container.memory_bytes <= 0 {
        look.breach(Rule::Limits, "has no memory limit");
    }
    if container.swap_bytes < 0 {
        look.breach(Rule::Limits, "has no swap limit");
    }
    if !container.cpus_limited {
        look.breach(Rule::Limits, "has no CPU limit");
    }
    if container.pids <= 0 {
        look.breach(Rule::Limits, "has no limit of processes");
    }
    if container.oom_kill_disabled || container.oom_score < 0 {
        look.breach(Rule::Limits, "would outlive the host when memory is short");
    }
    let log = &container.log;
    let of_operator =
        look.overlay("logging").and_then(|logging| logging.get("driver")).and_then(Value::as_str);
    let is_kept = ["json-file", "local"].contains(&log.driver.as_str());
    if of_operator == Some(log.driver.as_str()) && !is_kept {
        return;
    }
    if !is_kept {
        look.breach(Rule::Log, format!("sends its output to {:?}", log.driver));
    } else if !log.is_limited {
        look.breach(Rule::Log, "keeps its output without a limit");
    }
}
