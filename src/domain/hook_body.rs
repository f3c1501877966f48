//! What git's post-receive hook sends: one line for each ref that changed.

use thiserror::Error;

use super::event::EventKind;
use super::names::{BranchName, CommitSha};

/// Most refs that one delivery may bring.
pub const REF_LIMIT: usize = 10_000;

/// Why a body is not what git's hook gives. Nothing of it counts.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HookBodyError {
    #[error("line {number}: {reason}")]
    Line { number: usize, reason: &'static str },
    #[error("more than {REF_LIMIT} refs in one delivery")]
    TooManyRefs,
}

/// What happened to one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookLine {
    /// The full ref as git spells it; bytes that are not UTF-8 are replaced.
    pub reference: String,
    pub kind: EventKind,
}

/// What the pusher asked for with `git push -o`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// `drey.skip`: the events are taken down, but nothing follows.
    pub skip: bool,
    /// `drey.wait`: the answer streams the deployment.
    pub wait: bool,
    /// Options that begin with `drey.` and mean nothing.
    pub unknown: Vec<String>,
}

/// Reads `<old> <new> <ref>` lines, ended by LF. What is no branch, or has a name that drey refuses, is ignored.
pub fn parse(body: &[u8]) -> Result<Vec<HookLine>, HookBodyError> {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if index >= REF_LIMIT {
            return Err(HookBodyError::TooManyRefs);
        }
        let line = parse_line(line).map_err(|reason| HookBodyError::Line { number: index + 1, reason })?;
        lines.push(line);
    }
    Ok(lines)
}

impl PushOptions {
    /// Options of others (without `drey.` in front) are passed over.
    pub fn parse<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut parsed = Self::default();
        for option in options {
            match option {
                "drey.skip" => parsed.skip = true,
                "drey.wait" => parsed.wait = true,
                other if other.starts_with("drey.") => parsed.unknown.push(other.to_owned()),
                _ => {}
            }
        }
        parsed
    }
}

fn parse_line(line: &[u8]) -> Result<HookLine, &'static str> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(old), Some(new), Some(reference)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("must be <old> <new> <ref>");
    };
    let old = parse_id(old).ok_or("<old> must be 40 or 64 lower-case hexadecimal digits")?;
    let new = parse_id(new).ok_or("<new> must be 40 or 64 lower-case hexadecimal digits")?;
    if old.as_str().len() != new.as_str().len() {
        return Err("<old> and <new> must have the same length");
    }
    if !reference.starts_with(b"refs/") {
        return Err("<ref> must begin with refs/");
    }
    Ok(HookLine {
        reference: String::from_utf8_lossy(reference).into_owned(),
        kind: kind(reference, old, new),
    })
}

fn parse_id(bytes: &[u8]) -> Option<CommitSha> {
    CommitSha::parse(str::from_utf8(bytes).ok()?).ok()
}

