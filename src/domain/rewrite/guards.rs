//! What every container is guarded with, whatever an operator's own overlay template leaves out.

use serde_json::{Map, Value, json};

use super::services_mut;

/// Lists that are only added to: the guard, and the words for it.
const LISTS: [(&str, &[&str]); 2] =
    [("security_opt", &["no-new-privileges:true"]), ("cap_drop", &["NET_RAW", "MKNOD"])];

/// Puts limits and guards on every service. `shares` is what [`super::overlay_values`] makes; the overlay that is merged
/// afterwards may change numbers, but takes nothing out of a list.
pub(super) fn set(document: &mut Value, shares: &Value) {
    for (name, service) in services_mut(document) {
        let Some(service) = service.as_object_mut() else { continue };
        for (key, words) in LISTS {
            add(service, key, words);
        }
        service.insert("cgroup".to_owned(), json!("private"));
        service.insert(
            "logging".to_owned(),
            json!({"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}),
        );
        let listed = shares.get("services").and_then(Value::as_array).into_iter().flatten();
        let share = listed.into_iter().find(|share| share.get("name").and_then(Value::as_str) == Some(name));
        for (key, of) in
            [("mem_limit", "memory"), ("memswap_limit", "memory"), ("cpus", "cpus"), ("pids_limit", "pids")]
        {
            if let Some(value) = share.and_then(|share| share.get(of)) {
                service.insert(key.to_owned(), value.clone());
            }
        }
    }
}

fn add(service: &mut Map<String, Value>, key: &str, words: &[&str]) {
    let list = service.entry(key).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut() {
        for word in words.iter().map(|word| json!(word)) {
            if !list.contains(&word) {
                list.push(word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_guarded() {
        let mut document =
            json!({"services": {"web": {"cap_drop": ["ALL", "MKNOD"], "security_opt": null}, "db": {}}});
        let shares = json!({"services": [{"name": "db", "memory": 5, "cpus": 0.5, "pids": 7}]});
        set(&mut document, &shares);
        let web = &document["services"]["web"];
        assert_eq!(web["cap_drop"], json!(["ALL", "MKNOD", "NET_RAW"]));
        assert_eq!(web["security_opt"], json!(["no-new-privileges:true"]));
        assert_eq!((&web["cgroup"], &web["logging"]["driver"]), (&json!("private"), &json!("json-file")));
        let db = &document["services"]["db"];
        assert_eq!((&db["mem_limit"], &db["memswap_limit"]), (&json!(5), &json!(5)));
        assert_eq!((&db["cpus"], &db["pids_limit"]), (&json!(0.5), &json!(7)));
    }
}
