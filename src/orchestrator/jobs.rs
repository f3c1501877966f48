//! Jobs: when they may begin, that nothing cuts them, and what is remembered of them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::domain::environment::Intent;
use crate::domain::jobs::{Job, JobsDone, When};
use crate::domain::readiness::{self, JobPlace};
use crate::domain::stack::Stack;
use crate::ports::{JobEnd, JobRequest, LogLine, LogSink};

use super::failure::Failure;
use super::run::Run;

/// Last lines of a job's output that go into the reason.
const TOLD_LINES: usize = 20;
/// Characters of each of them.
const TOLD_LENGTH: usize = 500;
/// Hex digits of a job's key that mark its processes.
const MARK_LENGTH: usize = 16;
/// How often it is looked whether the environment is to be destroyed while a job runs.
const DESTROY_EVERY: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) async fn jobs_done(&self) -> Result<JobsDone, Failure> {
        let environment = &self.environment;
        if let Some(archive) = environment.to_fill() {
            self.house.store.inherit_jobs(archive, environment.id).await?;
        }
        Ok(self.house.store.jobs_done(environment.id, environment.run_generation).await?)
    }

    /// Runs a job as soon as what it needs is sound. Says how long the job itself took.
    pub(super) async fn run_job(
        &self,
        stack: &Stack,
        job: &Job,
        deadline: Instant,
    ) -> Result<Duration, Failure> {
        let container = self.await_place(stack, job, deadline).await?;
        let begun = Instant::now();
        self.in_container(job, container).await?;
        Ok(begun.elapsed())
    }

    /// Runs a job where the containers are to be stopped next; it waits for nothing, and nothing waits for it when
    /// the archive is not wanted any more.
    pub(super) async fn run_last_job(&self, job: &Job) -> Result<(), Failure> {
        let observed = self.house.ports.engine.observe(&self.environment.project).await?;
        let Some(container) = readiness::running(&observed, &job.service) else {
            self.say(format!("job {job} is skipped: {} does not run any more", job.service));
            return Ok(());
        };
        tokio::select! {
            result = self.in_container(job, container.id.clone()) => result,
            () = self.until_destroy() => Err(Failure::Superseded),
        }
    }

    async fn await_place(&self, stack: &Stack, job: &Job, deadline: Instant) -> Result<String, Failure> {
        let mut attempt = 0;
        loop {
            let observed = self.house.ports.engine.observe(&self.environment.project).await?;
            match readiness::job_place(stack, &observed, &job.service) {
                JobPlace::Container(id) => return Ok(id),
                JobPlace::Nowhere(why) => {
                    return Err(Failure::Failed(format!("job {job} cannot run: {why}")));
                }
                JobPlace::Pending(why) if Instant::now() >= deadline => {
                    let seconds = stack.readiness.within_seconds;
                    return Err(Failure::Failed(format!(
                        "job {job} could not begin within {seconds} s (`drey.ready.within`): {why}"
                    )));
                }
                JobPlace::Pending(_) => sleep(readiness::probe_delay(attempt)).await,
            }
            attempt += 1;
        }
    }

    async fn in_container(&self, job: &Job, container: String) -> Result<(), Failure> {
        let _undisturbed = self.job.lock().await;
        self.say(format!("job {job} begins, {} s at most", job.within.as_secs()));
        let key = job.key();
        let request = JobRequest {
            container,
            service: job.service.clone(),
            command: job.command(),
            mark: key.chars().take(MARK_LENGTH).collect(),
            within: job.within,
        };
        let tail = Tail { log: &*self.log, last: Mutex::default() };
        let end = self.house.ports.jobs.run(&request, &tail).await?;
        if end != JobEnd::Exited(0) {
            return Err(Failure::Job(reason(job, end, &tail.take())));
        }
        self.say(format!("job {job} is done"));
        let (id, generation) = (self.environment.id, self.environment.run_generation);
        Ok(self.house.store.mark_job_done(id, &key, generation, self.house.ports.clock.now()).await?)
    }

    /// Until the run may be given up: something newer is wanted, and no job runs. A job is cut only where nothing will
    /// be left of what it does.
    pub(super) async fn given_up(&self, newer: &CancellationToken) {
        newer.cancelled().await;
        if self.job.try_lock().is_ok() {
            return;
        }
        self.say("something newer is wanted; it waits until the job has ended");
        tokio::select! {
            _ended = self.job.lock() => {}
            () = self.until_destroy() => {}
        }
    }

    /// Until the environment is to be destroyed.
    async fn until_destroy(&self) {
        let id = self.environment.id;
        let is_destroyed = |intent| matches!(intent, Intent::End { archive: false, .. });
        loop {
            let found = self.house.store.environment(id).await;
            if found.is_ok_and(|found| found.is_some_and(|found| is_destroyed(found.intent))) {
                return;
            }
            sleep(DESTROY_EVERY).await;
        }
    }
}

