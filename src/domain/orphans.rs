//! What on the engine belongs to nobody any more: surely ours, maybe ours, or somebody else's. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::names::{EnvironmentId, InstanceId, ProjectName};

/// A container, network or volume that says, by its name or by a label, that a drey made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub kind: Kind,
    /// By which the engine knows it for certain.
    pub id: String,
    /// Without what the engine or compose puts in front of it.
    pub name: String,
    /// The label `drey.instance`.
    pub instance: Option<String>,
    /// It carries data to or from a volume, and is swept by whoever made it.
    pub is_carrier: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Container,
    Network,
    Volume,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
        })
    }
}

/// What the database knows of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub project: ProjectName,
    pub is_over: bool,
}

/// What is to be done about a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to an environment that lives, or is somebody's who looks after it.
    Leave,
    /// Surely ours, and nobody's any more.
    Remove { why: String },
    /// Maybe ours: told, never touched.
    Report { why: String },
}

/// The name's first part, the label and the database, all three have to agree before anything goes. A volume goes only
/// when its environment is known to be over: what was in it was archived, or given up. `lives` must have been read after
/// the engine was asked, else what was made in between counts for an orphan.
pub fn judge(claim: &Claim, instance: &InstanceId, lives: &BTreeMap<EnvironmentId, Life>) -> Verdict {
    let report = |why: String| Verdict::Report { why };
    if claim.is_carrier {
        return Verdict::Leave;
    }
    let named = claim.name.strip_prefix(&ProjectName::prefix(instance));
    let is_labelled = claim.instance.as_deref() == Some(instance.0.as_str());
    let (Some(rest), true) = (named, is_labelled) else {
        return match (named, &claim.instance) {
            (Some(_), None) => report("its name is one of this drey's, its label is missing".to_owned()),
            (Some(_), Some(_)) => {
                report("its name is one of this drey's, its label another one's".to_owned())
            }
            (None, Some(label)) if *label == instance.0 => {
                report("its label is this drey's, its name is not: an image can carry labels".to_owned())
            }
            (None, Some(label)) => report(format!("it belongs to another drey, {label}")),
            (None, None) => Verdict::Leave,
        };
    };
    let id = rest.split_once('-').and_then(|(id, _)| id.parse().ok()).map(EnvironmentId);
    let Some(id) = id else { return report("its name has no number of an environment".to_owned()) };
    match lives.get(&id) {
        Some(life) if !belongs(&claim.name, &life.project) => {
            report(format!("environment {id} has another name"))
        }
        Some(life) if life.is_over => Verdict::Remove { why: format!("environment {id} is over") },
        Some(_) => Verdict::Leave,
        None if claim.kind == Kind::Volume => {
            report(format!("no environment {id} is known, and a volume may hold data that somebody wants"))
        }
        None => Verdict::Remove { why: format!("no environment {id} was ever made") },
    }
}

/// Compose and drey put `-` or `_` after the project's name.
fn belongs(name: &str, project: &ProjectName) -> bool {
    name.strip_prefix(project.as_str()).is_some_and(|rest| rest.starts_with(['-', '_']))
}

/// Reports in few lines: for each reason how many things, and the first names.
pub fn summary(reports: &[(Claim, String)]) -> Vec<String> {
    const NAMED: usize = 5;
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (claim, why) in reports {
        by_reason.entry(why).or_default().push(format!("{} {}", claim.kind, claim.name));
    }
    let line = |(why, names): (&str, Vec<String>)| {
        let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = names.len().saturating_sub(NAMED);
        if more == 0 { format!("{shown}: {why}") } else { format!("{shown} and {more} more: {why}") }
    };
    by_reason.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(kind: Kind, name: &str, instance: Option<&str>) -> Claim {
        let instance = instance.map(str::to_owned);
        Claim { kind, id: name.to_owned(), name: name.to_owned(), instance, is_carrier: false }
    }

    fn judged(kind: Kind, name: &str, label: Option<&str>) -> Verdict {
        let life =
            |project: &str, is_over| Life { project: ProjectName::from_stored(project.to_owned()), is_over };
        let lives = BTreeMap::from([
            (EnvironmentId(4), life("drey-abc123-4-lives", false)),
            (EnvironmentId(5), life("drey-abc123-5-over", true)),
        ]);
        judge(&claim(kind, name, label), &InstanceId("abc123".to_owned()), &lives)
    }

    fn is_removed(kind: Kind, name: &str, label: Option<&str>) -> bool {
        matches!(judged(kind, name, label), Verdict::Remove { .. })
    }

    #[test]
    fn what_lives_is_left_and_what_is_over_goes() {
        let ours = Some("abc123");
        for kind in [Kind::Container, Kind::Network, Kind::Volume] {
            assert_eq!(judged(kind, "drey-abc123-4-lives_data", ours), Verdict::Leave);
            assert!(is_removed(kind, "drey-abc123-5-over_data", ours), "{kind}");
        }
        assert!(is_removed(Kind::Container, "drey-abc123-9-never-web-1", ours));
        assert!(is_removed(Kind::Network, "drey-abc123-9-never_default", ours));
        let never = judged(Kind::Volume, "drey-abc123-9-never_data", ours);
        assert!(matches!(never, Verdict::Report { .. }), "data is told, not removed: {never:?}");
    }

    #[test]
    fn nothing_goes_unless_name_label_and_row_agree() {
        let told = |name, label| match judged(Kind::Container, name, label) {
            Verdict::Report { why } => why,
            other @ (Verdict::Leave | Verdict::Remove { .. }) => panic!("{name}: {other:?}"),
        };
        assert!(told("drey-abc123-5-over-web-1", None).contains("label is missing"));
        assert!(told("drey-abc123-5-over-web-1", Some("zzz999")).contains("another one's"));
        assert!(told("happy_einstein", Some("abc123")).contains("image can carry"));
        assert!(told("drey-zzz999-5-x-web-1", Some("zzz999")).contains("another drey, zzz999"));
        assert!(told("drey-abc123-5-other-web-1", Some("abc123")).contains("another name"));
        assert!(told("drey-abc123-x", Some("abc123")).contains("no number"));
        assert_eq!(judged(Kind::Container, "somebody", None), Verdict::Leave);
        let carrier =
            Claim { is_carrier: true, ..claim(Kind::Container, "drey-abc123-5-over-carrier", None) };
        assert_eq!(judge(&carrier, &InstanceId("abc123".to_owned()), &BTreeMap::new()), Verdict::Leave);
    }

    #[test]
    fn many_are_told_in_one_line() {
        let reports: Vec<_> = (0..7)
            .map(|number| (claim(Kind::Volume, &format!("v{number}"), None), "why".to_owned()))
            .collect();
        let told = summary(&reports);
        assert_eq!(told, ["volume v0, volume v1, volume v2, volume v3, volume v4 and 2 more: why"]);
    }
}
