//! Which services' containers `docker compose up` replaces, from the stack that runs to the one that is wanted.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::stack::Stack;

/// Keys by which a service lives in another one's container: it is replaced with it.
const SHARED: [&str; 3] = ["network_mode", "ipc", "pid"];

/// Services of `applied` whose containers `wanted` replaces or removes.
pub(super) fn services<'a>(applied: &'a Stack, wanted: &Stack) -> BTreeSet<&'a str> {
    let changed = |name: &&str| definition(applied, name) != definition(wanted, name);
    let mut replaced: BTreeSet<&str> = applied.services.keys().map(String::as_str).filter(changed).collect();
    loop {
        let with_them: Vec<&str> = applied
            .services
            .keys()
            .map(String::as_str)
            .filter(|name| !replaced.contains(name))
            .filter(|name| definition(wanted, name).is_some_and(|it| lives_in(it, &replaced)))
            .collect();
        if with_them.is_empty() {
            return replaced;
        }
        replaced.extend(with_them);
    }
}

fn definition<'a>(stack: &'a Stack, service: &str) -> Option<&'a Value> {
    stack.document.get("services")?.get(service)
}

fn lives_in(definition: &Value, others: &BTreeSet<&str>) -> bool {
    let shares = SHARED.iter().filter_map(|key| definition.get(*key)?.as_str()?.strip_prefix("service:"));
    let volumes = definition.get("volumes_from").and_then(Value::as_array);
    let volumes = volumes.into_iter().flatten().filter_map(|entry| entry.as_str()?.split(':').next());
    shares.chain(volumes).any(|name| others.contains(name))
}
