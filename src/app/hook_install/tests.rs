//! With real repositories.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use tempfile::TempDir;

use super::*;

#[expect(clippy::disallowed_methods, reason = "a test's own repositories")]
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn house() -> (TempDir, Settings, RepoName) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("drey.toml");
    fs::write(&file, "[proxy]\ndomain = \"qa.example\"\nhttp = \"127.0.0.1:80\"\n[[repo]]\nname = \"shop\"\nurl = \"/bare.git\"\nsecret = \"s3cret\"\n").unwrap();
    git(folder.path(), &["init", "-q", "--bare", "bare.git"]);
    git(folder.path(), &["init", "-q", "clone"]);
    let settings = Settings::from_parts(Some(&file), &[]).unwrap();
    (folder, settings, RepoName::parse("shop").unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_bare_repository_gets_hook_secret_and_settings_once() {
    let (folder, settings, name) = house();
    let bare = folder.path().join("bare.git");
    let installed = install(&settings, &name, &bare).unwrap();
    assert!(installed.changed && installed.chained.is_none());
    assert_eq!(fs::read_to_string(&installed.hook).unwrap(), POST_RECEIVE);
    assert_eq!(mode(&installed.hook), 0o755);
    assert_eq!(git(&bare, &["config", "drey.url"]), "http://127.0.0.1:8420/hooks/git/shop");
    assert_eq!(git(&bare, &["config", "receive.advertisePushOptions"]), "true");
    let secret = git(&bare, &["config", "drey.secretFile"]);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "s3cret\n");
    assert_eq!(mode(Path::new(&secret)), 0o600);
    assert_eq!(git(&bare, &["config", "drey.chained"]), "");

    assert!(!install(&settings, &name, &bare).unwrap().changed, "the second time there is nothing to do");
    fs::write(&installed.hook, "#!/bin/sh\n# drey: an older one\n").unwrap();
    let again = install(&settings, &name, &bare).unwrap();
    assert!(again.changed && again.chained.is_none(), "an older hook of ours is replaced, not chained");
    let left = fs::read_dir(bare.join("hooks"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("drey"));
    assert_eq!(left.count(), 0);
}

#[test]
fn another_hook_is_chained_and_stays_so() {
    let (folder, settings, name) = house();
    let bare = folder.path().join("bare.git");
    let theirs = "#!/bin/sh\necho theirs\n";
    fs::write(bare.join("hooks/post-receive"), theirs).unwrap();
    let aside = install(&settings, &name, &bare).unwrap().chained.unwrap();
    assert_eq!(fs::read_to_string(&aside).unwrap(), theirs);
    assert_eq!(git(&bare, &["config", "drey.chained"]), aside.to_str().unwrap());
    let again = install(&settings, &name, &bare).unwrap();
    assert_eq!((again.changed, again.chained), (false, Some(aside.clone())));

    fs::write(bare.join("hooks/post-receive"), "#!/bin/sh\necho a third\n").unwrap();
    let error = install(&settings, &name, &bare).unwrap_err().to_string();
    assert!(error.contains("join the two"), "{error}");
    assert_eq!(fs::read_to_string(&aside).unwrap(), theirs, "nothing is lost");
}

#[test]
fn a_clone_gets_a_token_of_its_own_and_never_the_secret() {
    let (folder, settings, name) = house();
    let clone = folder.path().join("clone");
    let installed = install_client(&settings, &name, &clone).unwrap();
    assert_eq!(fs::read_to_string(&installed.hook).unwrap(), POST_MERGE);
    assert_eq!(git(&clone, &["config", "drey.lookUrl"]), installed.url);
    let token = fs::read_to_string(git(&clone, &["config", "drey.tokenFile"])).unwrap();
    // printf 'drey-look:shop' | openssl dgst -sha256 -hmac s3cret
    assert_eq!(token.trim(), EXPECTED_TOKEN);
    assert!(!clone.join(".git/drey-secret").exists());
    assert!(install(&settings, &name, &clone).unwrap_err().to_string().contains("--client"));
    assert!(install_client(&settings, &name, &folder.path().join("bare.git")).is_err());
}

/// Run by root, as on a server; run by anybody else all files are theirs before and after.
#[test]
fn what_root_installs_belongs_to_whom_the_repository_belongs_to() {
    let (folder, settings, name) = house();
    let bare = folder.path().join("bare.git");
    let own = fs::metadata(&bare).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let given = |path: &Path, wanted: (u32, u32)| {
        let wanted = if is_root { wanted } else { (own.uid(), own.gid()) };
        chown(path, Some(wanted.0), Some(wanted.1)).unwrap();
        wanted
    };
    fs::rename(bare.join("config"), folder.path().join("shared-config")).unwrap();
    symlink(folder.path().join("shared-config"), bare.join("config")).unwrap();
    fs::remove_dir_all(bare.join("hooks")).unwrap();
    let repository = given(&bare, (2001, 2002));
    let config = given(&folder.path().join("shared-config"), (2003, 2004));
    fs::set_permissions(folder.path().join("shared-config"), fs::Permissions::from_mode(0o640)).unwrap();

    let owner = |path: PathBuf| {
        let facts = fs::metadata(path).unwrap();
        (facts.uid(), facts.gid())
    };
    for round in 0..2 {
        assert_eq!(install(&settings, &name, &bare).unwrap().changed, round == 0);
        for place in ["hooks", "hooks/post-receive", "drey-secret"] {
            assert_eq!(owner(bare.join(place)), repository, "{place}");
        }
        assert_eq!(owner(bare.join("config")), config, "it keeps the owner that it had");
        assert_eq!(mode(&bare.join("config")), 0o640);
        assert!(fs::symlink_metadata(bare.join("config")).unwrap().is_symlink());
        assert_eq!(mode(&bare.join("drey-secret")), 0o600);
    }
}

const EXPECTED_TOKEN: &str = "08e05c8664fe6f99051a77f6e3667977d4aad3ac99c2be0e438a92a537c92e08";

#[test]
fn hooks_of_others_and_folders_that_are_not_meant_are_left_alone() {
    let (folder, settings, name) = house();
    let (bare, clone) = (folder.path().join("bare.git"), folder.path().join("clone"));
    let shared = folder.path().join("shared");
    git(&bare, &["config", "core.hooksPath", shared.to_str().unwrap()]);
    let error = install(&settings, &name, &bare).unwrap_err().to_string();
    assert!(error.contains("core.hooksPath"), "{error}");
    assert!(!shared.join("post-receive").exists() && !bare.join("drey-secret").exists());
    git(&bare, &["config", "core.hooksPath", "own-hooks"]);
    assert!(install(&settings, &name, &bare).unwrap().hook.ends_with("own-hooks/post-receive"));

    fs::create_dir(clone.join("inside")).unwrap();
    let error = install_client(&settings, &name, &clone.join("inside")).unwrap_err().to_string();
    assert!(error.contains("name that one"), "{error}");
    let unknown = install(&settings, &RepoName::parse("nope").unwrap(), &bare).unwrap_err().to_string();
    assert!(unknown.contains("nope") && unknown.contains("shop"), "{unknown}");
}
