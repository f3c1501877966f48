//! `x-drey: secrets:`, a list of names for every service, or a list for each service. It stands at the top of the file:
//! what is under `x-` on a service Compose drops when it resolves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fault::{SettingFault, fault};
use crate::domain::secrets::SecretName;

/// The key below `x-drey`.
pub(super) const KEY: &str = "secrets";

/// Service → names of the secrets it asks for.
pub(super) type Wanted = BTreeMap<String, BTreeSet<SecretName>>;

/// Reads what each of the services asks for; `key` is that of the value.
pub(super) fn read(key: &str, value: &Value, services: &BTreeSet<&str>) -> Result<Wanted, Vec<SettingFault>> {
    let by_service = match value {
        Value::Object(by_service) => by_service,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let for_all = names(key, value).map_err(|fault| vec![fault])?;
            let each = services.iter().map(|service| ((*service).to_owned(), for_all.clone()));
            return Ok(each.filter(|(_, names)| !names.is_empty()).collect());
        }
    };
    let (mut wanted, mut faults) = (Wanted::new(), Vec::new());
    for (service, list) in by_service {
        let key = format!("{key}.{service}");
        if !services.contains(service.as_str()) {
            let known = services.iter().copied().collect::<Vec<_>>().join(", ");
            faults.push(fault(&key, &format!("no service is named {service}; there are: {known}")));
            continue;
        }
        match names(&key, list) {
            Ok(names) if names.is_empty() => {}
            Ok(names) => drop(wanted.insert(service.clone(), names)),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(wanted) } else { Err(faults) }
}

fn names(key: &str, list: &Value) -> Result<BTreeSet<SecretName>, SettingFault> {
    let wrong = || {
        let reason = "must be a list of names of secrets, for instance [\"DB_PASSWORD\"], or one for each service, \
                      {\"web\": [\"DB_PASSWORD\"]}";
        fault(key, reason)
    };
    let items = list.as_array().ok_or_else(wrong)?;
    let mut names = BTreeSet::new();
    for item in items {
        let name = SecretName::parse(item.as_str().ok_or_else(wrong)?);
        names.insert(name.map_err(|error| fault(key, &error.to_string()))?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> Result<String, String> {
        let read = read("x-drey.secrets", value, &BTreeSet::from(["db", "web"]));
        let line = |(service, names): (&String, &BTreeSet<SecretName>)| {
            format!("{service}: {}", names.iter().map(SecretName::as_str).collect::<Vec<_>>().join(" "))
        };
        read.map(|wanted| wanted.iter().map(line).collect::<Vec<_>>().join("; "))
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_list_is_for_all_and_a_mapping_for_each() {
        assert_eq!(of(&json!(["B", "A"])).unwrap(), "db: A B; web: A B");
        assert_eq!(of(&json!({"web": ["A"], "db": []})).unwrap(), "web: A");
        assert_eq!(of(&json!([])).unwrap(), "");
    }

    #[test]
    fn what_is_no_list_of_names_is_told_with_its_key() {
        insta::assert_snapshot!(
            of(&json!({"db": ["../x"], "web": "A", "worker": ["A"]})).unwrap_err(),
            @r#"
        x-drey.secrets.db: secret name "../x": must have 1 to 64 letters, digits and . _ -, and begin with a letter or an underscore
        x-drey.secrets.web: must be a list of names of secrets, for instance ["DB_PASSWORD"], or one for each service, {"web": ["DB_PASSWORD"]}
        x-drey.secrets.worker: no service is named worker; there are: db, web
        "#
        );
        assert!(of(&json!("A")).unwrap_err().starts_with("x-drey.secrets: must be a list"));
        assert!(of(&json!([1])).unwrap_err().starts_with("x-drey.secrets: must be a list"));
    }
}
