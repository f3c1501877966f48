//! What may go because nothing needs it: images, logs, folders. Pure: what is there comes in, what goes comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::names::EnvironmentId;
use super::time::Timestamp;

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The engine's build cache is left with so many bytes; none: it is never touched.
    pub build_cache: Option<u64>,
    /// What a build used in this time stays in the cache, whatever its size.
    pub build_cache_unused: Duration,
    /// Older logs go; none: no age is too high.
    pub logs_keep: Option<Duration>,
    /// Bytes of all logs together; none: no sum is too large.
    pub logs_size: Option<u64>,
    /// Bodies of older deliveries go; none: they stay.
    pub deliveries_keep: Option<Duration>,
    /// Mirrors of repositories that are not configured go when nothing used them for so long; none: they stay.
    pub mirrors_keep: Option<Duration>,
}

/// While a disk is nearly full, what was used in this time stays in the build cache, and nothing else.
const CACHE_IN_NEED: Duration = Duration::from_secs(60 * 60);

impl Rules {
    /// The same while room is needed: what can be made anew goes.
    #[must_use]
    pub fn in_need(self) -> Self {
        Self {
            build_cache: self.build_cache.map(|_| 0),
            build_cache_unused: self.build_cache_unused.min(CACHE_IN_NEED),
            ..self
        }
    }
}

/// Every image that drey builds has a tag that begins so.
const OUR_TAGS: &str = "drey/";
/// An image that lost its tag stays for so long: a container that was made from it may be about to start.
const UNTAGGED_FOR: Duration = Duration::from_secs(60 * 60);

/// An image on the engine with the labels of this daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    pub id: String,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub size_bytes: u64,
}

/// References of images that go: ours by their tag, and neither an environment nor an archive needs them; and those whose
/// tag went to a newer one. `needed` are tags.
pub fn images(built: &[BuiltImage], needed: &BTreeSet<String>, now: Timestamp) -> Vec<String> {
    let mut gone = Vec::new();
    for image in built {
        let tags = image.tags.iter().filter(|tag| tag.starts_with(OUR_TAGS) && !needed.contains(*tag));
        gone.extend(tags.cloned());
        if image.tags.is_empty() && now.since(image.created_at) > UNTAGGED_FOR {
            gone.push(image.id.clone());
        }
    }
    gone
}

/// A log in an environment's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    pub environment: EnvironmentId,
    /// Below the environment's folder of logs.
    pub name: String,
    /// The deployment whose log it is; none: a container's.
    pub deployment: Option<i64>,
    pub changed_at: Timestamp,
    pub size_bytes: u64,
}

/// Why a log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogReason {
    TooOld,
    TooMuch,
}

impl LogReason {
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooOld => "older than [gc] logs_keep",
            Self::TooMuch => "logs were larger than [gc] logs_size, and it was the oldest",
        }
    }
}

/// Logs that go, oldest first: what is too old, then the oldest until the rest fits. The newest deployment's log of each
/// environment stays: it says why the environment is as it is.
pub fn logs<'a>(files: &'a [LogFile], rules: &Rules, now: Timestamp) -> Vec<(&'a LogFile, LogReason)> {
    let mut newest: BTreeMap<EnvironmentId, i64> = BTreeMap::new();
    for (environment, deployment) in files.iter().filter_map(|it| Some((it.environment, it.deployment?))) {
        let newest = newest.entry(environment).or_insert(deployment);
        *newest = deployment.max(*newest);
    }
    let mut sum = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
    let mut may_go: Vec<&LogFile> = files
        .iter()
        .filter(|file| file.deployment.is_none() || newest.get(&file.environment) != file.deployment.as_ref())
        .collect();
    may_go.sort_by_key(|file| (file.changed_at, file.environment, &file.name));
    let mut gone = Vec::new();
    for file in may_go {
        let reason = if rules.logs_keep.is_some_and(|keep| now.since(file.changed_at) > keep) {
            LogReason::TooOld
        } else if rules.logs_size.is_some_and(|most| sum > most) {
            LogReason::TooMuch
        } else {
            break;
        };
        sum = sum.saturating_sub(file.size_bytes);
        gone.push((file, reason));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_millis(hour * HOUR)
    }

    fn rules(hours: Option<u64>, size: Option<u64>) -> Rules {
        Rules {
            build_cache: Some(20),
            build_cache_unused: Duration::from_secs(48 * 3600),
            logs_keep: hours.map(|hours| Duration::from_secs(hours * 3600)),
            logs_size: size,
            deliveries_keep: None,
            mirrors_keep: None,
        }
    }

    fn log(environment: i64, name: &str, deployment: Option<i64>, hour: i64) -> LogFile {
        LogFile {
            environment: EnvironmentId(environment),
            name: name.to_owned(),
            deployment,
            changed_at: at(hour),
            size_bytes: 10,
        }
    }

    #[test]
    fn images_that_nobody_needs_go_and_tags_of_others_stay() {
        let image = |id: &str, tags: &[&str], hour| BuiltImage {
            id: id.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            created_at: at(hour),
            size_bytes: 1,
        };
        let built = [
            image("a", &["drey/shop/web:1"], 1),
            image("b", &["drey/shop/web:2", "mine:latest"], 1),
            image("c", &["somebody/else:1"], 1),
            image("d", &[], 1),
            image("e", &[], 10),
        ];
        let needed = BTreeSet::from(["drey/shop/web:1".to_owned()]);
        assert_eq!(images(&built, &needed, at(10)), ["drey/shop/web:2", "d"]);
    }

    #[test]
    fn old_logs_go_and_then_the_oldest_until_the_rest_fits() {
        let files = [
            log(1, "deployment-1.log", Some(1), 1),
            log(1, "deployment-2.log", Some(2), 2),
            log(1, "deployment-9.log", Some(9), 3),
            log(2, "deployment-3.log", Some(3), 0),
            log(1, "containers/web.log", None, 2),
        ];
        let gone = |rules: &Rules| {
            let gone = logs(&files, rules, at(10));
            gone.into_iter().map(|(file, reason)| format!("{} {reason:?}", file.name)).collect::<Vec<_>>()
        };
        assert_eq!(gone(&rules(None, None)), Vec::<String>::new());
        assert_eq!(gone(&rules(Some(8), None)), ["deployment-1.log TooOld"]);
        assert_eq!(
            gone(&rules(Some(8), Some(35))),
            ["deployment-1.log TooOld", "containers/web.log TooMuch"]
        );
        assert_eq!(
            gone(&rules(None, Some(0))),
            ["deployment-1.log TooMuch", "containers/web.log TooMuch", "deployment-2.log TooMuch"],
            "the newest log of each environment stays"
        );
    }

    #[test]
    fn in_need_the_cache_goes_unless_it_is_nobodys_business() {
        let need = rules(None, None).in_need();
        assert_eq!((need.build_cache, need.build_cache_unused), (Some(0), CACHE_IN_NEED));
        let never = Rules { build_cache: None, ..rules(None, None) }.in_need();
        assert_eq!(never.build_cache, None);
    }
}
