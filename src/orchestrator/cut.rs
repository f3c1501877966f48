//! After a run was cut: the next one begins when nothing of it runs any more.

use std::time::Duration;

use crate::domain::names::EnvironmentId;

use super::house::House;

/// How long programs that were killed may take to be gone. One that hangs in the kernel takes longer and can do no harm
/// before it comes back, and then it ends.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// Waits for the end of the programs that were stopped by force.
pub(super) async fn until_gone(house: &House, environment: EnvironmentId) {
    let left = house.ports.programs.gone(GONE_LIMIT).await;
    if left > 0 {
        tracing::warn!(
            environment.id = environment.0,
            left,
            "programs that were killed are not gone: they hang in the kernel, maybe at a slow disk"
        );
    }
}
