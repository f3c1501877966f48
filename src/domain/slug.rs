//! Slugs and hostnames: the one place that turns a branch or service name into part of an address.
//!
//! Which slug a branch really has is stored; here is only which ones it could get, best first.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::names::{BranchName, RepoName, Slug};

/// Longest slug: with `--` and a service's part it still is one DNS label of 63.
pub const SLUG_LIMIT: usize = 40;
/// Longest part of a service.
pub const SERVICE_LIMIT: usize = 21;
/// Fewest characters of a hash; on a clash there are more.
const HASH_LENGTH: usize = 6;
/// Most characters of a hash: beyond that a clash is not by chance.
const HASH_LIMIT: usize = 32;
/// Names that mean something else under the domain, now or later.
const RESERVED: [&str; 7] = ["www", "api", "admin", "dashboard", "drey", "gate", "mail"];

/// The slugs that a branch may get, in the order in which they are to be tried: the clean one, where the name gives
/// one, then with six and more characters of a hash that only this branch of this repository has.
pub fn candidates(repo: &RepoName, branch: &BranchName) -> impl Iterator<Item = Slug> {
    let name = normalise(branch.as_str());
    let hash = hash(&[repo.as_str(), "\0", &branch.full_ref()]);
    let clean = may_be_clean(&name).then(|| name.clone());
    let hashed = (HASH_LENGTH..=HASH_LIMIT).map(move |length| with_hash(&name, &hash, length, SLUG_LIMIT));
    clean.into_iter().chain(hashed).filter_map(|text| Slug::parse(&text).ok())
}

/// The part of one service in a hostname; not empty.
pub fn service_label(service: &str) -> String {
    let name = normalise(service);
    if name.is_empty() || name.len() > SERVICE_LIMIT {
        return with_hash(&name, &hash(&[service]), HASH_LENGTH, SERVICE_LIMIT);
    }
    name
}

/// The part of a service whose own name is taken by another's `drey.host`.
pub fn hashed_service_label(service: &str) -> String {
    with_hash(&normalise(service), &hash(&[service]), HASH_LENGTH, SERVICE_LIMIT)
}

