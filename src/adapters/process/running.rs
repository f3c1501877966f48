//! One run of a child: start, feed, read, wait, and the certain end of its group.

use std::io::ErrorKind;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::lines::{Lines, decode};
use super::{Command, Output, dying};
use crate::ports::{LogLine, LogSink, PortError, PortResult};

/// How long the pipes are read after the child's end: a grandchild in another session may hold them open.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// How much of the end of standard error is kept for errors.
const STDERR_TAIL: usize = 4 * 1024;

/// Who is told of each line, and under which name.
pub(super) type Follower<'a> = Option<(&'a str, &'a dyn LogSink)>;

/// A child and its group.
pub(super) struct Running {
    // Dropped in this order: while the child is not reaped, the group's id cannot be anybody else's.
    group: Group,
    child: Child,
}

impl Running {
    /// Its input, output and complaints; each once.
    pub(super) fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

pub(super) async fn execute(command: &Command, follower: Follower<'_>) -> PortResult<Output> {
    let running = spawn(command, command.input.is_some())?;
    follow(command, running, follower).await
}

/// Feeds and reads the child until its end or the command's time limit.
pub(super) async fn follow(
    command: &Command,
    mut running: Running,
    follower: Follower<'_>,
) -> PortResult<Output> {
    match timeout(command.time_limit, converse(command, &mut running, follower)).await {
        Ok(output) => output,
        Err(_elapsed) => Err(PortError::Transient(format!(
            "{} did not end within {} s and was stopped",
            command.name,
            command.time_limit.as_secs()
        ))),
    }
}

async fn converse(
    command: &Command,
    Running { group, child }: &mut Running,
    follower: Follower<'_>,
) -> PortResult<Output> {
    let mut stdout = Capture::head(command.capture_limit);
    let mut stderr = Capture::tail(STDERR_TAIL);
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let status = {
        let mut pipes = pin!(async {
            tokio::join!(
                feed(input, command.input.as_deref()),
                read(out, &mut stdout, command, follower),
                read(err, &mut stderr, command, follower),
            )
        });
        let mut end = pin!(wait(child, group));
        tokio::select! {
            status = &mut end => {
                // A pipe that stays open past the limit belongs to nobody we wait for: what was read is kept.
                timeout(DRAIN_LIMIT, &mut pipes).await.unwrap_or_default();
                status
            }
            _ = &mut pipes => end.await,
        }
    };
    let status =
        status.map_err(|error| PortError::Transient(format!("{}: cannot wait: {error}", command.name)))?;
    Ok(Output {
        code: status.code(),
        truncated: stdout.lost,
        stdout: stdout.bytes,
        stderr: command.redact(decode(&stderr.bytes)),
    })
}

#[expect(clippy::disallowed_methods, reason = "the home of child processes")]
pub(super) fn spawn(command: &Command, is_fed: bool) -> PortResult<Running> {
    let (program, arguments) = command.invocation();
    let mut builder = tokio::process::Command::new(&program);
    builder
        .args(arguments)
        .env_clear()
        .envs(&command.environment)
        .stdin(if is_fed { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(directory) = &command.directory {
        builder.current_dir(directory);
    }
    let child = builder.spawn().map_err(|error| not_started(command, &program.to_string_lossy(), &error))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    Ok(Running { group, child })
}

fn not_started(command: &Command, program: &str, error: &std::io::Error) -> PortError {
    if command.directory.as_ref().is_some_and(|directory| !directory.is_dir()) {
        return PortError::Permanent(format!("{}: its working folder is not there", command.name));
    }
    if error.kind() == ErrorKind::NotFound {
        return PortError::Permanent(format!("{program} is not installed or not in PATH"));
    }
    if error.kind() == ErrorKind::PermissionDenied {
        return PortError::Permanent(format!("{program} may not be run: {error}"));
    }
    PortError::Transient(format!("cannot start {program}: {error}"))
}

/// Waits for the child, then ends what it left behind in its group.
async fn wait(child: &mut Child, group: &mut Group) -> std::io::Result<ExitStatus> {
    let status = child.wait().await;
    group.kill();
    status
}

async fn feed(pipe: Option<ChildStdin>, bytes: Option<&[u8]>) {
    if let (Some(mut pipe), Some(bytes)) = (pipe, bytes) {
        // A child that does not read to the end is its own matter: its exit code tells.
        if pipe.write_all(bytes).await.is_ok() {
            pipe.shutdown().await.unwrap_or_default();
        }
    }
}

async fn read<R: AsyncRead + Unpin>(
    pipe: Option<R>,
    capture: &mut Capture,
    command: &Command,
    follower: Follower<'_>,
) {
    let Some(mut pipe) = pipe else { return };
    let mut lines = Lines::default();
    let mut tell = |text: String| {
        if let Some((source, log)) = follower {
            log.line(LogLine { source: source.to_owned(), text: command.redact(text) });
        }
    };
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let bytes = chunk.get(..length).unwrap_or_default();
        capture.push(bytes);
        if let Some(pulse) = &command.pulse {
            pulse.fetch_add(length as u64, Ordering::Relaxed);
        }
        if follower.is_some() {
            lines.push(bytes, &mut tell);
        }
    }
    lines.finish(&mut tell);
}

/// Keeps the beginning or the end of a stream.
struct Capture {
    bytes: Vec<u8>,
    limit: usize,
    keep_end: bool,
    lost: bool,
}

impl Capture {
    fn head(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, keep_end: false, lost: false }
    }

    fn tail(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, keep_end: true, lost: false }
    }

    fn push(&mut self, chunk: &[u8]) {
        if self.keep_end {
            self.bytes.extend_from_slice(chunk);
            let surplus = self.bytes.len().saturating_sub(self.limit);
            self.bytes.drain(..surplus);
            self.lost |= surplus > 0;
        } else {
            let room = self.limit.saturating_sub(self.bytes.len()).min(chunk.len());
            self.bytes.extend_from_slice(chunk.get(..room).unwrap_or_default());
            self.lost |= room < chunk.len();
        }
    }
}

/// The child's process group: ended when the run ends, however it ends.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // An error: no such group, all of it has ended already.
            if kill_process_group(leader, Signal::KILL).is_ok() {
                dying::add(leader);
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
