//! What is to blame when a git command fails, from what it said.

use crate::domain::text::clean_line;

/// What is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The remote, or the way there: it may be mended without anybody telling drey. What is to be done is said.
    Remote(&'static str),
    /// What the branch holds: another try ends the same.
    Content(&'static str),
    /// The words say nothing of it: the mirror may be damaged as well.
    Unclear,
}

const LOGIN: &str =
    "the remote asks for a login, or does not take the one it got: put a valid one into `url`";
const KEY: &str =
    "the host does not take the key of drey's user: give it a right to read, or drey another key";
const HOST_KEY: &str =
    "the host's key is not the one in known_hosts of drey's user: compare it, then write it down there";
const MISSING: &str = "there is no repository, or drey may not see it: is `url` right, has it moved?";
const MOVED: &str = "the repository has moved: write its new address into `url`";
const OWNER: &str = "git does not trust the owner of the repository's folder";
const NO_WAY: &str = "the remote cannot be reached";
const TROUBLE: &str = "the remote is in trouble";
const BROKEN_OFF: &str = "the remote broke off";
const BAD_OBJECT: &str = "git refuses an object of the branch";

/// First what says more: a refused login, too, ends with the remote hanging up. All in lower case.
const SIGNS: [(&str, Blame); 36] = [
    ("fsck error", Blame::Content(BAD_OBJECT)),
    ("fsck", Blame::Content(BAD_OBJECT)),
    ("authentication failed", Blame::Remote(LOGIN)),
    ("could not read username", Blame::Remote(LOGIN)),
    ("could not read password", Blame::Remote(LOGIN)),
    ("terminal prompts disabled", Blame::Remote(LOGIN)),
    ("requested url returned error: 401", Blame::Remote(LOGIN)),
    ("requested url returned error: 403", Blame::Remote(LOGIN)),
    ("host key verification failed", Blame::Remote(HOST_KEY)),
    ("no matching host key", Blame::Remote(HOST_KEY)),
    ("permission denied (", Blame::Remote(KEY)),
    ("unable to update url base from redirection", Blame::Remote(MOVED)),
    ("requested url returned error: 30", Blame::Remote(MOVED)),
    ("dubious ownership", Blame::Remote(OWNER)),
    ("does not appear to be a git repository", Blame::Remote(MISSING)),
    ("repository not found", Blame::Remote(MISSING)),
    ("' not found", Blame::Remote(MISSING)),
    ("requested url returned error: 404", Blame::Remote(MISSING)),
    ("requested url returned error: 410", Blame::Remote(MISSING)),
    ("could not resolve host", Blame::Remote(NO_WAY)),
    ("temporary failure in name resolution", Blame::Remote(NO_WAY)),
    ("connection refused", Blame::Remote(NO_WAY)),
    ("failed to connect", Blame::Remote(NO_WAY)),
    ("couldn't connect", Blame::Remote(NO_WAY)),
    ("could not connect", Blame::Remote(NO_WAY)),
    ("no route to host", Blame::Remote(NO_WAY)),
    ("network is unreachable", Blame::Remote(NO_WAY)),
    ("timed out", Blame::Remote(NO_WAY)),
    ("requested url returned error: 429", Blame::Remote(TROUBLE)),
    ("requested url returned error: 5", Blame::Remote(TROUBLE)),
    ("ssl", Blame::Remote(NO_WAY)),
    ("connection reset", Blame::Remote(BROKEN_OFF)),
    ("connection closed", Blame::Remote(BROKEN_OFF)),
    ("early eof", Blame::Remote(BROKEN_OFF)),
    ("hung up", Blame::Remote(BROKEN_OFF)),
    ("could not read from remote repository", Blame::Remote(NO_WAY)),
];

/// Who is to blame for what git said.
pub(super) fn blame(said: &str) -> Blame {
    let said = said.to_lowercase();
    SIGNS.iter().find(|(sign, _)| said.contains(sign)).map_or(Blame::Unclear, |(_, blame)| *blame)
}

/// Which limit of its process stopped git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    FileSize,
    Memory,
}

/// Signal 25 is what the kernel sends to whoever writes beyond the limit of a file.
const LIMIT_SIGNS: [(&str, Limit); 6] = [
    ("file too large", Limit::FileSize),
    ("file size limit exceeded", Limit::FileSize),
    ("died of signal 25", Limit::FileSize),
    ("out of memory", Limit::Memory),
    ("cannot allocate memory", Limit::Memory),
    ("unable to create thread", Limit::Memory),
];

