//! What makes two builds the same: a digest over everything a build reads, and the tag made of it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::dockerignore::Ignore;
use super::{BuildInputs, ContextEntry};
use crate::domain::names::{InstanceId, RepoName};

/// Digits of the digest that are used: 128 bits.
const DIGEST_DIGITS: usize = 32;

/// Longest part of an image name that is taken over from a service's name.
const NAME_LIMIT: usize = 100;

/// What the compose file says of a build, besides where its files lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildRecipe {
    pub args: BTreeMap<String, String>,
    pub target: Option<String>,
    pub platform: Option<String>,
    pub dockerfile_inline: Option<String>,
    /// Additional contexts that are not local, as text.
    pub additional: BTreeMap<String, String>,
    pub network_none: bool,
    pub extra_hosts: Vec<String>,
    /// The daemon that builds, and removes what it built: another one on the same engine builds its own.
    pub instance: String,
}

/// Digest of a build: equal when everything it reads is equal. `base_ids`: image reference → its id, `None` when
/// the image is not there (yet).
pub fn identity(
    inputs: &BuildInputs,
    recipe: &BuildRecipe,
    base_ids: &BTreeMap<String, Option<String>>,
) -> String {
    // What the ignore file says shows in the files that are left; its comments change nothing.
    let ignore = inputs.dockerignore.as_deref().map(|text| Ignore::parse(&String::from_utf8_lossy(text)));
    let ignore = ignore.unwrap_or_default();
    let mut encoding = Encoding::new();
    encoding.text("drey image 1");
    encoding.count(inputs.contexts.len());
    for (name, entries) in &inputs.contexts {
        // Additional contexts have an ignore file of their own, which we do not read: more counts, never less.
        let is_seen = |entry: &&ContextEntry| !name.is_empty() || !ignore.ignores(&entry.path);
        let mut seen: Vec<&ContextEntry> = entries.iter().filter(is_seen).collect();
        seen.sort();
        encoding.text(name);
        encoding.count(seen.len());
        for entry in seen {
            encoding.text(&entry.path);
            encoding.text(&format!("{:o}", entry.mode));
            encoding.text(&entry.id);
        }
    }
    encoding.option(inputs.dockerfile.as_deref());
    encoding.option(recipe.dockerfile_inline.as_deref().map(str::as_bytes));
    encoding.option(recipe.target.as_deref().map(str::as_bytes));
    encoding.option(recipe.platform.as_deref().map(str::as_bytes));
    encoding.map(&recipe.args);
    encoding.map(&recipe.additional);
    encoding.text(&recipe.instance);
    encoding.count(usize::from(recipe.network_none));
    encoding.count(recipe.extra_hosts.len());
    recipe.extra_hosts.iter().for_each(|host| encoding.text(host));
    encoding.count(base_ids.len());
    for (reference, id) in base_ids {
        encoding.text(reference);
        encoding.option(id.as_deref().map(str::as_bytes));
    }
    encoding.digest()
}

/// `drey/<repo>/<service>:<digest>`; names that are no legal parts of an image name are changed, with a hash.
pub fn tag(repo: &RepoName, service: &str, digest: &str) -> String {
    format!("drey/{}/{}:{digest}", image_part(repo.as_str()), image_part(service))
}

/// What images are called while they are made, by one run of a plan: no service ever uses one of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interim(String);

impl Interim {
    /// `deployment` is the run's number.
    pub fn new(instance: &InstanceId, deployment: i64) -> Self {
        Self(format!("drey/unfinished:{instance}-{deployment}"))
    }

    /// `drey/unfinished:<instance>-<deployment>-<part of a digest>`, the same for the same service.
    pub fn tag(&self, service: &str) -> String {
        let digest = hex::encode(Sha256::digest(service.as_bytes()));
        format!("{}-{}", self.0, digest.get(..12).unwrap_or(&digest))
    }
}

/// Lower-case letters and digits, separated by one `.`, one or two `_`, or dashes.
fn image_part(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut part = String::new();
    let mut separator = String::new();
    for character in lower.chars() {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            if !part.is_empty() {
                part.push_str(legal_separator(&separator));
            }
            separator.clear();
            part.push(character);
        } else {
            separator.push(character);
        }
    }
    if part == name && part.len() <= NAME_LIMIT {
        return part;
    }
    part.truncate(NAME_LIMIT);
    let kept = part.trim_end_matches(['.', '_', '-']);
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    let hash = digest.get(..8).unwrap_or(&digest);
    if kept.is_empty() { format!("x-{hash}") } else { format!("{kept}-{hash}") }
}

/// The same separator where it is legal, else one dash.
fn legal_separator(separator: &str) -> &str {
    let is_dashes = separator.bytes().all(|byte| byte == b'-');
    if is_dashes || matches!(separator, "." | "_" | "__") { separator } else { "-" }
}

/// Length before content, always: no two different inputs give the same bytes.
struct Encoding(Sha256);

impl Encoding {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn option(&mut self, value: Option<&[u8]>) {
        self.count(usize::from(value.is_some()));
        self.bytes(value.unwrap_or_default());
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        self.count(map.len());
        for (name, value) in map {
            self.text(name);
            self.text(value);
        }
    }