/// The parts of all services of a stack, all different: of those that would get the same one, only a service that
/// is spelled exactly so keeps it, the others get a hash.
pub fn service_labels(services: &[&str]) -> BTreeMap<String, String> {
    let services: BTreeSet<&str> = services.iter().copied().collect();
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for service in &services {
        *wanted.entry(service_label(service)).or_default() += 1;
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut labels = BTreeMap::new();
    let (clean, clashing): (Vec<&str>, Vec<&str>) = services.into_iter().partition(|&service| {
        let label = service_label(service);
        label == service || wanted.get(&label) == Some(&1)
    });
    for service in clean {
        let label = service_label(service);
        taken.insert(label.clone());
        labels.insert(service.to_owned(), label);
    }
    for service in clashing {
        let (name, hash) = (normalise(service), hash(&[service]));
        let mut hashed =
            (HASH_LENGTH..SERVICE_LIMIT - 1).map(|length| with_hash(&name, &hash, length, SERVICE_LIMIT));
        if let Some(label) = hashed.find(|label| !taken.contains(label)) {
            taken.insert(label.clone());
            labels.insert(service.to_owned(), label);
        }
    }
    labels
}

/// `<slug>.<domain>` for the primary, whose label is empty; `<slug>--<label>.<domain>` for other services.
pub fn hostname(slug: &Slug, label: &str, domain: &str) -> String {
    if label.is_empty() { format!("{slug}.{domain}") } else { format!("{slug}--{label}.{domain}") }
}

/// Compatibility-decomposed, marks dropped, lower case, every run of other characters one `-`, trimmed.
fn normalise(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    // Lower case comes after the decomposition: "™" only then has letters.
    let characters = text.nfkd().filter(|&c| !is_combining_mark(c)).flat_map(char::to_lowercase);
    for character in characters.filter(|&c| !is_combining_mark(c)) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            name.push(character);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_matches('-').to_owned()
}

/// Two characters would make `<slug>--<service>` look like an encoded international name.
fn may_be_clean(name: &str) -> bool {
    !name.is_empty()
        && name.len() != 2
        && name.len() <= SLUG_LIMIT
        && !name.bytes().all(|b| b.is_ascii_digit())
        && !RESERVED.contains(&name)
        && !name.starts_with("xn-")
}

/// Cut so that name, `-` and `length` characters of the hash stay within the limit.
fn with_hash(name: &str, hash: &str, length: usize, limit: usize) -> String {
    let room = limit.saturating_sub(length + 1);
    let head = name.get(..room).unwrap_or(name).trim_end_matches('-');
    let tail = hash.get(..length).unwrap_or(hash);
    if head.is_empty() { format!("x-{tail}") } else { format!("{head}-{tail}") }
}

/// Base32 in lower case of the SHA-256 of the parts, 52 characters.
fn hash(parts: &[&str]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part));
    BASE32_NOPAD.encode(&digest.finalize()).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn slugs(branch: &str) -> Vec<String> {
        let (repo, branch) = (RepoName::parse("shop").unwrap(), BranchName::parse(branch).unwrap());
        candidates(&repo, &branch).map(|slug| slug.to_string()).collect()
    }

    fn first(branch: &str) -> String {
        slugs(branch).remove(0)
    }

    #[test]
    fn clean_slugs_are_readable() {
        let long = "a".repeat(40);
        for (branch, slug) in [
            ("feature/x", "feature-x"),
            ("Feature/A", "feature-a"),
            ("café", "cafe"),
            ("CAFE\u{301}", "cafe"),
            ("a--b__c", "a-b-c"),
            ("_x_y_", "x-y"),
            ("ﬁx/№7", "fix-no7"),
            ("Straße", "stra-e"),
            ("smørrebrød", "sm-rrebr-d"),
            ("İstanbul", "istanbul"),
            ("x™", "xtm"),
            ("2024-01-01", "2024-01-01"),
            ("a", "a"),
            ("é/é", "e-e"),
            (&long, &long),
        ] {
            assert_eq!(first(branch), slug, "{branch}");
        }
    }

    #[test]
    fn names_that_cannot_stand_for_themselves_get_a_hash() {
        let long = "d".repeat(41);
        let (cut, at_dash) =
            (format!("{}-", "d".repeat(33)), format!("{}/{}", "e".repeat(32), "f".repeat(20)));
        for (branch, head) in [
            ("한국", "x-"),
            ("🚀🚀", "x-"),
            ("12345678", "12345678-"),
            ("ab", "ab-"),
            ("www", "www-"),
            ("API", "api-"),
            ("xn--", "xn-"),
            ("xn/foo", "xn-foo-"),
            (long.as_str(), cut.as_str()),
            (at_dash.as_str(), &format!("{}-", "e".repeat(32))),
        ] {
            let slug = first(branch);
            let tail = slug.strip_prefix(head).unwrap_or_else(|| panic!("{branch}: {slug}"));
            assert_eq!(tail.len(), 6, "{slug}");
            assert!(tail.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)), "{slug}");
        }
    }

    #[test]
    fn the_hash_covers_repository_and_full_ref() {
        // By `printf 'shop\0refs/heads/www' | sha256sum`, its first 30 bits in base32.
        assert_eq!(first("www"), "www-3tikb3");
        let other = RepoName::parse("other").unwrap();
        let elsewhere = candidates(&other, &BranchName::parse("www").unwrap()).next().unwrap();
        assert_ne!(elsewhere.to_string(), first("www"));
    }

    #[test]
    fn services_get_short_different_parts() {
        assert_eq!(service_label("api"), "api");
        assert_eq!(service_label("My_API.v2"), "my-api-v2");
        assert_eq!(service_label("___").len(), "x-abcdef".len());
        let long = service_label("a-service-with-a-long-name");
        assert!(long.starts_with("a-service-with-") && long.len() == SERVICE_LIMIT, "{long}");

        let labels = service_labels(&["api", "API", "a_b", "a.b", "web"]);
        assert_eq!((labels["api"].as_str(), labels["web"].as_str()), ("api", "web"));
        assert!(labels["API"].starts_with("api-"), "{labels:?}");
        assert!(labels["a_b"].starts_with("a-b-") && labels["a.b"].starts_with("a-b-"), "{labels:?}");
        assert_ne!(labels["a_b"], labels["a.b"]);
    }

    #[test]
    fn a_part_that_is_spelled_like_anothers_hash_is_still_different() {
        let hashed = service_labels(&["a_b", "a.b"])["a.b"].clone();
        let labels = service_labels(&["a_b", "a.b", &hashed]);
        let different: BTreeSet<&String> = labels.values().collect();
        assert_eq!((labels[&hashed].as_str(), different.len()), (hashed.as_str(), 3));
    }

    #[test]
    fn hostnames_are_one_label_below_the_domain() {
        let slug = Slug::parse("feature-x").unwrap();
        assert_eq!(hostname(&slug, "", "qa.example"), "feature-x.qa.example");
        assert_eq!(hostname(&slug, "api", "qa.example"), "feature-x--api.qa.example");
    }

    fn assert_sound(branch: &str) {
        let all = slugs(branch);
        assert_eq!(all, slugs(branch), "the same each time");
        assert!(all.len() >= 27, "{branch:?} has few candidates");
        let different: BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{branch:?}");
        for slug in all {
            let legal = slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(legal && (1..=SLUG_LIMIT).contains(&slug.len()) && slug.len() != 2, "{branch:?}: {slug}");
            assert!(
                !slug.starts_with('-') && !slug.ends_with('-') && !slug.contains("--"),
                "{branch:?}: {slug}"
            );
            assert!(!RESERVED.contains(&slug.as_str()), "{branch:?}: {slug}");
            assert!(!slug.bytes().all(|b| b.is_ascii_digit()), "{branch:?}: {slug}");
            let host = format!("{slug}--{}", "s".repeat(SERVICE_LIMIT));
            assert!(host.len() <= 63 && !host.starts_with("xn--"), "{branch:?}: {host}");
        }
    }

    #[test]
    fn every_branch_of_the_corpus_gets_a_sound_slug() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora/branch-names.txt");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let accepted = text.split('\n').filter(|line| BranchName::parse(line).is_ok());
        assert!(accepted.inspect(|line| assert_sound(line)).count() > 50);
    }

    proptest! {
        #[test]
        fn every_branch_gets_a_sound_slug(name in "\\PC{1,60}|[a-zA-Z0-9_/-]{1,60}|(xn|[0-9]+|é)[-_0-9a-z]{0,3}") {
            if BranchName::parse(&name).is_ok() {
                assert_sound(&name);
            }
        }

        #[test]
        fn parts_of_services_are_sound_and_different(services in proptest::collection::btree_set("[aA][bB]?[._-]{0,3}[a-cA-C]{0,25}", 1..12)) {
            let services: Vec<&str> = services.iter().map(String::as_str).collect();
            let labels = service_labels(&services);
            let different: BTreeSet<&String> = labels.values().collect();
            prop_assert_eq!(different.len(), services.len());
            for label in labels.values() {
                prop_assert!((1..=SERVICE_LIMIT).contains(&label.len()), "{}", label);
                prop_assert!(Slug::parse(label).is_ok() && !label.contains("--"), "{}", label);
            }
        }
    }
}
