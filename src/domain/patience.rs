//! When something that failed is tried again: from what is written of the tries before, so a restart forgets nothing.

use std::time::Duration;

use super::environment::{Deployment, DeploymentState};
use super::names::Generation;
use super::time::Timestamp;

/// Pause after the first failure in a row; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// Longest pause: whoever made room does not wait longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// So many tries of one generation, then it rests until somebody asks: what breaks each time holds up nobody.
pub const MOST_TRIES: u32 = 5;
/// What is written of a run that the daemon's sudden end cut.
pub const CUT: &str = "the daemon was killed, or died";

/// How often the work on this generation was begun in vain: it failed, or the daemon died over it. What was cut by
/// something newer, by an orderly end or because the outside was away counts for nothing.
pub fn tries(history: &[Deployment], generation: Generation) -> u32 {
    let of_it = history.iter().take_while(|deployment| deployment.generation == generation);
    let in_vain = of_it.filter(|deployment| match deployment.state {
        DeploymentState::Failed => true,
        DeploymentState::Superseded => deployment.reason.as_deref() == Some(CUT),
        DeploymentState::Running | DeploymentState::Succeeded | DeploymentState::Deferred => false,
    });
    u32::try_from(in_vain.count()).unwrap_or(u32::MAX)
}

/// The pause, up to a fifth longer or shorter, so that those who failed together do not come back together. `salt` is
/// anything that tells them apart.
pub fn spread(pause: Duration, salt: u64) -> Duration {
    // A multiplier that scatters neighbouring numbers (Knuth, The Art of Computer Programming 3, 6.4).
    let scattered = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    let share = u32::try_from(scattered % 401).unwrap_or_default();
    pause.saturating_mul(800 + share) / 1000
}

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

/// Whether the end is to be tried now. A failure in the future is one from before the clock was set back: nobody waits
/// for that time to come.
pub fn is_due(history: &[Deployment], run: Generation, now: Timestamp) -> bool {
    let ended = failed(history, run).next().and_then(|deployment| deployment.finished_at);
    ended.is_some_and(|ended| ended > now) || next_try(history, run).is_none_or(|next| next <= now)
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
    fn failures_and_crashes_of_a_generation_count_and_orderly_ends_do_not() {
        use DeploymentState::{Deferred, Failed, Superseded};

        let cut = Deployment { reason: Some(CUT.to_owned()), ..deployment(3, Superseded, 5) };
        let mut history = vec![cut, deployment(3, Failed, 4), deployment(3, Deferred, 3)];
        history.extend([deployment(3, Superseded, 2), deployment(2, Failed, 1)]);
        assert_eq!(tries(&history, Generation(3)), 2);
        assert_eq!(tries(&history, Generation(4)), 0);
    }

    #[test]
    fn pauses_are_spread_by_a_fifth() {
        let pause = Duration::from_secs(100);
        let spreads: Vec<Duration> = (0..50).map(|salt| spread(pause, salt)).collect();
        assert!(spreads.iter().all(|it| (80..=120).contains(&it.as_secs())));
        let different: std::collections::BTreeSet<_> = spreads.iter().collect();
        assert!(different.len() > 40, "{different:?}");
    }

    #[test]
    fn only_failures_since_the_branch_was_last_wanted_count() {
        use DeploymentState::{Failed, Succeeded, Superseded};

        let mut history = vec![deployment(2, Failed, 40), deployment(1, Succeeded, 10)];
        assert_eq!(next_try(&history, Generation(1)), Some(Timestamp::from_millis(55_000)));
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let due_at = |second: i64| is_due(&history, Generation(1), at(second));
        assert!(!due_at(54) && due_at(55) && due_at(39), "set back, it is not waited for");
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
