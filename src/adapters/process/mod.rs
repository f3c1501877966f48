//! Child processes: own group, clean environment, time limit, output by lines; the jail.
//!
//! The only home of child processes. It knows nothing of what the programs are for.

mod ahead;
mod confine;
mod dying;
pub mod jail;
pub mod life;
mod lines;
mod running;
mod signal;
mod talk;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub use ahead::{Ahead, Started};
pub use dying::Children;
pub use jail::Jail;
pub use signal::{Told, tell};
pub use talk::Talk;

use crate::ports::{LogSink, PortError, PortResult};

/// Where programs are looked for when the caller does not say otherwise.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `GOGC` for the tools that are written in Go: they live for half a second, and a tenth of that would go into
/// collecting garbage.
pub const GARBAGE_COLLECTION: &str = "400";

/// How long a child may run when the caller does not say otherwise.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(60);

/// How much of its standard output is kept when the caller does not say otherwise.
const DEFAULT_CAPTURE_LIMIT: usize = 1024 * 1024;

/// A program to run once. Its environment is what is set here, `PATH`, and the mark of the daemon's life.
///
/// Dropping the future of a run kills the child and everything it started in its process group.
#[derive(Clone)]
#[must_use]
pub struct Command {
    name: String,
    program: OsString,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: Option<PathBuf>,
    input: Option<Vec<u8>>,
    time_limit: Duration,
    capture_limit: usize,
    secrets: Vec<String>,
    jail: Option<Jail>,
    pulse: Option<Arc<AtomicU64>>,
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote, up to the capture limit.
    pub stdout: Vec<u8>,
    /// There was more than the capture limit.
    pub truncated: bool,
    /// The end of what it wrote to standard error; secrets are taken out.
    pub stderr: String,
}

impl Output {
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output as text; bytes that are no UTF-8 appear as `\xNN`.
    pub fn text(&self) -> String {
        lines::decode(&self.stdout)
    }
}

impl Command {
    /// `program` is a path, or a name that is looked for in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        let program = program.into();
        let name =
            std::path::Path::new(&program).file_name().unwrap_or(&program).to_string_lossy().into_owned();
        Self {
            name,
            program,
            arguments: Vec::new(),
            environment: life::mark().into_iter().chain([("PATH".into(), DEFAULT_PATH.into())]).collect(),
            directory: None,
            input: None,
            time_limit: DEFAULT_TIME_LIMIT,
            capture_limit: DEFAULT_CAPTURE_LIMIT,
            secrets: Vec::new(),
            jail: None,
            pulse: None,
        }
    }

    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn args<I, A>(mut self, arguments: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Without a variable that it would have by default.
    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(OsStr::new(name));
        self
    }

    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Bytes for its standard input; without them it is empty.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// What still runs after this is killed, and the run is a transient error.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How many bytes of standard output are kept. The rest is read and dropped.
    pub fn capture_limit(mut self, bytes: usize) -> Self {
        self.capture_limit = bytes;
        self
    }

    /// A value that must not appear in lines, errors and the tail of standard error.
    pub fn secret(mut self, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.secrets.push(value);
        }
        self
    }

    /// Counts the bytes that it writes while it runs: whoever holds the counter sees that it gets on.
    pub fn pulse(mut self, counter: Arc<AtomicU64>) -> Self {
        self.pulse = Some(counter);
        self
    }

    /// What errors call it, in place of the program's file name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Runs it and gives back whatever came out; an exit code other than 0 is no error here.
    pub async fn output(self) -> PortResult<Output> {
        running::execute(&self, None).await
    }

    /// Runs it; an exit code other than 0 is a permanent error with the end of its standard error.
    pub async fn run(self) -> PortResult<Output> {
        let output = running::execute(&self, None).await?;
        self.expect_success(output)
    }

    /// Like [`Command::output`], with each line of both outputs given to `log` as it comes, under `source`.
    pub async fn stream(self, source: &str, log: &dyn LogSink) -> PortResult<Output> {
        running::execute(&self, Some((source, log))).await
    }

    fn in_jail(mut self, jail: Jail) -> Self {
        self.jail = Some(jail);
        self
    }

    fn expect_success(&self, output: Output) -> PortResult<Output> {
        if output.succeeded() {
            return Ok(output);
        }
        Err(PortError::Permanent(self.failure(&output)))
    }

    /// One line of what went wrong and the tail of standard error.
    pub fn failure(&self, output: &Output) -> String {
        let how = match output.code {
            Some(code) => format!("ended with exit code {code}"),
            None => "was ended by a signal".to_owned(),
        };
        match output.stderr.trim() {
            "" => format!("{} {how} and said nothing", self.name),
            said => format!("{} {how}: {said}", self.name),
        }
    }

    /// Program and arguments as they are started, the jail included.
    fn invocation(&self) -> (OsString, Vec<OsString>) {
        match &self.jail {
            Some(jail) => jail.invocation(&self.program, &self.arguments, self.environment.keys()),
            None => (self.program.clone(), self.arguments.clone()),
        }
    }

    fn redact(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// Concatenates without the need for UTF-8.
fn joined(left: &str, right: &OsStr) -> OsString {
    let mut whole = OsString::from(left);
    whole.push(right);
    whole
}

#[cfg(test)]
mod tests;
