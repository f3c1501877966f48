//! The dashboard's pages by their addresses: written into links, read from what a browser brings back; and where it is
//! safe to show them.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::names::{BranchName, RepoName};

/// Most characters of an id that somebody asks for.
const ID_LIMIT: usize = 128;

/// A page that only looks. Nothing else is a place that one may be sent to after signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// All environments.
    Home,
    /// How an environment stands, and the log of its newest deployment.
    Log(RepoName, BranchName),
    /// The newest archive of a branch.
    Newest(RepoName, BranchName),
    /// An archive by its id.
    Archive(String),
}

impl Place {
    /// The path, beginning with one slash; a branch with its slashes is one part of it.
    pub fn path(&self) -> String {
        match self {
            Self::Home => "/".to_owned(),
            Self::Log(repo, branch) => format!("/environments/{repo}/{}/log", encoded(branch.as_str())),
            Self::Newest(repo, branch) => {
                format!("/environments/{repo}/{}/archive", encoded(branch.as_str()))
            }
            Self::Archive(id) => format!("/archives/{}", encoded(id)),
        }
    }

    /// The page that a path names; none where it is not the path of one. The path is never used itself, but the one that
    /// is written from what it names.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix('/')?;
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            [""] => Some(Self::Home),
            ["environments", repo, branch, page @ ("log" | "archive")] => {
                let repo = RepoName::parse(&decoded(repo)?).ok()?;
                let branch = BranchName::parse_any(&decoded(branch)?).ok()?;
                Some(if *page == "log" { Self::Log(repo, branch) } else { Self::Newest(repo, branch) })
            }
            ["archives", id] => decoded(id).filter(|id| is_id(id)).map(Self::Archive),
            _ => None,
        }
    }

    /// The page of the environment called `REPO/BRANCH`.
    pub fn of(name: &str, page: fn(RepoName, BranchName) -> Self) -> Option<Self> {
        let (repo, branch) = name.split_once('/')?;
        Some(page(RepoName::parse(repo).ok()?, BranchName::parse_any(branch).ok()?))
    }
}

/// Ids of archives are made of slugs and numbers.
fn is_id(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=ID_LIMIT).contains(&text.len()) && text.bytes().all(fine)
}

/// One part of a path, or a value of a query.
pub fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
    text
}

fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let number = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(number).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Where a page comes from, as browsers write it in `Origin`: scheme, host, and the port where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Of an `http://` or `https://` address; what follows the host is left out.
    pub fn of_url(url: &str) -> Option<Self> {
        let url = url.to_ascii_lowercase();
        let (scheme, rest) = url.split_once("://")?;
        let default = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if authority.is_empty() || authority.starts_with(':') || !authority.bytes().all(fine) {
            return None;
        }
        Some(Self(format!("{scheme}://{}", authority.strip_suffix(default).unwrap_or(authority))))
    }

    /// Of a `Host` that is this machine itself, spoken to in plain. No other one is believed: whoever is sent to a name
    /// of somebody's choice would be told that it is ours, and branches have names of this machine (`*.localhost`) too.
    pub fn of_this_machine(host: &str) -> Option<Self> {
        Self::of_url(&format!("http://{host}")).filter(Self::is_this_machine)
    }

    /// The browser is on the daemon's machine, or at the end of a tunnel to it.
    pub fn is_this_machine(&self) -> bool {
        let host = self.0.split_once("://").map_or("", |(_, authority)| authority);
        let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _port)) => address,
            None => host.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Browsers keep `Secure` cookies of it, and nobody on the way reads what is sent to it.
    pub fn is_safe(&self) -> bool {
        self.0.starts_with("https://") || self.is_this_machine()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(branch: &str) -> Place {
        Place::Log(RepoName::parse("shop").unwrap(), BranchName::parse_any(branch).unwrap())
    }

    #[test]
    fn pages_are_found_again_by_their_paths() {
        for (place, path) in [
            (Place::Home, "/"),
            (log("feature/größe"), "/environments/shop/feature%2Fgr%C3%B6%C3%9Fe/log"),
            (log("pull:7"), "/environments/shop/pull%3A7/log"),
            (
                log("<img/src=x/onerror=alert(1)>"),
                "/environments/shop/%3Cimg%2Fsrc%3Dx%2Fonerror%3Dalert%281%29%3E/log",
            ),
            (Place::of("shop/x", Place::Newest).unwrap(), "/environments/shop/x/archive"),
            (Place::Archive("feature-x-1-2".into()), "/archives/feature-x-1-2"),
        ] {
            assert_eq!(place.path(), path);
            assert_eq!(Place::parse(path), Some(place));
        }
        assert_eq!(Place::of("a container", Place::Log), None);
    }

    #[test]
    fn nothing_leads_elsewhere() {
        for elsewhere in [
            "",
            "//evil.example",
            "//evil.example/environments/shop/x/log",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "/environments/shop/x/log?next=//evil.example",
            "/environments/shop/x/log#x",
            "/environments/shop/feature/x/log",
            "/environments/shop/../log",
            "/environments/shop/%2E%2E/log",
            "/environments/shop/x%00/log",
            "/environments/shop/x%0a/log",
            "/environments/shop/%/log",
            "/environments/shop/%f/log",
            "/environments/shop/%ff/log",
            "/environments/Shop/x/log",
            "/archives/",
            "/archives/a%2Fb",
            "/archives/a/restore",
            "/signin",
            "/signout",
            "/api/v1/tokens",
            "/ ",
            "/\t/evil.example",
            " /",
        ] {
            assert_eq!(Place::parse(elsewhere), None, "{elsewhere:?}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (url, origin) in [
            ("https://Drey.example/", Some("https://drey.example")),
            ("https://drey.example:443", Some("https://drey.example")),
            ("http://drey.example:80/x?y#z", Some("http://drey.example")),
            ("http://[::1]:8420", Some("http://[::1]:8420")),
            ("ftp://drey.example", None),
            ("drey.example", None),
            ("https://", None),
            ("https://anna@drey.example", None),
            ("null", None),
        ] {
            assert_eq!(Origin::of_url(url).as_ref().map(Origin::as_str), origin, "{url}");
        }
    }

    #[test]
    fn plain_is_safe_on_this_machine_only() {
        for host in ["localhost", "localhost:8420", "127.0.0.1:8420", "127.9.9.9", "[::1]:8420", "LOCALHOST"]
        {
            assert!(Origin::of_this_machine(host).is_some_and(|origin| origin.is_safe()), "{host}");
        }
        for host in [
            "drey.example",
            "x.localhost:8420",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "",
            ":8420",
            "evil@localhost",
        ] {
            assert_eq!(Origin::of_this_machine(host), None, "{host}");
        }
        assert!(Origin::of_url("https://drey.example").unwrap().is_safe());
        assert!(!Origin::of_url("http://drey.example").unwrap().is_safe());
    }

    proptest! {
        #[test]
        fn a_path_that_is_taken_is_on_our_own_host(path in "[/\\\\%a-z0-9.: \t]{0,30}|/environments/shop/\\PC{1,20}/log") {
            if let Some(place) = Place::parse(&path) {
                let written = place.path();
                prop_assert!(written.starts_with('/') && !written.starts_with("//"));
                prop_assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
                prop_assert_eq!(Place::parse(&written), Some(place));
            }
        }
    }
}
