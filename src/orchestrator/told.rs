//! What is told of a run when it is over: one line in the log, one count.

use crate::ports::meters;

use super::failure::Failure;
use super::run::Run;

/// Most characters of a reason in the log; all of it is in the environment's row and in the deployment's log.
const REASON_LIMIT: usize = 300;

impl Run<'_> {
    pub(super) fn tell_end(&self, result: &Result<(), Failure>) {
        let environment = &self.environment;
        let (intent, outcome, took) = (environment.intent.word(), outcome(result), self.begun.elapsed());
        meters::deployment_ended(environment.repo.as_str(), intent, outcome, took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let reason = match result {
            Ok(()) | Err(Failure::Superseded) => None,
            Err(failure) => Some(first_line(&failure.to_string())),
        };
        if let Some(reason) = reason {
            tracing::warn!(
                environment.slug = %environment.slug,
                environment.generation = environment.generation.0,
                repo = %environment.repo,
                intent, outcome, duration_ms, reason, "a run ends"
            );
        } else {
            tracing::info!(
                environment.slug = %environment.slug,
                environment.generation = environment.generation.0,
                repo = %environment.repo,
                intent, outcome, duration_ms, "a run ends"
            );
        }
    }
}

fn outcome(result: &Result<(), Failure>) -> &'static str {
    match result {
        Ok(()) => "succeeded",
        Err(Failure::Superseded) => "superseded",
        Err(Failure::Blocked(_)) => "blocked",
        Err(
            Failure::Failed(_) | Failure::Job(_) | Failure::Transient(_) | Failure::NoRoom(_) | Failure::Gone,
        ) => "failed",
    }
}

/// What follows the first line are the last words of a service: they are its own, and may hold what no log should.
fn first_line(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    line.chars().take(REASON_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_service_are_not_in_the_log() {
        assert_eq!(first_line("web: exited with 1\nPASSWORD=x"), "web: exited with 1");
        assert_eq!(first_line(&"ü".repeat(400)).chars().count(), REASON_LIMIT);
    }
}
