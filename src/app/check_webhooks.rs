//! `drey check`, of webhooks: branches that move and nobody who tells of it.

use super::finding::{Findings, Level};
use crate::config::Settings;
use crate::store::Heard;

/// For each repository that a look at its remote has shown moving. A hook that is a little late is none that is off: it is
/// heard after the look.
pub(super) fn webhooks(settings: &Settings, heard: &[Heard], findings: &mut Findings) {
    for repository in &settings.repositories {
        let name = &repository.name;
        let Some(heard) = heard.iter().find(|heard| heard.repo == name.as_str()) else { continue };
        let (level, message) = match (heard.delivered_at, heard.found_at) {
            (Some(delivered), Some(found)) if found > delivered => (
                Level::Warn,
                format!(
                    "{name}: its branches moved at {found} and nobody told of it; the last delivery came at {delivered}: \
                     is the hook still there? `drey repo show {name}` says how it is set up"
                ),
            ),
            (None, Some(found)) if repository.secret.is_some() => (
                Level::Warn,
                format!(
                    "{name}: its branches moved at {found} and no delivery ever came: without a hook drey looks every {} s \
                     only; `drey repo show {name}` says how it is set up",
                    repository.defaults.poll_every.as_secs()
                ),
            ),
            // Whoever gave no secret wants no hook.
            (None, Some(_)) => continue,
            (Some(delivered), _) => (Level::Ok, format!("{name}: the last delivery came at {delivered}")),
            (None, None) => continue,
        };
        findings.add(level, "webhooks", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn level(delivered: Option<i64>, found: Option<i64>) -> Option<Level> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = "[proxy]\ndomain = \"qa.example\"\nhttps = \"0.0.0.0:443\"\n[[repo]]\nname = \"shop\"\nurl = \"/srv/git/shop.git\"\nsecret = \"s\"\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::from_parts(Some(&file), &[]).unwrap();
        let heard = Heard {
            repo: "shop".to_owned(),
            delivered_at: delivered.map(Timestamp::from_millis),
            found_at: found.map(Timestamp::from_millis),
        };
        let mut findings = Findings::default();
        webhooks(&settings, &[heard], &mut findings);
        findings.into_vec().pop().map(|finding| finding.level)
    }

    #[test]
    fn a_hook_is_off_when_branches_move_after_its_last_word() {
        assert_eq!(level(Some(1), Some(2)), Some(Level::Warn));
        assert_eq!(level(Some(3), Some(2)), Some(Level::Ok));
        assert_eq!(level(None, Some(2)), Some(Level::Warn));
        assert_eq!(level(Some(1), None), Some(Level::Ok));
        assert_eq!(level(None, None), None);
    }
}