/// The limit that git met, by what it said.
pub(super) fn limit(said: &str) -> Option<Limit> {
    // What the other side says is not about our limits.
    let ours: Vec<&str> = said.lines().filter(|line| !line.starts_with("remote:")).collect();
    let ours = ours.join("\n").to_lowercase();
    LIMIT_SIGNS.iter().find(|(sign, _)| ours.contains(sign)).map(|(_, limit)| *limit)
}

/// How the lines begin that tell how far git is.
const PROGRESS: [&str; 12] = [
    "Enumerating objects",
    "Counting objects",
    "Compressing objects",
    "Total ",
    "Receiving objects",
    "Unpacking objects",
    "Resolving deltas",
    "Indexing objects",
    "Checking connectivity",
    "Checking objects",
    "Writing objects",
    "From ",
];

/// What git said without how far it was, and without what could steer a terminal: a part of it is the remote's own words.
pub(super) fn without_progress(said: &str) -> String {
    let parts = said.split(['\r', '\n']).map(clean_line);
    let is_said = |part: &String| {
        let bare = part.strip_prefix("remote: ").unwrap_or(part);
        !bare.is_empty() && bare != "remote:" && !PROGRESS.iter().any(|begin| bare.starts_with(begin))
    };
    parts.filter(is_said).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_own_words() {
        for (said, expected) in [
            ("fatal: could not read Username for 'https://git.example': terminal prompts disabled", LOGIN),
            ("remote: Invalid username or password.\nfatal: Authentication failed for 'https://x/'", LOGIN),
            ("fatal: unable to access 'https://x/': The requested URL returned error: 403", LOGIN),
            (
                "git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n\
                 Please make sure you have the correct access rights\nand the repository exists.",
                KEY,
            ),
            ("Host key verification failed.\nfatal: Could not read from remote repository.", HOST_KEY),
            ("fatal: '/srv/git/x.git' does not appear to be a git repository", MISSING),
            ("remote: Repository not found.\nfatal: repository 'https://x/a/' not found", MISSING),
            (
                "fatal: unable to update url base from redirection:\n  asked for: https://x/a\n   redirect: \
                 https://y/a",
                MOVED,
            ),
            ("fatal: unable to access 'https://x/': The requested URL returned error: 302", MOVED),
            ("fatal: unable to access 'https://x/': Could not resolve host: x", NO_WAY),
            (
                "ssh: connect to host x port 22: Connection timed out\nfatal: Could not read from remote",
                NO_WAY,
            ),
            ("fatal: unable to access 'https://x/': The requested URL returned error: 503", TROUBLE),
            ("fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF", BROKEN_OFF),
            ("fatal: the remote end hung up unexpectedly", BROKEN_OFF),
        ] {
            assert_eq!(blame(said), Blame::Remote(expected), "{said}");
        }
    }

    #[test]
    fn what_only_the_mirror_may_have_is_not_laid_at_the_remotes_door() {
        for said in [
            "error: object file ./objects/90/1 is empty\nfatal: object 90113c2fac9f not found",
            "fatal: bad object refs/branches/x\nerror: /srv/x did not send all necessary objects",
            "fatal: unexpected line in ./packed-refs: garbage",
            "fatal: unresolved deltas left after unpacking\nfatal: unpack-objects failed",
            "error: packfile ./objects/pack/pack-1.pack does not match index",
        ] {
            assert_eq!(blame(said), Blame::Unclear, "{said}");
        }
        assert_eq!(
            blame("error: object a1: zeroPaddedFilemode\nfatal: fsck error in pack"),
            Blame::Content(BAD_OBJECT)
        );
    }

    #[test]
    fn how_far_it_was_is_not_why_it_failed() {
        let said = "remote: Enumerating objects: 3, done.        \rremote: Counting objects:  33% (1/3)\rremote: \u{1b}[31mno\u{1b}[0m\n\
                    Receiving objects:  50% (1/2), 3.00 KiB | 1.00 MiB/s\rerror: index-pack died of signal 25\n\
                    fatal: fetch-pack: invalid index-pack output\n";
        let expected =
            "remote: no\nerror: index-pack died of signal 25\nfatal: fetch-pack: invalid index-pack output";
        assert_eq!(without_progress(said), expected);
        assert_eq!(limit(expected), Some(Limit::FileSize));
        assert_eq!(
            limit("fatal: Out of memory, malloc failed (tried to allocate 9 bytes)"),
            Some(Limit::Memory)
        );
        assert_eq!(limit("remote: out of memory\nfatal: early EOF"), None);
    }
}
