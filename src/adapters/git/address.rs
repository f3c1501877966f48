//! What a configured URL says: how the repository is reached, what may be shown of it, what only git may know.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;

/// Parts of credentials that are shorter are words that git's own messages may contain.
const SHORTEST_SECRET: usize = 8;

/// How a configured URL is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    File,
    Https,
    Ssh,
}

impl Transport {
    /// `None` for what drey does not speak.
    pub(super) fn of(url: &str) -> Option<Self> {
        match url.split_once("://") {
            Some(("https", _)) => Some(Self::Https),
            Some(("ssh", rest)) if !rest.starts_with('-') => Some(Self::Ssh),
            Some(("file", _)) => Some(Self::File),
            Some(_) => None,
            None if url.starts_with('/') => Some(Self::File),
            None => {
                // The short form `user@host:path`: the colon comes before any slash.
                let (host, _) = url.split_once(':')?;
                (!host.is_empty() && !host.contains('/') && !host.starts_with('-')).then_some(Self::Ssh)
            }
        }
    }

    /// As `GIT_ALLOW_PROTOCOL` names it.
    pub(super) fn protocol(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Https => "https",
            Self::Ssh => "ssh",
        }
    }
}

/// The credentials of an `https://` URL, as git sends them, without appearing in any argument.
pub(super) struct Login {
    /// Key of git's configuration: for this host alone.
    pub(super) key: String,
    /// The header.
    pub(super) value: String,
    /// What must not be shown, in every form that a message could bring it.
    pub(super) secrets: Vec<String>,
}

impl Login {
    pub(super) fn of(url: &str) -> Option<Self> {
        if Transport::of(url) != Some(Transport::Https) {
            return None;
        }
        let (userinfo, end) = credentials(url)?;
        let host = url.get(end..)?.split('/').next()?;
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        if user.is_empty() && password.is_empty() {
            return None;
        }
        let encoded = BASE64.encode(&[unescaped(user).as_slice(), b":", &unescaped(password)].concat());
        // A token may stand where the user does.
        let token = if password.is_empty() { user } else { password };
        let decoded = String::from_utf8_lossy(&unescaped(token)).into_owned();
        // The longest first, so that none hides a part of another.
        let mut secrets = vec![encoded.clone(), userinfo.to_owned(), token.to_owned(), decoded];
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Some(Self {
            key: format!("http.https://{host}/.extraHeader"),
            value: format!("Authorization: Basic {encoded}"),
            secrets,
        })
    }
}

/// Where git may find the repository of a path, and the folders that it borrows objects from.
pub(super) fn local_folders(url: &str) -> Vec<PathBuf> {
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut folders = vec![path.to_owned()];
    for base in [path.to_owned(), real] {
        let mut suffixed = base.clone().into_os_string();
        suffixed.push(".git");
        folders.extend([base.clone(), base.join(".git"), suffixed.into()]);
    }
    let alternates: Vec<PathBuf> =
        folders.iter().flat_map(|folder| alternates(&folder.join("objects"))).collect();
    folders.extend(alternates);
    folders.sort();
    folders.dedup();
    folders
}

fn alternates(objects: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(objects.join("info/alternates")).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(|line| objects.join(line)).collect()
}

/// The part of a URL that is nobody's business, and where it ends.
fn credentials(url: &str) -> Option<(&str, usize)> {
    let start = url.find("://")? + 3;
    let authority = url.get(start..)?.split('/').next()?;
    let end = authority.rfind('@')?;
    Some((authority.get(..end)?, start + end + 1))
}

/// Whether the URL names more than a user.
pub(super) fn names_password(url: &str) -> bool {
    credentials(url).is_some_and(|(login, _)| unescaped(login).contains(&b':'))
}

pub(super) fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), credentials(url)) {
        (Some((scheme, _)), Some((_, end))) => {
            format!("{scheme}://{}", url.get(end..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

/// `%41` is `A`, as in git; what is no such escape stays as it is.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let escaped = others.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        match escaped.as_deref() {
            Some([byte]) => {
                bytes.push(*byte);
                rest = others.get(2..).unwrap_or_default();
            }
            Some(_) | None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_transports() {
        let cases = [
            ("/srv/git/shop.git", Some(Transport::File)),
            ("https://example.org/a.git", Some(Transport::Https)),
            ("ssh://git@example.org/a.git", Some(Transport::Ssh)),
            ("git@example.org:a/b.git", Some(Transport::Ssh)),
            ("ext::sh -c id", Some(Transport::Ssh)),
            ("http://example.org/a", None),
            ("ssh://-oProxyCommand=id/x", None),
            ("-oProxyCommand=id:x", None),
            ("relative/path", None),
            ("./a:b", None),
        ];
        for (url, expected) in cases {
            // `ext::` would be taken for a host here; GIT_ALLOW_PROTOCOL=ssh refuses it.
            assert_eq!(Transport::of(url), expected, "{url}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        assert_eq!(without_credentials("https://u:p@ss@host:8/x@y"), "https://host:8/x@y");
        assert_eq!(without_credentials("https://host/x@y"), "https://host/x@y");
        assert_eq!(without_credentials("/srv/a@b"), "/srv/a@b");
        assert!(names_password("ssh://git:x@host/a") && names_password("ssh://git%3Ax@host/a"));
        assert!(!names_password("ssh://git@host:22/a") && !names_password("git@host:a"));
        assert_eq!(credentials("https://u:t0ken@host/x"), Some(("u:t0ken", 16)));
    }

    #[test]
    fn a_login_is_a_header_for_its_host_alone() {
        let login = |url: &str| Login::of(url).map(|login| (login.key, login.value));
        let header = |host: &str, value: &str| {
            Some((format!("http.https://{host}/.extraHeader"), format!("Authorization: Basic {value}")))
        };
        assert_eq!(login("https://u:p@ss@host:8/x@y"), header("host:8", "dTpwQHNz"));
        assert_eq!(login("https://us%40er:100%25%4@host"), header("host", "dXNAZXI6MTAwJSU0"));
        assert_eq!(login("https://token@host/x"), header("host", "dG9rZW46"));
        for none in ["https://host/x@y", "https://@host/x", "https://:@host/x", "ssh://git:x@host/x", "/a@b"]
        {
            assert_eq!(login(none), None, "{none}");
        }
    }

    #[test]
    fn every_form_of_a_secret_is_known() {
        let secrets = Login::of("https://user:t0ken%2Ft0ken@host/x").unwrap().secrets;
        for form in ["user:t0ken%2Ft0ken", "t0ken%2Ft0ken", "t0ken/t0ken", "dXNlcjp0MGtlbi90MGtlbg=="] {
            assert!(secrets.iter().any(|secret| secret == form), "{form}: {secrets:?}");
        }
        // Words of git's own are none.
        assert_eq!(Login::of("https://git@host/x").unwrap().secrets, ["Z2l0Og=="]);
    }
}
