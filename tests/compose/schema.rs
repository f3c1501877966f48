//! The schema that the installed plugin carries, and the list of its keys that the policy's table is tested with.

use std::collections::BTreeSet;

use drey::adapters::docker::find_plugin;
use serde_json::Value;

const LISTED: &str = include_str!("../../src/domain/policy/table/schema_keys.txt");

/// The schema is a text inside the program.
fn schema() -> Value {
    let plugin = find_plugin("docker-compose", None).unwrap();
    let program = std::fs::read(plugin).unwrap();
    let mark = b"\"$id\": \"compose_spec.json\"";
    let at = program.windows(mark.len()).position(|part| part == mark).unwrap();
    let begin = program[..at].iter().rposition(|byte| *byte == b'{').unwrap();
    serde_json::Deserializer::from_slice(&program[begin..]).into_iter().next().unwrap().unwrap()
}

fn keys(schema: &Value, node: &Value, path: &str, open: &[&str], found: &mut BTreeSet<String>) {
    if let Some(name) = node.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next()) {
        if !open.contains(&name) {
            keys(schema, &schema["definitions"][name], path, &[open, &[name]].concat(), found);
        }
        return;
    }
    let choices = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| node.get(key)?.as_array()).flatten();
    for choice in choices {
        keys(schema, choice, path, open, found);
    }
    if let Some(items) = node.get("items") {
        keys(schema, items, &format!("{path}[]"), open, found);
    }
    for (name, inner) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.insert(below.clone());
        keys(schema, inner, &below, open, found);
    }
    let patterns = node.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
    let named = patterns.filter(|(pattern, _)| !pattern.starts_with("^x-")).map(|(_, inner)| inner);
    for inner in named.chain(node.get("additionalProperties").filter(|it| it.is_object())) {
        keys(schema, inner, &format!("{path}.*"), open, found);
    }
}

#[test]
fn every_key_of_the_installed_plugin_is_listed() {
    let schema = schema();
    let mut found = BTreeSet::new();
    keys(&schema, &schema, "", &[], &mut found);
    let listed: BTreeSet<&str> = LISTED.lines().collect();
    let missing: Vec<&String> = found.iter().filter(|key| !listed.contains(key.as_str())).collect();
    assert!(found.len() > 300 && missing.is_empty(), "of {}: {missing:?}", found.len());
}
