//! Which pushes are passed over: by the paths that they change, and by a word in the commit's message. Pure.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::names::{BranchName, CommitSha};
use super::text::clean_line;

/// What somebody writes into a commit's message so that nothing follows from it, in any case.
const SKIP_WORDS: [&str; 2] = ["[skip drey]", "[drey skip]"];
/// Paths that a conflict names; the others are counted.
const NAMED_AT_MOST: usize = 5;

/// Globs over paths, as of branches: `*` stays within a part, `**` crosses slashes. The last one that matches a path
/// decides about it; one that begins with `!` takes it out. Where all take out, everything else is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct PathFilter {
    patterns: Vec<String>,
    set: GlobSet,
    /// By the place of its pattern: whether a path that matches it is in.
    takes_in: Vec<bool>,
}

impl PathFilter {
    /// # Errors
    /// Names the pattern that is no glob.
    pub fn parse(patterns: Vec<String>) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        let mut takes_in = Vec::with_capacity(patterns.len());
        for pattern in &patterns {
            let (is_in, glob) = match pattern.strip_prefix('!') {
                Some(glob) => (false, glob),
                None => (true, pattern.as_str()),
            };
            if glob.is_empty() || glob.starts_with('/') {
                return Err(format!(
                    "{pattern:?} must be a glob over paths from the top of the repository, for instance web/**"
                ));
            }
            let built = GlobBuilder::new(glob).literal_separator(true).build();
            set.add(built.map_err(|error| format!("{pattern:?} is no glob: {error}"))?);
            takes_in.push(is_in);
        }
        let set = set.build().map_err(|error| error.to_string())?;
        Ok(Self { patterns, set, takes_in })
    }

    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Every path is in.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether what happens at the path concerns the environment.
    pub fn takes(&self, path: &str) -> bool {
        match self.set.matches(path).last() {
            Some(place) => self.takes_in.get(*place).copied().unwrap_or_default(),
            None => !self.takes_in.contains(&true),
        }
    }
}

impl Default for PathFilter {
    fn default() -> Self {
        Self { patterns: Vec::new(), set: GlobSet::empty(), takes_in: Vec::new() }
    }
}

impl PartialEq for PathFilter {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for PathFilter {}

impl TryFrom<Vec<String>> for PathFilter {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        Self::parse(patterns)
    }
}

impl From<PathFilter> for Vec<String> {
    fn from(filter: PathFilter) -> Self {
        filter.patterns
    }
}

/// Why a branch cannot be merged, and what to do.
pub fn conflict(target: &BranchName, paths: &[String]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED_AT_MOST).map(|path| clean_line(path)).collect();
    let more = paths.len().saturating_sub(NAMED_AT_MOST);
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    format!(
        "cannot be merged into {target}: conflicts in {}{more}: merge {target} into the branch",
        named.join(", ")
    )
}

/// Why a push is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its commit's message asks for it.
    Message(&'static str),
    /// Nothing of what it changes is among the paths.
    Paths,
}

impl Reason {
    /// The sentence that is told of the commit.
    pub fn told(self, commit: &CommitSha) -> String {
        let commit = commit.short();
        match self {
            Self::Message(word) => format!("{commit} is passed over: its message says {word}"),
            Self::Paths => {
                format!("{commit} is passed over: the branch changes nothing of `paths` ([[repo]])")
            }
        }
    }
}

/// The word in a commit's message that asks to pass it over.
pub fn skip_word(message: &str) -> Option<Reason> {
    let message = message.to_lowercase();
    SKIP_WORDS.into_iter().find(|word| message.contains(word)).map(Reason::Message)
}

/// Whether none of the changed paths is among those that concern the environment. Where not all are known, one may be.
pub fn nothing_of<'a>(
    filter: &PathFilter,
    mut changed: impl Iterator<Item = &'a str>,
    is_cut: bool,
) -> Option<Reason> {
    let passes = !filter.is_empty() && !is_cut && !changed.any(|path| filter.takes(path));
    passes.then_some(Reason::Paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> PathFilter {
        PathFilter::parse(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()).unwrap()
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let web = filter(&["web/**", "!web/docs/**", "web/docs/api.md", "*.yaml"]);
        for path in ["web/a", "web/a/b.js", "web/docs/api.md", "compose.yaml"] {
            assert!(web.takes(path), "{path}");
        }
        for path in ["web", "web/docs/x.md", "web/docs/a/b", "README", "deploy/compose.yaml", "api/web/a"] {
            assert!(!web.takes(path), "{path}");
        }
    }

    #[test]
    fn where_all_take_out_the_rest_is_in() {
        let code = filter(&["!docs/**", "!**/*.md"]);
        assert!(code.takes("web/a.js") && code.takes("docs"));
        assert!(!code.takes("docs/a") && !code.takes("README.md") && !code.takes("a/b.md"));
        assert!(PathFilter::default().takes("anything"));
        // Taking all in again after that is another matter.
        assert!(filter(&["!docs/**", "**"]).takes("docs/a"));
    }

    #[test]
    fn names_with_odd_characters_are_names() {
        let odd = filter(&["a b/[*", "größe/**"].map(|it| if it == "a b/[*" { "a b/\\[*" } else { it }));
        assert!(odd.takes("a b/[x") && odd.takes("größe/ü"));
    }

    #[test]
    fn what_is_no_glob_is_refused_with_its_text() {
        for bad in ["", "!", "/web/**", "!/web", "a[", "a{b"] {
            let error = PathFilter::parse(vec!["ok/**".to_owned(), bad.to_owned()]).unwrap_err();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_push_is_passed_over_when_it_changes_nothing_of_the_paths_and_all_are_known() {
        let web = filter(&["web/**"]);
        let of = |paths: &[&str], is_cut| nothing_of(&web, paths.iter().copied(), is_cut);
        assert_eq!(of(&["docs/a", "README"], false), Some(Reason::Paths));
        assert_eq!(of(&["docs/a", "web/a"], false), None);
        assert_eq!(of(&[], false), Some(Reason::Paths));
        assert_eq!(of(&["docs/a"], true), None);
        assert_eq!(nothing_of(&PathFilter::default(), [].into_iter(), false), None);
    }

    #[test]
    fn a_conflict_names_a_few_paths_and_the_way_out() {
        let main = BranchName::parse("main").unwrap();
        let paths: Vec<String> = (0..8).map(|number| format!("{number}.txt")).collect();
        assert_eq!(
            conflict(&main, &paths[..2]),
            "cannot be merged into main: conflicts in 0.txt, 1.txt: merge main into the branch"
        );
        assert_eq!(
            conflict(&main, &paths),
            "cannot be merged into main: conflicts in 0.txt, 1.txt, 2.txt, 3.txt, 4.txt (and 3 more): \
             merge main into the branch"
        );
        assert!(!conflict(&main, &["a\u{1b}[31m".to_owned()]).contains('\u{1b}'));
    }

    #[test]
    fn the_word_may_stand_anywhere_in_the_message() {
        for message in ["[skip drey]", "Fix\n\nlong text [Skip DREY] more", "x [drey skip]\n"] {
            assert!(skip_word(message).is_some(), "{message}");
        }
        for message in ["", "skip drey", "[skip ci]", "[skip  drey]", "[skip\ndrey]"] {
            assert_eq!(skip_word(message), None, "{message}");
        }
        let told = skip_word("[Drey Skip]").unwrap().told(&CommitSha::parse(&"a".repeat(40)).unwrap());
        assert_eq!(told, "aaaaaaaa is passed over: its message says [drey skip]");
    }
}