    fn digest(self) -> String {
        let mut digits = hex::encode(self.0.finalize());
        digits.truncate(DIGEST_DIGITS);
        digits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str, mode: i32, id: &str) -> ContextEntry {
        ContextEntry { path: path.to_owned(), mode, id: id.to_owned() }
    }

    fn of(inputs: &BuildInputs) -> String {
        identity(inputs, &BuildRecipe::default(), &BTreeMap::new())
    }

    prop_compose! {
        fn entries()(
            files in prop::collection::btree_map("(kept|dropped)/[a-c]{1,3}", ("[0-9a-f]{4}", any::<bool>()), 1..8)
        ) -> Vec<ContextEntry> {
            let mode = |run: bool| if run { 0o100_755 } else { 0o100_644 };
            files.into_iter().map(|(path, (id, run))| entry(&path, mode(run), &id)).collect()
        }
    }

    proptest! {
        #[test]
        fn ignored_files_and_order_do_not_count(files in entries()) {
            let inputs = |files: Vec<ContextEntry>| BuildInputs {
                contexts: BTreeMap::from([(String::new(), files)]),
                dockerfile: Some(b"FROM a".to_vec()),
                dockerignore: Some(b"dropped\n".to_vec()),
            };
            let kept: Vec<_> = files.iter().filter(|file| file.path.starts_with("kept")).cloned().collect();
            let mut turned = files.clone();
            turned.reverse();
            prop_assert_eq!(of(&inputs(files)), of(&inputs(kept)));
            prop_assert_eq!(of(&inputs(turned.clone())), of(&inputs(turned.into_iter().rev().collect())));
        }

        #[test]
        fn every_change_of_what_is_read_counts(files in entries(), index in any::<prop::sample::Index>(), what in 0..4) {
            let inputs = |files: &[ContextEntry]| BuildInputs {
                contexts: BTreeMap::from([(String::new(), files.to_vec())]),
                ..BuildInputs::default()
            };
            let mut changed = files.clone();
            let at = index.index(changed.len());
            match what {
                0 => changed[at].id.push('0'),
                1 => changed[at].mode ^= 0o111,
                2 => changed[at].path.push('x'),
                _ => { changed.remove(at); }
            }
            prop_assert_ne!(of(&inputs(&files)), of(&inputs(&changed)));
        }

        #[test]
        fn names_become_legal_and_stay_apart(one in "[A-Za-z0-9._-]{1,12}", other in "[A-Za-z0-9._-]{1,12}") {
            // The distribution's grammar: runs of letters and digits, between them one dot, one or two underscores, dashes.
            let separators = |part: &str| -> Vec<String> {
                let found = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
                found.filter(|it| !it.is_empty()).map(str::to_owned).collect()
            };
            let fine = |it: &String| matches!(it.as_str(), "." | "_" | "__") || it.bytes().all(|byte| byte == b'-');
            let legal = |part: &str| separators(part).iter().all(fine)
                && part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.ends_with(|c: char| c.is_ascii_alphanumeric());
            prop_assert!(legal(&image_part(&one)), "{}", image_part(&one));
            prop_assert_eq!(one == other, image_part(&one) == image_part(&other));
        }
    }

    #[test]
    fn each_part_of_the_recipe_counts() {
        let one = |text: &str| Some(text.to_owned());
        let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let recipes = [
            BuildRecipe::default(),
            BuildRecipe { target: one("x"), ..Default::default() },
            BuildRecipe { target: one(""), ..Default::default() },
            BuildRecipe { platform: one("x"), ..Default::default() },
            BuildRecipe { dockerfile_inline: one("x"), ..Default::default() },
            BuildRecipe { args: map("a", "bc"), ..Default::default() },
            BuildRecipe { args: map("ab", "c"), ..Default::default() },
            BuildRecipe { additional: map("ab", "c"), ..Default::default() },
            BuildRecipe { network_none: true, ..Default::default() },
            BuildRecipe { instance: "abc234".to_owned(), ..Default::default() },
            BuildRecipe { extra_hosts: vec!["a=b".to_owned()], ..Default::default() },
        ];
        let inputs = BuildInputs::default();
        let mut seen: Vec<_> =
            recipes.iter().map(|recipe| identity(&inputs, recipe, &BTreeMap::new())).collect();
        for id in [None, Some(String::new()), Some("sha256:1".to_owned())] {
            seen.push(identity(&inputs, &recipes[0], &BTreeMap::from([("debian".to_owned(), id)])));
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(seen.iter().all(|digest| digest.len() == 32));
    }

    #[test]
    fn tags_are_image_names() {
        let repo = RepoName::parse("shop").unwrap();
        assert_eq!(tag(&repo, "web", "00ff"), "drey/shop/web:00ff");
        assert_eq!(tag(&repo, "a__b.c--d", "1"), "drey/shop/a__b.c--d:1");
        assert!(tag(&repo, "Web", "1").starts_with("drey/shop/web-"));
        assert!(tag(&repo, "..", "1").starts_with("drey/shop/x-"));
    }
}
