//! The jobs under `x-drey:`, read from the document as Compose resolved it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::fault::{SettingFault, duration, fault};
use crate::domain::jobs::{Command, DEFAULT_WITHIN, Job, LONGEST_WITHIN, OncePer, When};

const AFTER_START: &str = "after_start";
const BEFORE_ARCHIVE: &str = "before_archive";
const ONCE_PER: &str = "once_per";
/// All keys of `x-drey` that are read here.
pub(super) const KEYS: [&str; 3] = [ONCE_PER, AFTER_START, BEFORE_ARCHIVE];
/// Most jobs in one list.
const MOST_JOBS: usize = 32;
/// Most bytes of a command: less than an engine and a kernel take for one argument.
const LONGEST_COMMAND: usize = 32 * 1024;
/// Shorter is a slip of the pen.
const SHORTEST_WITHIN: Duration = Duration::from_secs(1);

/// Both lists, in their order.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) after_start: Vec<Job>,
    pub(super) before_archive: Vec<Job>,
}

/// Reads what there is of jobs among the members of `section`.
pub(super) fn read(
    section: &str,
    members: &Map<String, Value>,
    services: &BTreeSet<&str>,
) -> Result<Jobs, Vec<SettingFault>> {
    let mut reader = Reader { services, once_per: OncePer::default(), faults: Vec::new() };
    if let Some(value) = members.get(ONCE_PER) {
        let given = once_per(&format!("{section}.{ONCE_PER}"), value);
        reader.once_per = reader.note(given).unwrap_or_default();
    }
    let mut list = |name: &str| match members.get(name) {
        Some(value) => reader.list(&format!("{section}.{name}"), value, name == BEFORE_ARCHIVE),
        None => Vec::new(),
    };
    let jobs = Jobs { after_start: list(AFTER_START), before_archive: list(BEFORE_ARCHIVE) };
    if reader.faults.is_empty() { Ok(jobs) } else { Err(reader.faults) }
}

struct Reader<'a> {
    services: &'a BTreeSet<&'a str>,
    /// For jobs that say nothing of their own.
    once_per: OncePer,
    faults: Vec<SettingFault>,
}

impl Reader<'_> {
    fn note<T>(&mut self, read: Result<T, SettingFault>) -> Option<T> {
        read.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn list(&mut self, key: &str, value: &Value, before_archive: bool) -> Vec<Job> {
        let Some(items) = value.as_array() else {
            self.faults.push(fault(key, "must be a list of jobs, each with `service` and `run`"));
            return Vec::new();
        };
        if items.len() > MOST_JOBS {
            self.faults.push(fault(key, &format!("has {} jobs; {MOST_JOBS} at most", items.len())));
            return Vec::new();
        }
        let job = |(number, item)| self.job(&format!("{key}[{number}]"), item, before_archive);
        items.iter().enumerate().filter_map(job).collect()
    }

    fn job(&mut self, key: &str, item: &Value, before_archive: bool) -> Option<Job> {
        let Some(members) = item.as_object() else {
            self.faults.push(fault(key, "must be a mapping with `service` and `run`"));
            return None;
        };
        let known: &[&str] = if before_archive {
            &["service", "run", "within"]
        } else {
            &["service", "run", "within", ONCE_PER]
        };
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let reason = format!("is no key of a job here; there are {}", known.join(", "));
            self.faults.push(fault(&format!("{key}.{name}"), &reason));
        }
        let below = |name: &str| (format!("{key}.{name}"), members.get(name));
        let service = self.note(self.service(below("service")));
        let run = self.note(command(below("run")));
        let within = self.note(within(below("within")));
        let per = match below(ONCE_PER) {
            (key, Some(value)) if !before_archive => self.note(once_per(&key, value)),
            (_, Some(_) | None) => Some(self.once_per),
        };
        let when = if before_archive { When::BeforeArchive } else { When::AfterStart(per?) };
        Some(Job { service: service?, run: run?, when, within: within? })
    }

    fn service(&self, (key, value): (String, Option<&Value>)) -> Result<String, SettingFault> {
        let Some(name) = value.and_then(Value::as_str) else {
            return Err(fault(&key, "must name the service in whose container the job runs"));
        };
        if self.services.contains(name) {
            return Ok(name.to_owned());
        }
        let there: Vec<&str> = self.services.iter().copied().collect();
        Err(fault(&key, &format!("{name:?} is no service that is started; there are {}", there.join(", "))))
    }
}

fn once_per(key: &str, value: &Value) -> Result<OncePer, SettingFault> {
    match value.as_str() {
        Some("environment") => Ok(OncePer::Environment),
        Some("deployment") => Ok(OncePer::Deployment),
        Some(_) | None => Err(fault(key, "must be environment or deployment")),
    }
}

fn within((key, value): (String, Option<&Value>)) -> Result<Duration, SettingFault> {
    let Some(value) = value else { return Ok(DEFAULT_WITHIN) };
    let (within, text) = duration(&key, value)?;
    if within < SHORTEST_WITHIN || within > LONGEST_WITHIN {
        return Err(fault(&key, &format!("{text:?} is too short or too long; write from 1s to 1h")));
    }
    Ok(within)
}

