//! Which files of a build context the builder never sees: the rules of `.dockerignore`.
//!
//! Source of the rules: Docker's documentation of the file, and its pattern language (Go's `filepath.Match` and
//! `**`). Where a pattern is unclear the file counts as seen: at worst something is built once more.

/// The patterns of one ignore file, in order; the last that matches a path decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// `!pattern`: what it matches is seen after all.
    is_exception: bool,
    pattern: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`: one character but `/`.
    One,
    /// `*`: any characters but `/`.
    Name,
    /// `**` at the end: anything.
    Rest,
    /// `**` before something: nothing, or whole folders.
    Folders,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Ignore {
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { rules: text.lines().filter_map(rule).collect() }
    }

    /// `path` is relative to the context, `/`-separated. What lies in an ignored folder is ignored too.
    pub fn ignores(&self, path: &str) -> bool {
        self.rules.iter().fold(false, |ignored, rule| {
            // A rule that would change nothing need not be tried.
            let changes = rule.is_exception == ignored;
            if changes && covers(&rule.pattern, path) { !ignored } else { ignored }
        })
    }
}

fn rule(line: &str) -> Option<Rule> {
    if line.starts_with('#') {
        return None;
    }
    let line = line.trim();
    let (is_exception, pattern) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let pattern = clean(pattern);
    (!pattern.is_empty()).then(|| Rule { is_exception, pattern: tokens(&pattern) })
}

/// Without `.` parts, empty parts and what `..` takes back; neither begins nor ends with `/`.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if pattern.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn tokens(pattern: &str) -> Vec<Token> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let next = characters.get(at + 1).copied();
        at += 1;
        match (character, next) {
            ('*', Some('*')) => {
                at += 1;
                // `**/` and `**x` alike: whole folders, or none, before what follows.
                at += usize::from(characters.get(at) == Some(&'/'));
                found.push(if at >= characters.len() { Token::Rest } else { Token::Folders });
            }
            ('*', _) => found.push(Token::Name),
            ('?', _) => found.push(Token::One),
            ('\\', Some(escaped)) => {
                at += 1;
                found.push(Token::Literal(escaped));
            }
            ('[', _) => match class(characters.get(at..).unwrap_or_default()) {
                Some((class, length)) => {
                    at += length;
                    found.push(class);
                }
                None => found.push(Token::Literal('[')),
            },
            (literal, _) => found.push(Token::Literal(literal)),
        }
    }
    found
}

/// What follows `[`, up to `]`, and how many characters that is.
fn class(characters: &[char]) -> Option<(Token, usize)> {
    let negated = characters.first() == Some(&'^');
    let mut at = usize::from(negated);
    let mut ranges = Vec::new();
    let take = |at: &mut usize| {
        let is_escape = characters.get(*at) == Some(&'\\');
        *at += usize::from(is_escape);
        let character = characters.get(*at).copied();
        *at += 1;
        character
    };
    while *characters.get(at)? != ']' {
        let low = take(&mut at)?;
        let is_range =
            characters.get(at) == Some(&'-') && characters.get(at + 1).is_some_and(|end| *end != ']');
        let high = if is_range {
            at += 1;
            take(&mut at)?
        } else {
            low
        };
        ranges.push((low, high));
    }
    (!ranges.is_empty()).then_some((Token::Class { negated, ranges }, at + 1))
}

/// Whether the pattern matches the path or a folder that it lies in. Follows all readings of the pattern at once:
/// time grows with its length times the path's, never faster.
fn covers(pattern: &[Token], path: &str) -> bool {
    let mut states = vec![false; pattern.len() + 1];
    if let Some(first) = states.first_mut() {
        *first = true;
    }
    skip_empty(pattern, &mut states);
    // Where a folder begins, for `**` that stands for whole folders.
    let mut in_folders = vec![false; pattern.len()];
    for character in path.chars() {
        if character == '/' && is_whole(&states) {
            return true;
        }
        let mut next = vec![false; pattern.len() + 1];
        let mut next_in_folders = vec![false; pattern.len()];
        for (at, token) in pattern.iter().enumerate() {
            let (here, inside) = (states[at], in_folders[at]);
            let (stays, advances) = match token {
                Token::Literal(literal) => (false, here && *literal == character),
                Token::One => (false, here && character != '/'),
                Token::Name => (here && character != '/', false),
                Token::Rest => (here, false),
                Token::Folders => {
                    next_in_folders[at] = here || inside;
                    (false, (here || inside) && character == '/')
                }
                Token::Class { negated, ranges } => {
                    let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                    (false, here && within != *negated && character != '/')
                }
            };
            next[at] |= stays;
            next[at + 1] |= advances;
        }
        skip_empty(pattern, &mut next);
        (states, in_folders) = (next, next_in_folders);
    }
    is_whole(&states)
}

/// The end of the pattern is reached.
fn is_whole(states: &[bool]) -> bool {
    states.last().copied().unwrap_or(false)
}

/// Tokens that may stand for nothing are passed by.
fn skip_empty(pattern: &[Token], states: &mut [bool]) {
    for (at, token) in pattern.iter().enumerate() {
        if states[at] && matches!(token, Token::Name | Token::Rest | Token::Folders) {
            states[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_docker_says() {
        let cases = [
            ("node_modules", "node_modules/a/b.js", true),
            ("node_modules", "web/node_modules/a.js", false),
            ("**/node_modules", "web/node_modules/a.js", true),
            ("**/node_modules", "node_modules/a.js", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("*/*.md", "docs/README.md", true),
            ("**/*.md", "README.md", true),
            ("**/*.md", "a/b/c.md", true),
            ("docs/**", "docs/a/b", true),
            ("docs/**", "docs", false),
            ("docs/**/x", "docs/x", true),
            ("docs/**/x", "docs/a/b/x", true),
            ("docs/**/x", "docs/ax", false),
            ("**", "anything/at/all", true),
            ("*", "a/b", true),
            ("/build/", "build/x", true),
            ("./build", "build", true),
            ("a/../b", "b", true),
            ("te?t", "test", true),
            ("te?t", "te/t", false),
            ("file[0-9a]", "file7", true),
            ("file[^0-9]", "file7", false),
            ("file[^0-9]", "filex", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("{a,b}", "a", false),
            ("# no", "# no", false),
            (" spaced ", "spaced", true),
            ("größe*", "größe.txt", true),
            ("[", "[", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(Ignore::parse(pattern).ignores(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let ignore =
            Ignore::parse("\u{feff}# all but sources\r\n*\r\n!src\r\n!Dockerfile\r\nsrc/**/*.tmp\r\n");
        assert!(ignore.ignores("README.md"));
        assert!(!ignore.ignores("src/a/b.rs"));
        assert!(ignore.ignores("src/a/b.tmp"));
        assert!(!ignore.ignores("Dockerfile"));
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let pattern = "**/*a".repeat(200) + "z";
        let path = "a/".repeat(1000);
        assert!(!Ignore::parse(&pattern).ignores(&format!("{path}b")));
    }
}
