//! Jobs: commands in containers, by the engine's exec.

use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::lines::Lines;
use super::{CALL_LIMIT, DockerEngine, call, checked_name, error};
use crate::ports::{JobEnd, JobRequest, Jobs, LogLine, LogSink, PortError, PortResult, meters};

/// Carries the job's mark in the environment of its processes, and so of their children's.
const MARK: &str = "DREY_JOB";
/// Between SIGTERM and SIGKILL, and as long again for the latter.
const GRACE: Duration = Duration::from_secs(5);
/// How often a command without a stream is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The engine closes the output before it knows the exit code.
const EXIT_CODE_LIMIT: Duration = Duration::from_secs(10);
/// The engine tells process ids of the host only. Inside of the container the mark finds the job's processes, with
/// no more than a shell and `tr`; on this machine and on a remote engine alike. (The `grep` of busybox sees a line
/// up to its first NUL only.)
const KILL: &str = r#"for entry in /proc/[0-9]*; do
  case $(tr '\0' ' ' 2>/dev/null <"$entry/environ") in
    *"$2"*) kill -s "$1" "${entry#/proc/}" ;;
  esac
done 2>/dev/null"#;

#[async_trait]
impl Jobs for DockerEngine {
    async fn run(&self, request: &JobRequest, log: &dyn LogSink) -> PortResult<JobEnd> {
        let exec = Exec { client: self.client()?, request, log };
        meters::engine("run_job", Box::pin(exec.run()).await)
    }
}

struct Exec<'a> {
    client: Docker,
    request: &'a JobRequest,
    log: &'a dyn LogSink,
}

impl Exec<'_> {
    async fn run(&self) -> PortResult<JobEnd> {
        let begun = Instant::now();
        let id = match self.left_over().await? {
            Some(id) => {
                self.say("it runs already, since before the daemon's start; what it writes is not shown");
                id
            }
            None => self.create(self.request.command.clone(), true).await?,
        };
        let left = self.request.within.saturating_sub(begun.elapsed());
        match timeout(left, self.until_ended(&id)).await {
            Ok(code) => Ok(JobEnd::Exited(code?)),
            Err(_elapsed) => self.cut(&id).await,
        }
    }

    /// The same command that a former life of the daemon began in this container, if it still runs.
    async fn left_over(&self) -> PortResult<Option<String>> {
        let container = checked_name("container", &self.request.container)?;
        let look = self.client.inspect_container(container, None::<InspectContainerOptions>);
        let found = call(&format!("container {container}"), CALL_LIMIT, look).await?;
        for id in found.exec_ids.unwrap_or_default() {
            match self.inspect(&id).await {
                Ok(there) if there.running == Some(true) && is_same(&there, &self.request.command) => {
                    return Ok(Some(id));
                }
                Ok(_) | Err(PortError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn create(&self, command: Vec<String>, marked: bool) -> PortResult<String> {
        let container = checked_name("container", &self.request.container)?;
        let mark = format!("{MARK}={}", self.request.mark);
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command),
            env: marked.then(|| vec![mark]),
            ..CreateExecOptions::default()
        };
        let what = format!("command in container {container}");
        Ok(call(&what, CALL_LIMIT, self.client.create_exec(container, options)).await?.id)
    }

    /// Starts it unless it runs already, and says its exit code.
    async fn until_ended(&self, id: &str) -> PortResult<i64> {
        if self.inspect(id).await?.running != Some(true) {
            let what = format!("command in container {}", self.request.container);
            match call(&what, CALL_LIMIT, self.client.start_exec(id, None)).await? {
                StartExecResults::Attached { output, .. } => self.read(output).await?,
                StartExecResults::Detached => {}
            }
            return self.exit_code(id, Some(EXIT_CODE_LIMIT)).await;
        }
        self.exit_code(id, None).await
    }

    async fn read(
        &self,
        mut output: impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin,
    ) -> PortResult<()> {
        let (mut out, mut err) = (Lines::default(), Lines::default());
        while let Some(chunk) = output.next().await {
            let chunk = chunk.map_err(|failure| {
                error::map(&format!("output in container {}", self.request.container), failure)
            })?;
            let lines = if matches!(chunk, LogOutput::StdErr { .. }) { &mut err } else { &mut out };
            lines.push(chunk.as_ref(), |text| self.say(text));
        }
        for lines in [out, err] {
            lines.finish(|text| self.say(text));
        }
        Ok(())
    }

    async fn exit_code(&self, id: &str, limit: Option<Duration>) -> PortResult<i64> {
        let begun = Instant::now();
        loop {
            let there = self.inspect(id).await?;
            if let (Some(false), Some(code)) = (there.running, there.exit_code) {
                return Ok(code);
            }
            if limit.is_some_and(|limit| begun.elapsed() > limit) {
                let container = &self.request.container;
                return Err(PortError::Transient(format!(
                    "command in container {container}: it closed its output, and the engine does not say how it ended"
                )));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends the command by force, gently at first.
    async fn cut(&self, id: &str) -> PortResult<JobEnd> {
        for signal in ["TERM", "KILL"] {
            let mark = format!("{MARK}={}", self.request.mark);
            let command = ["sh", "-c", KILL, "sh", signal, &mark].map(str::to_owned).to_vec();
            let killer = self.create(command, false).await?;
            let detached = StartExecOptions { detach: true, ..StartExecOptions::default() };
            // An image without a shell: what matters is told by the job itself, below.
            if let Err(error) =
                call("end of a job", CALL_LIMIT, self.client.start_exec(&killer, Some(detached))).await
            {
                tracing::debug!(%error, "a job cannot be sent a signal");
            }
            let begun = Instant::now();
            while begun.elapsed() < GRACE {
                if self.inspect(id).await?.running != Some(true) {
                    return Ok(JobEnd::Cut);
                }
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(JobEnd::Escaped)
    }

    async fn inspect(&self, id: &str) -> PortResult<ExecInspectResponse> {
        let id = checked_name("command", id)?;
        call("command in a container", CALL_LIMIT, self.client.inspect_exec(id)).await
    }

    fn say(&self, text: impl Into<String>) {
        self.log.line(LogLine { source: self.request.service.clone(), text: text.into() });
    }
}

fn is_same(there: &ExecInspectResponse, command: &[String]) -> bool {
    let Some(process) = &there.process_config else { return false };
    let arguments = process.arguments.as_deref().unwrap_or_default();
    command
        .split_first()
        .is_some_and(|(program, rest)| process.entrypoint.as_ref() == Some(program) && arguments == rest)
}

#[cfg(test)]
mod tests {
    use bollard::models::ProcessConfig;

    use super::*;

    #[test]
    fn the_same_command_is_known_by_program_and_arguments() {
        let there = ExecInspectResponse {
            process_config: Some(ProcessConfig {
                entrypoint: Some("sh".into()),
                arguments: Some(vec!["-c".into(), "./migrate".into()]),
                ..ProcessConfig::default()
            }),
            ..ExecInspectResponse::default()
        };
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(is_same(&there, &command(&["sh", "-c", "./migrate"])));
        assert!(!is_same(&there, &command(&["sh", "-c", "./seed"])));
        assert!(!is_same(&there, &command(&["sh"])) && !is_same(&there, &[]));
    }
}
