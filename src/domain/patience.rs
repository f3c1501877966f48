//! When an end that failed is tried again: from what is written of the tries before, so a restart forgets nothing.

use std::time::Duration;

use super::environment::{Deployment, DeploymentState};
use super::names::Generation;
use super::time::Timestamp;

/// Pause after the first failure in a row; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// Longest pause: whoever made room does not wait longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Pause after so many failures in a row.
pub fn pause(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// How often the present end failed. `history` is newest first; `run` is the newest generation that was to run: what
/// came after it were tries to end. Those that a restart cut count for nothing.
pub fn failures(history: &[Deployment], run: Generation) -> u32 {
    u32::try_from(failed(history, run).count()).unwrap_or(u32::MAX)
}

/// From when on the end is tried again; `None` when it has not failed.
pub fn next_try(history: &[Deployment], run: Generation) -> Option<Timestamp> {
    let ended = failed(history, run).next()?.finished_at?;
    Some(ended.plus(pause(failures(history, run))))
}

fn failed(history: &[Deployment], run: Generation) -> impl Iterator<Item = &Deployment> {
    let tries = history.iter().take_while(move |deployment| deployment.generation > run);
    tries.filter(|deployment| deployment.state == DeploymentState::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::EnvironmentId;

    fn deployment(generation: i64, state: DeploymentState, second: i64) -> Deployment {
        Deployment {
            id: generation,
            environment: EnvironmentId(1),
            generation: Generation(generation),
            commit: None,
            state,
            plan: String::new(),
            reason: None,
            started_at: Timestamp::from_millis(0),
            finished_at: Some(Timestamp::from_millis(second * 1000)),
        }
    }

    #[test]
    fn the_pause_doubles_up_to_ten_minutes() {
        let pauses: Vec<u64> = (0..=8).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [15, 15, 30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(pause(u32::MAX).as_secs(), 600);
    }

    #[test]
    fn only_failures_since_the_branch_was_last_wanted_count() {
        use DeploymentState::{Failed, Succeeded, Superseded};

        let mut history = vec![deployment(2, Failed, 40), deployment(1, Succeeded, 10)];
        assert_eq!(next_try(&history, Generation(1)), Some(Timestamp::from_millis(55_000)));
        history.insert(0, deployment(3, Failed, 60));
        history.insert(0, deployment(4, Superseded, 70));
        assert_eq!(next_try(&history, Generation(1)), Some(Timestamp::from_millis(90_000)));
        assert_eq!(
            next_try(&history, Generation(4)),
            None,
            "it was wanted again, and ends for the first time"
        );
        assert_eq!(failures(&history, Generation(2)), 1);
    }
}
