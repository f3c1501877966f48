//! Who may look, from the configuration; and the key that links are signed with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};

use crate::config::{AccessMode, Repository, Settings};
use crate::domain::visitors::{Access, KEY_BYTES, Links, Login};

/// In the data directory, mode 0600. Without it every link that was given away leads nowhere.
const KEY_FILE: &str = "links.key";

/// The key of this data directory; made where there is none.
///
/// # Errors
/// Names the file, the reason and the way out.
pub(super) fn key(data_dir: &Path) -> anyhow::Result<[u8; KEY_BYTES]> {
    let path = data_dir.join(KEY_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let mut key = [0; KEY_BYTES];
            if hex::decode_to_slice(text.trim(), &mut key).is_err() {
                bail!("{}: is damaged; remove it and give out new links", path.display());
            }
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(&path).with_context(|| format!("{}: cannot be made", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    }
}

fn make(path: &Path) -> anyhow::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)?;
    // Whole or not at all: half a key would be a damaged one for ever.
    let half = path.with_extension("new");
    if half.exists() {
        std::fs::remove_file(&half)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    writeln!(file, "{}", hex::encode(key))?;
    file.sync_all()?;
    std::fs::rename(half, path)?;
    Ok(key)
}

/// Who may look at a repository's branches.
pub(super) fn access(settings: &Settings, repository: &Repository, key: [u8; KEY_BYTES]) -> Access {
    let visitors = &repository.defaults.visitors;
    let usual = if settings.proxy.is_local() { AccessMode::Open } else { AccessMode::Link };
    match visitors.access.unwrap_or(usual) {
        AccessMode::Open => Access::Open,
        AccessMode::Link => Access::Link(Links::new(key, visitors.link_expires)),
        AccessMode::Basic => {
            let login = |user: &crate::config::User| Login::new(&user.name, user.password.reveal());
            Access::Basic(visitors.users.iter().map(login).collect())
        }
        AccessMode::Token => Access::Token,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_stays_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let made = key(folder.path()).unwrap();
        assert_ne!(made, [0; KEY_BYTES]);
        assert_eq!(key(folder.path()).unwrap(), made);
        let path = folder.path().join(KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "half").unwrap();
        assert!(key(folder.path()).unwrap_err().to_string().contains("links.key: is damaged"));
    }

    #[test]
    fn who_is_reached_from_elsewhere_asks_for_a_link() {
        let word = |listen: &str, more: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("drey.toml");
            let repository = format!("[[repo]]\nname = \"a\"\nurl = \"/srv/a.git\"\n{more}");
            let text = format!("[proxy]\ndomain = \"qa.example\"\n{listen}\n{repository}");
            std::fs::write(&file, text).unwrap();
            let settings = Settings::from_parts(Some(&file), &[]).map_err(|error| error.to_string())?;
            Ok::<_, String>(access(&settings, &settings.repositories[0], [1; KEY_BYTES]).word())
        };
        let local = "https = \"127.0.0.1:443\"\nhttp = \"[::1]:80\"";
        let outside = "https = \"0.0.0.0:443\"\nhttp = \"127.0.0.1:80\"";
        assert_eq!(word(local, ""), Ok("open"));
        assert_eq!(word(outside, ""), Ok("link"));
        assert_eq!(word("http = \"192.0.2.1:80\"", ""), Ok("link"));
        assert_eq!(word(outside, "access = \"open\""), Ok("open"));
        assert_eq!(word(local, "access = \"token\""), Ok("token"));
        assert_eq!(word(local, "access = \"basic\"\nusers = \"anna:correct horse\""), Ok("basic"));
        assert!(word(local, "access = \"basic\"").unwrap_err().contains("needs `users`"));
        assert!(word(local, "access = \"all\"").unwrap_err().contains("repo[0].access: must be"));
        assert!(word(local, "link_expires = \"10s\"").unwrap_err().contains("repo[0].link_expires: must be"));
    }
}