fn reason(job: &Job, end: JobEnd, output: &[String]) -> String {
    let seconds = job.within.as_secs();
    let mut text = match end {
        JobEnd::Exited(code) => format!("job {job} ended with exit code {code}"),
        JobEnd::Cut => format!("job {job} took longer than {seconds} s (`within`) and was ended"),
        JobEnd::Escaped => format!(
            "job {job} took longer than {seconds} s (`within`) and could not be ended (that needs `sh` and `tr` in \
             the image): it goes on in the container"
        ),
    };
    if job.when == When::BeforeArchive {
        text.push_str(
            "; nothing is stopped or removed before it succeeds: it is tried again every minute, `drey env archive` \
             tries at once, and `drey env destroy` gives the archive up and removes everything",
        );
    }
    if !output.is_empty() {
        text.push_str("\n\n");
        text.push_str(&output.join("\n"));
    }
    text
}

/// Passes lines on and keeps the last ones.
struct Tail<'a> {
    log: &'a dyn LogSink,
    last: Mutex<VecDeque<String>>,
}

impl Tail<'_> {
    fn take(self) -> Vec<String> {
        self.last.into_inner().unwrap_or_else(PoisonError::into_inner).into()
    }
}

impl LogSink for Tail<'_> {
    fn line(&self, line: LogLine) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == TOLD_LINES {
            last.pop_front();
        }
        last.push_back(line.text.chars().take(TOLD_LENGTH).collect());
        drop(last);
        self.log.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::jobs::{Command, DEFAULT_WITHIN, OncePer};

    fn job(when: When) -> Job {
        Job { service: "web".into(), run: Command::Shell("./migrate".into()), when, within: DEFAULT_WITHIN }
    }

    #[test]
    fn a_reason_names_the_job_how_it_ended_and_its_last_words() {
        let migrate = job(When::AfterStart(OncePer::Deployment));
        assert_eq!(
            reason(&migrate, JobEnd::Exited(3), &["no table".into()]),
            "job web: ./migrate ended with exit code 3\n\nno table"
        );
        assert!(reason(&migrate, JobEnd::Cut, &[]).ends_with("longer than 300 s (`within`) and was ended"));
        assert!(reason(&migrate, JobEnd::Escaped, &[]).contains("goes on in the container"));
        let last = reason(&job(When::BeforeArchive), JobEnd::Exited(1), &[]);
        assert!(last.contains("drey env archive") && last.contains("drey env destroy"), "{last}");
    }

    #[test]
    fn the_last_lines_are_kept_and_all_are_passed_on() {
        let all = Tail { log: &Nobody, last: Mutex::default() };
        let tail = Tail { log: &all, last: Mutex::default() };
        for number in 0..TOLD_LINES + 2 {
            tail.line(LogLine { source: "web".into(), text: number.to_string() });
        }
        tail.line(LogLine { source: "web".into(), text: "x".repeat(TOLD_LENGTH + 1) });
        let kept = tail.take();
        assert_eq!((kept.len(), kept[0].as_str()), (TOLD_LINES, "3"));
        assert_eq!(kept[TOLD_LINES - 1].len(), TOLD_LENGTH);
        assert_eq!(all.take().len(), TOLD_LINES);
    }

    struct Nobody;

    impl LogSink for Nobody {
        fn line(&self, _: LogLine) {}
    }
}
