//! What a stack says of itself under `x-drey:` at the top of its compose file: the names of `[defaults]`, for this
//! environment alone. Kept with the applied stack, because most of it counts when the checkout is long gone.

mod fault;
mod jobs;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use fault::SettingFault;

use super::branches::BranchGlobs;
use super::jobs::Job;
use super::rest::SleepMode;
use super::secrets::SecretName;
use fault::fault;

/// The key at the top of a compose file.
const SECTION: &str = "x-drey";
/// All that may stand there.
const KNOWN: &str =
    "sleep, sleep_after, expire_after, merge_grace, keep, once_per, after_start, before_archive, secrets";
/// Longest time that a branch may ask for.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What is absent is as the repository has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleep: Option<SleepMode>,
    /// From the last visit or deployment to sleep; zero: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleep_after: Option<Duration>,
    /// From the last visit or push to the archive; zero: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<Duration>,
    /// From merge or deletion to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_grace: Option<Duration>,
    /// Branches that a merge does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<BranchGlobs>,
    /// Run in this order when the containers are up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_start: Vec<Job>,
    /// Run in this order before the containers are stopped for an archive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before_archive: Vec<Job>,
    /// Service → names of the secrets it asks for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, BTreeSet<SecretName>>,
}

impl StackSettings {
    /// The settings of a document as Compose resolved it.
    ///
    /// # Errors
    /// Every fault there is, one for each key at least.
    pub fn read(document: &Value) -> Result<Self, Vec<SettingFault>> {
        let mut settings = Self::default();
        let members = match document.get(SECTION) {
            None | Some(Value::Null) => return Ok(settings),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(vec![fault(SECTION, &format!("must be a mapping; it may hold {KNOWN}"))]),
        };
        let mut faults: Vec<SettingFault> =
            members.iter().filter_map(|(name, value)| settings.set(name, value).err()).collect();
        let services = document.get("services").and_then(Value::as_object).into_iter().flatten();
        let services: BTreeSet<&str> = services.map(|(name, _)| name.as_str()).collect();
        if let Some(value) = members.get(secrets::KEY) {
            match secrets::read(&format!("{SECTION}.{}", secrets::KEY), value, &services) {
                Ok(wanted) => settings.secrets = wanted,
                Err(more) => faults.extend(more),
            }
        }
        match jobs::read(SECTION, members, &services) {
            Ok(jobs) => {
                settings.after_start = jobs.after_start;
                settings.before_archive = jobs.before_archive;
            }
            Err(more) => faults.extend(more),
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingFault> {
        let key = format!("{SECTION}.{name}");
        match name {
            "sleep" => {
                let mode = SleepMode::parse(value.as_str());
                self.sleep = Some(mode.map_err(|reason| fault(&key, &reason))?);
            }
            "sleep_after" => self.sleep_after = Some(duration(&key, value)?),
            "expire_after" => self.expire_after = Some(duration(&key, value)?),
            "merge_grace" => self.merge_grace = Some(duration(&key, value)?),
            "keep" => self.keep = Some(globs(&key, value)?),
            _ if jobs::KEYS.contains(&name) || name == secrets::KEY => {}
            "policy" | "allow" => {
                let reason = "a branch does not choose its own policy; leave it out, and ask the operator for a \
                              single permission (`allow` of [[repo]])";
                return Err(fault(&key, reason));
            }
            _ => return Err(fault(&key, &format!("is no setting; there are {KNOWN}"))),
        }
        Ok(())
    }
}

fn duration(key: &str, value: &Value) -> Result<Duration, SettingFault> {
    let (duration, text) = fault::duration(key, value)?;
    if duration > LONGEST {
        return Err(fault(key, &format!("{text:?} is longer than a year; write 366d at most")));
    }
    Ok(duration)
}

fn globs(key: &str, value: &Value) -> Result<BranchGlobs, SettingFault> {
    let wrong = || fault(key, "must be a list of globs over branch names, for instance [\"release/**\"]");
    let items = value.as_array().ok_or_else(wrong)?;
    let patterns: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    BranchGlobs::parse(patterns.ok_or_else(wrong)?).map_err(|reason| fault(key, &reason))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::names::BranchName;

    fn read(settings: &Value) -> Result<StackSettings, Vec<SettingFault>> {
        StackSettings::read(&json!({ "services": {}, "x-drey": settings }))
    }

    #[test]
    fn the_names_of_the_defaults_are_read() {
        assert_eq!(StackSettings::read(&json!({})), Ok(StackSettings::default()));
        assert_eq!(read(&Value::Null), Ok(StackSettings::default()));
        let found = read(
            &json!({ "sleep_after": "2h", "expire_after": "14d", "merge_grace": 0, "keep": ["demo/**"] }),
        );
        let found = found.unwrap();
        assert_eq!(found.sleep_after, Some(Duration::from_secs(7200)));
        assert_eq!(found.expire_after, Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(found.merge_grace, Some(Duration::ZERO));
        let keep = found.keep.clone().unwrap();
        assert!(keep.matches(&BranchName::parse("demo/a/b").unwrap()));
        let stored = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<StackSettings>(&stored).unwrap(), found);
        assert_eq!(serde_json::from_str::<StackSettings>("{}").unwrap(), StackSettings::default());
    }

    #[test]
    fn every_fault_is_told_with_its_key_and_the_way_out() {
        let told = |settings: Value| {
            let faults = read(&settings).unwrap_err();
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(told(json!({
            "after": 1, "allow": ["bind-rw"], "expire_after": "9999d", "keep": "demo", "merge_grace": 5,
            "policy": "strict", "sleep_after": ["1h"],
        })), @r#"
        x-drey.after: is no setting; there are sleep, sleep_after, expire_after, merge_grace, keep, once_per, after_start, before_archive, secrets
        x-drey.allow: a branch does not choose its own policy; leave it out, and ask the operator for a single permission (`allow` of [[repo]])
        x-drey.expire_after: "9999d" is longer than a year; write 366d at most
        x-drey.keep: must be a list of globs over branch names, for instance ["release/**"]
        x-drey.merge_grace: "5" is no length of time; write for instance 90s, 30m, 2h or 14d
        x-drey.policy: a branch does not choose its own policy; leave it out, and ask the operator for a single permission (`allow` of [[repo]])
        x-drey.sleep_after: must be a length of time; write for instance 90s, 30m, 2h or 14d
        "#);
        assert!(told(json!({ "keep": ["a[b"] })).starts_with("x-drey.keep: \"a[b\" is no glob"));
        assert!(told(json!({ "keep": [1] })).contains("must be a list of globs"));
        assert!(told(json!(["merge_grace"])).starts_with("x-drey: must be a mapping"));
        assert!(told(json!({ "merge_grace": null })).contains("x-drey.merge_grace"));
    }
}