fn kind(reference: &[u8], old: CommitSha, new: CommitSha) -> EventKind {
    if let Some(tag) = reference.strip_prefix(b"refs/tags/").filter(|_| old.is_zero() != new.is_zero()) {
        let tag = String::from_utf8_lossy(tag).into_owned();
        return if new.is_zero() { EventKind::TagDeleted { tag } } else { EventKind::TagCreated { tag } };
    }
    let branch = reference.strip_prefix(b"refs/heads/").and_then(|name| str::from_utf8(name).ok());
    let Some(branch) = branch.and_then(|name| BranchName::parse(name).ok()) else {
        return EventKind::Ignored { reference: String::from_utf8_lossy(reference).into_owned() };
    };
    match (old.is_zero(), new.is_zero()) {
        (true, false) => EventKind::BranchCreated { branch, commit: Some(new) },
        (false, false) => EventKind::BranchPushed { branch, before: old, commit: new },
        (false, true) => EventKind::BranchDeleted { branch, before: Some(old) },
        // Somebody deleted what was not there.
        (true, true) => EventKind::Ignored { reference: branch.full_ref() },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn ignored(reference: &str) -> HookLine {
        HookLine {
            reference: reference.to_owned(),
            kind: EventKind::Ignored { reference: reference.to_owned() },
        }
    }

    #[test]
    fn branches_are_read_and_all_else_is_ignored() {
        let (zero, one, two) = (id('0'), id('1'), id('2'));
        let mut body = format!(
            "{zero} {one} refs/heads/a b\n{zero} {one} refs/heads/-x\n{zero} {one} refs/tags/v1\n\
             {one} {two} refs/heads/x\r\n{zero} {zero} refs/heads/gone\n{one} {two} refs/heads/größe\n{one} {two} "
        )
        .into_bytes();
        body.extend(b"refs/heads/\xff");
        let branch = BranchName::parse("größe").unwrap();
        let (before, commit) = (CommitSha::parse(&one).unwrap(), CommitSha::parse(&two).unwrap());
        let expected = [
            ignored("refs/heads/a b"),
            ignored("refs/heads/-x"),
            HookLine {
                reference: "refs/tags/v1".to_owned(),
                kind: EventKind::TagCreated { tag: "v1".to_owned() },
            },
            ignored("refs/heads/x\r"),
            ignored("refs/heads/gone"),
            HookLine {
                reference: "refs/heads/größe".to_owned(),
                kind: EventKind::BranchPushed { branch, before, commit },
            },
            ignored("refs/heads/\u{fffd}"),
        ];
        assert_eq!(parse(&body).unwrap(), expected);
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_bad_line_is_named() {
        let good = format!("{} {} refs/heads/a\n", id('0'), id('1'));
        for bad in [
            "\n".to_owned(),
            format!("{} {}\n", id('0'), id('1')),
            format!("{}  {} refs/heads/a\n", id('0'), id('1')),
            format!("{} {} refs/heads/a\n", id('0'), id('A')),
            format!("{} {} refs/heads/a\n", id('0'), "1".repeat(64)),
            format!("{} {} refs/heads/a\n", id('0'), &id('1')[1..]),
            format!("{} {} heads/a\n", id('0'), id('1')),
            format!("{}\t{} refs/heads/a\n", id('0'), id('1')),
        ] {
            let error = parse(format!("{good}{bad}{good}").as_bytes()).unwrap_err();
            assert!(matches!(error, HookBodyError::Line { number: 2, .. }), "{bad:?}: {error}");
        }
        assert_eq!(parse(good.repeat(REF_LIMIT).as_bytes()).unwrap().len(), REF_LIMIT);
        assert_eq!(parse(good.repeat(REF_LIMIT + 1).as_bytes()), Err(HookBodyError::TooManyRefs));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused_and_what_is_read_is_a_branch_or_ignored(
            body in "(([0a]{40}|[0-9a-f]{39,65}|\\PC{0,3}) ([0-9a-f]{40}|[0-9a-f]{64}) (refs/heads/|refs/|)\\PC{0,9}\r?\n?){0,5}",
            noise in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut body = body.into_bytes();
            for (at, byte) in noise.into_iter().filter(|_| !body.is_empty()).collect::<Vec<_>>() {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let lines = body.strip_suffix(b"\n").unwrap_or(&body).split(|byte| *byte == b'\n').count();
            if let Ok(read) = parse(&body) {
                prop_assert_eq!(read.len(), if body.is_empty() || body == b"\n" { 0 } else { lines });
                for line in read {
                    let named = line.kind.branch().is_none_or(|branch| branch.full_ref() == line.reference);
                    prop_assert!(named, "{:?}", line);
                }
            }
        }
    }

    #[test]
    fn push_options_of_drey_are_known_or_told() {
        let options = PushOptions::parse(["ci.skip", "drey.wait", "drey.skpi", "drey.wait=1"]);
        let unknown = vec!["drey.skpi".to_owned(), "drey.wait=1".to_owned()];
        assert_eq!(options, PushOptions { skip: false, wait: true, unknown });
        assert!(PushOptions::parse(["drey.skip"]).skip);
    }

    /// An event of ours in the words of the corpus; tags and notes have no effect and no branch there.
    fn as_in_corpus(line: &HookLine) -> Value {
        let mut value = serde_json::to_value(&line.kind).unwrap();
        let fields = value.as_object_mut().unwrap();
        if let Some(commit) = fields.remove("commit") {
            fields.insert("sha".to_owned(), commit);
        }
        value
    }

    #[test]
    fn the_corpus_is_understood() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora/webhooks");
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut cases = 0;
        for entry in entries {
            let case: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
            if case["forge"] != "git-hook" {
                continue;
            }
            cases += 1;
            let lines = parse(case["body_text"].as_str().unwrap().as_bytes()).unwrap();
            let expected = case["expected"]["events"].as_array().unwrap();
            assert_eq!(lines.len(), expected.len(), "{}", case["name"]);
            for (line, expected) in lines.iter().zip(expected) {
                if expected["effect"] == "none" {
                    assert_eq!(line.kind.word(), expected["kind"], "{line:?}");
                    continue;
                }
                let mut expected = expected.clone();
                expected.as_object_mut().unwrap().remove("effect");
                assert_eq!(as_in_corpus(line), expected, "{}", case["name"]);
            }
        }
        assert!(cases > 0);
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused_with_its_line(
            body in "([0-9a-f]{40} [0-9a-f]{40} refs/heads/\\PC{0,20}\n|\\PC{0,30}\n| )*",
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            for body in [body.as_bytes(), &bytes] {
                let count = body.split(|byte| *byte == b'\n').count();
                match parse(body) {
                    Ok(lines) => proptest::prop_assert!(lines.len() <= count),
                    Err(HookBodyError::Line { number, .. }) => proptest::prop_assert!((1..=count).contains(&number)),
                    Err(HookBodyError::TooManyRefs) => proptest::prop_assert!(count > REF_LIMIT),
                }
            }
            PushOptions::parse(body.lines());
        }
    }
}
