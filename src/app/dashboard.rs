//! Where people find the dashboard.

use crate::config::Settings;
use crate::domain::dashboard::Origin;

/// As the gate's pages link to it; none where nobody could sign in there: in plain, and not on this machine itself.
pub(super) fn address(settings: &Settings) -> Option<Origin> {
    Origin::of_url(&settings.http.address()).filter(Origin::is_safe)
}
