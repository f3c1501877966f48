//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for every connection the daemon takes. More would only cost programs it starts that walk over all possible
/// descriptors.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit, which is 1,024 on most systems, as far as the hard one allows. Returns the limit in force.
pub fn raise() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wanted = raised(before.current, before.maximum);
    if before.current.is_some_and(|current| wanted > current) {
        let limit = Rlimit { current: Some(wanted), maximum: before.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
    limit()
}

/// The limit in force.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The soft limit to have. `None` is without limit.
fn raised(soft: Option<u64>, hard: Option<u64>) -> u64 {
    let wanted = hard.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    soft.map_or(u64::MAX, |soft| soft.max(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_goes_up_to_what_is_enough_and_never_down() {
        assert_eq!(raised(Some(1024), Some(4096)), 4096);
        assert_eq!(raised(Some(1024), Some(1_073_741_816)), ENOUGH);
        assert_eq!(raised(Some(1024), None), ENOUGH);
        assert_eq!(raised(Some(100_000), Some(200_000)), 100_000);
        assert_eq!(raised(None, None), u64::MAX);
    }

    #[test]
    fn raising_holds() {
        let before = limit();
        let after = raise();
        assert!(after >= before && after == limit());
    }
}