fn command((key, value): (String, Option<&Value>)) -> Result<Command, SettingFault> {
    let wrong = || fault(&key, "must be a text for `sh -c`, or a list of texts: a program and its arguments");
    let command = match value {
        Some(Value::String(text)) => Command::Shell(plain(text)),
        Some(Value::Array(items)) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(plain)).collect();
            Command::Exec(texts.ok_or_else(wrong)?)
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            return Err(wrong());
        }
    };
    let (first, length) = match &command {
        Command::Shell(text) => (Some(text), text.len()),
        Command::Exec(texts) => (texts.first(), texts.iter().map(String::len).sum()),
    };
    if first.is_none_or(|first| first.trim().is_empty()) {
        return Err(wrong());
    }
    if length > LONGEST_COMMAND {
        let reason =
            format!("is {length} bytes long, {LONGEST_COMMAND} at most; put it into a file of the image");
        return Err(fault(&key, &reason));
    }
    Ok(command)
}

/// Compose writes every `$` of a resolved document twice, so that it may be read again.
fn plain(text: &str) -> String {
    text.replace("$$", "$")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_jobs(value: &Value) -> Result<Jobs, Vec<SettingFault>> {
        read("x-drey", value.as_object().unwrap(), &BTreeSet::from(["db", "web"]))
    }

    #[test]
    fn jobs_are_read_in_their_order_with_what_they_do_not_say() {
        let jobs = read_jobs(&json!({
            "once_per": "environment",
            "after_start": [
                {"service": "db", "run": "seed $$HOME", "within": "20m"},
                {"service": "web", "run": ["./migrate", "--all"], "once_per": "deployment"},
            ],
            "before_archive": [{"service": "db", "run": "dump"}],
        }))
        .unwrap();
        let seed = Job {
            service: "db".into(),
            run: Command::Shell("seed $HOME".into()),
            when: When::AfterStart(OncePer::Environment),
            within: Duration::from_secs(1200),
        };
        let migrate = Job {
            service: "web".into(),
            run: Command::Exec(vec!["./migrate".into(), "--all".into()]),
            when: When::AfterStart(OncePer::Deployment),
            within: DEFAULT_WITHIN,
        };
        assert_eq!(jobs.after_start, [seed.clone(), migrate]);
        let dump = Job {
            run: Command::Shell("dump".into()),
            when: When::BeforeArchive,
            within: DEFAULT_WITHIN,
            ..seed
        };
        assert_eq!(jobs.before_archive, [dump]);
        let plain = read_jobs(&json!({"after_start": [{"service": "db", "run": "x"}]})).unwrap();
        assert_eq!(plain.after_start[0].when, When::AfterStart(OncePer::Deployment));
    }

    #[test]
    fn every_fault_of_a_job_is_told_with_its_place() {
        let faults = read_jobs(&json!({
            "once_per": "push",
            "after_start": [
                {"service": "wbe", "run": " ", "within": "2h", "once_per": 1, "user": "root"},
                {"service": 1, "run": ["x", 3], "within": "0s"},
                {}, "./migrate",
            ],
            "before_archive": [{"service": "db", "run": [], "once_per": "environment"}],
        }))
        .unwrap_err();
        let told = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(told, @r#"
        x-drey.once_per: must be environment or deployment
        x-drey.after_start[0].user: is no key of a job here; there are service, run, within, once_per
        x-drey.after_start[0].service: "wbe" is no service that is started; there are db, web
        x-drey.after_start[0].run: must be a text for `sh -c`, or a list of texts: a program and its arguments
        x-drey.after_start[0].within: "2h" is too short or too long; write from 1s to 1h
        x-drey.after_start[0].once_per: must be environment or deployment
        x-drey.after_start[1].service: must name the service in whose container the job runs
        x-drey.after_start[1].run: must be a text for `sh -c`, or a list of texts: a program and its arguments
        x-drey.after_start[1].within: "0s" is too short or too long; write from 1s to 1h
        x-drey.after_start[2].service: must name the service in whose container the job runs
        x-drey.after_start[2].run: must be a text for `sh -c`, or a list of texts: a program and its arguments
        x-drey.after_start[3]: must be a mapping with `service` and `run`
        x-drey.before_archive[0].once_per: is no key of a job here; there are service, run, within
        x-drey.before_archive[0].run: must be a text for `sh -c`, or a list of texts: a program and its arguments
        "#);
        let told = |value: Value| read_jobs(&value).unwrap_err().remove(0).to_string();
        assert!(told(json!({"after_start": null})).starts_with("x-drey.after_start: must be a list of jobs"));
        let many = vec![json!({"service": "db", "run": "x"}); MOST_JOBS + 1];
        assert!(told(json!({"after_start": many})).contains("33 jobs"));
        let long = "x".repeat(LONGEST_COMMAND + 1);
        assert!(told(json!({"after_start": [{"service": "db", "run": long}]})).contains("at most"));
    }
}
