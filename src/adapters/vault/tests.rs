use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::domain::secrets::{SecretName, service_folder};

fn vault(folder: &Path) -> AgeVault {
    AgeVault::new(folder, &folder.join("run"), &InstanceId("abc234".to_owned()))
}

fn files(given: &[(&str, &str, &str)]) -> SecretFiles {
    let mut files = SecretFiles::new();
    for (service, name, value) in given {
        let name = SecretName::parse(name).unwrap();
        files.entry((*service).to_owned()).or_default().insert(name, value.as_bytes().to_vec());
    }
    files
}

#[test]
fn what_is_sealed_opens_with_the_same_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = vault(folder.path()).seal(b"a value").unwrap();
    assert!(!sealed.windows(7).any(|window| window == b"a value"));
    let mode = folder.path().join("secrets.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(vault(folder.path()).open(&sealed).unwrap(), b"a value", "after a restart too");

    let other = tempfile::tempdir().unwrap();
    let missing = vault(other.path()).open(&sealed).unwrap_err().to_string();
    assert!(missing.contains("secrets.key") && missing.contains("bring it back"), "{missing}");
    assert!(!other.path().join("secrets.key").exists(), "reading makes no key");
    vault(other.path()).seal(b"x").unwrap();
    assert!(vault(other.path()).open(&sealed).is_err());
    std::fs::write(other.path().join("secrets.key"), "nonsense").unwrap();
    assert!(vault(other.path()).open(&sealed).unwrap_err().to_string().contains("is no key of age"));
}

#[tokio::test]
async fn files_are_there_for_their_services_alone() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    let id = EnvironmentId(7);
    vault.place(id, files(&[("web", "A", "one"), ("web", "B", "two"), ("..", "A", "three")])).await.unwrap();
    let there = vault.folder(id);
    assert_eq!(there, folder.path().join("run/abc234/7"));
    let read = |service: &str, name: &str| std::fs::read(there.join(service_folder(service)).join(name)).ok();
    assert_eq!(read("web", "A").unwrap(), b"one");
    assert_eq!(read("..", "A").unwrap(), b"three");
    for folder in [folder.path().join("run"), folder.path().join("run/abc234"), there.clone()] {
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{folder:?}");
    }
    let file = there.join(service_folder("web")).join("A");
    let before = file.metadata().unwrap();
    assert_eq!(before.permissions().mode() & 0o777, 0o444);

    vault.place(id, files(&[("web", "A", "new")])).await.unwrap();
    assert_eq!(read("web", "A").unwrap(), b"new");
    assert_eq!(file.metadata().unwrap().ino(), before.ino(), "a container that runs sees it");
    assert_eq!((read("web", "B"), read("..", "A")), (None, None));

    vault.clear(id).await.unwrap();
    vault.clear(id).await.unwrap();
    assert!(!there.exists());
}
