//! When something that a forge did not take is sent again.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Up to this part of a pause is added by chance, so that many do not come back together.
const SPREAD: f64 = 0.25;
/// How long nothing is sent that was refused: somebody has to change something first.
pub const DENIED_PAUSE: Duration = Duration::from_secs(60 * 60);
/// A limit lasts at least so long: with a clock that is behind, its end would be over when it begins.
pub const SHORTEST_LIMIT: Duration = Duration::from_secs(30);
/// A limit that names a later end is not believed: a clock may be wrong there.
pub const LONGEST_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// The pause after so many failures in a row. `chance` is a random number from 0 to 1.
pub fn retry_in(failures: u32, chance: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(LONGEST_PAUSE).mul_f64(1.0 + SPREAD * chance.clamp(0.0, 1.0))
}
