//! Jobs of a stack: commands that drey runs in a service's container, after the start or before the archive.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names::Generation;

/// Time that a job has where it says nothing.
pub const DEFAULT_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Most time that a job may ask for: a newer push waits for its end.
pub const LONGEST_WITHIN: Duration = Duration::from_secs(60 * 60);
/// Characters of a command that are shown in plans and reasons.
const SHOWN: usize = 100;

/// A command in a service's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub service: String,
    pub run: Command,
    pub when: When,
    /// From its start to its end.
    pub within: Duration,
}

/// As the compose file says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// For `sh -c` of the container.
    Shell(String),
    /// Program and arguments, no shell between.
    Exec(Vec<String>),
}

/// At which point of the environment's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The containers are up, nobody is let in yet.
    AfterStart(OncePer),
    /// The containers still run, nothing is stopped yet.
    BeforeArchive,
}

/// How often a job after the start has to succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OncePer {
    /// In the whole life of the environment.
    Environment,
    /// In each deployment that touches the stack.
    #[default]
    Deployment,
}

impl Job {
    /// Tells it from other jobs: by service, command and place. A changed command is another job; a changed
    /// `once_per` or `within` is not.
    pub fn key(&self) -> String {
        let place = match self.when {
            When::AfterStart(_) => "after_start",
            When::BeforeArchive => "before_archive",
        };
        let mut digest = Sha256::new();
        for part in [place.to_owned(), self.service.clone()].into_iter().chain(self.command()) {
            digest.update(part);
            digest.update([0]);
        }
        hex::encode(digest.finalize())
    }

    /// The command as the engine takes it.
    pub fn command(&self) -> Vec<String> {
        let shell = matches!(self.run, Command::Shell(_)).then_some(["sh", "-c"]);
        shell.into_iter().flatten().chain(self.arguments()).map(str::to_owned).collect()
    }

    fn arguments(&self) -> impl Iterator<Item = &str> {
        let arguments = match &self.run {
            Command::Shell(text) => std::slice::from_ref(text),
            Command::Exec(arguments) => arguments,
        };
        arguments.iter().map(String::as_str)
    }
}

impl fmt::Display for Job {
    /// `<service>: <command>`, one short line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.arguments().flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        let shown: String = text.chars().take(SHOWN).collect();
        let dots = if shown.len() < text.len() { "…" } else { "" };
        write!(f, "{}: {shown}{dots}", self.service)
    }
}

/// Which jobs have succeeded already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobsDone {
    /// [`Job::key`] → the newest generation in which it succeeded.
    pub done: BTreeMap<String, Generation>,
    /// The generation of the present wish to run; an end belongs to the one before it.
    pub present: Option<Generation>,
}

impl JobsDone {
    /// Why the job has to run now; nothing when it need not. `goes_up`: containers of the stack are touched.
    pub fn why_run(&self, job: &Job, goes_up: bool) -> Option<&'static str> {
        let done = self.done.get(&job.key()).copied();
        let is_done_now = done.is_some() && done == self.present;
        match (job.when, done) {
            (_, Some(_)) if is_done_now => None,
            (When::BeforeArchive, _) => Some("it comes before the archive"),
            (When::AfterStart(_), None) => Some("it has not succeeded in this environment yet"),
            (When::AfterStart(OncePer::Deployment), Some(_)) if goes_up => {
                Some("once in each deployment that touches the stack")
            }
            (When::AfterStart(OncePer::Deployment | OncePer::Environment), Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(run: Command, when: When) -> Job {
        Job { service: "web".into(), run, when, within: DEFAULT_WITHIN }
    }

    fn shell(text: &str) -> Command {
        Command::Shell(text.into())
    }

    #[test]
    fn a_string_goes_through_the_shell_and_a_list_does_not() {
        let when = When::AfterStart(OncePer::Deployment);
        let text = job(shell("./migrate \\\n  --all"), when);
        assert_eq!(text.command(), ["sh", "-c", "./migrate \\\n  --all"]);
        assert_eq!(text.to_string(), "web: ./migrate \\ --all");
        let list = job(Command::Exec(vec!["./migrate".into(), "a b".into()]), when);
        assert_eq!(list.command(), ["./migrate", "a b"]);
        let long = job(shell(&"x".repeat(200)), when).to_string();
        assert!(long.ends_with("x…") && long.chars().count() == 5 + SHOWN + 1, "{long}");
    }

    #[test]
    fn what_it_runs_and_where_makes_a_job() {
        let per = |once_per| When::AfterStart(once_per);
        let job_of = |text: &str, when| job(shell(text), when);
        let seed = job_of("./seed", per(OncePer::Environment));
        assert_eq!(seed.key(), job_of("./seed", per(OncePer::Deployment)).key());
        assert_eq!(seed.key(), Job { within: LONGEST_WITHIN, ..seed.clone() }.key());
        assert_ne!(seed.key(), job_of("./seed --more", per(OncePer::Environment)).key());
        assert_ne!(seed.key(), job_of("./seed", When::BeforeArchive).key());
        assert_ne!(seed.key(), Job { service: "db".into(), ..seed.clone() }.key());
        assert_ne!(seed.key(), job(Command::Exec(vec!["./seed".into()]), seed.when).key());
    }

    #[test]
    fn once_is_counted_by_environment_or_by_deployment() {
        let seed = job(shell("./seed"), When::AfterStart(OncePer::Environment));
        let migrate = job(shell("./migrate"), When::AfterStart(OncePer::Deployment));
        let dump = job(shell("./dump"), When::BeforeArchive);
        let nothing = JobsDone { present: Some(Generation(3)), ..JobsDone::default() };
        let done_in = |generation| JobsDone {
            done: [&seed, &migrate, &dump].map(|job| (job.key(), Generation(generation))).into(),
            present: Some(Generation(3)),
        };
        for job in [&seed, &migrate, &dump] {
            assert!(nothing.why_run(job, false).is_some(), "{job}");
            assert_eq!(done_in(3).why_run(job, true), None, "{job}: tried again it is not done twice");
        }
        assert_eq!(done_in(2).why_run(&seed, true), None);
        assert_eq!(done_in(2).why_run(&migrate, false), None, "nothing was touched");
        assert!(done_in(2).why_run(&migrate, true).is_some());
        assert!(done_in(2).why_run(&dump, false).is_some());
    }

    #[test]
    fn a_stored_job_is_read_back() {
        for run in [shell("./seed"), Command::Exec(vec!["./seed".into()])] {
            for when in [When::AfterStart(OncePer::Environment), When::BeforeArchive] {
                let job = job(run.clone(), when);
                let text = serde_json::to_string(&job).unwrap();
                assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{text}");
            }
        }
    }
}
