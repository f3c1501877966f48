//! Mirrors that are not as git left them: after a kill, a lost disk, a curious hand.

use super::*;
use crate::adapters::process::Command;
use crate::ports::KeptCommits;

/// What is done to the mirror.
type Damage = fn(&Path);

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn cut(files: Vec<PathBuf>, ending: &str) {
    for path in files.into_iter().filter(|path| path.to_string_lossy().ends_with(ending)) {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
}

/// `main` and a branch that an archive keeps and the remote has no more, in packs or not.
async fn world(is_packed: bool) -> (World, PathBuf, CommitSha) {
    let world = World::new().await;
    world.run(&["checkout", "-q", "-b", "work"]).await;
    world.commit("kept", "kept").await;
    let commit = world.tip("work").await;
    world.git.keep_commit(&world.remote.repo, "work-1-1", &commit).await.unwrap();
    world.run(&["checkout", "-q", "main"]).await;
    world.run(&["branch", "-D", "work"]).await;
    world.fetch("work").await.unwrap();
    world.tip("main").await;
    let mirror = world.folder.path().join("mirrors/shop.git");
    if is_packed {
        Command::new("git")
            .current_dir(&mirror)
            .args(["gc", "--quiet"])
            .env("HOME", "/")
            .run()
            .await
            .unwrap();
    }
    (world, mirror, commit)
}

/// As a run does it, which is tried again: fetch, then write.
async fn recovers(world: &World) -> bool {
    for _ in 0..3 {
        let Ok(Some(tip)) = world.fetch("main").await else { continue };
        if world.write(&tip, LIMITS).await.is_ok() {
            fs::remove_dir_all(world.folder.path().join("out")).unwrap();
            return true;
        }
    }
    false
}

#[tokio::test]
async fn whatever_is_damaged_it_recovers_by_itself() {
    let loose: [(&str, Damage); 8] = [
        ("a ref is empty", |mirror| {
            files(&mirror.join("refs/branches")).iter().for_each(|it| fs::write(it, "").unwrap());
        }),
        ("objects are empty", |mirror| {
            for path in files(&mirror.join("objects")) {
                fs::remove_file(&path).unwrap();
                fs::write(&path, "").unwrap();
            }
        }),
        ("objects are cut", |mirror| cut(files(&mirror.join("objects")), "")),
        ("objects are gone", |mirror| {
            files(&mirror.join("objects")).iter().for_each(|path| fs::remove_file(path).unwrap());
        }),
        ("no folder of objects", |mirror| fs::remove_dir_all(mirror.join("objects")).unwrap()),
        ("no HEAD", |mirror| fs::remove_file(mirror.join("HEAD")).unwrap()),
        ("no configuration", |mirror| fs::write(mirror.join("config"), "garbage").unwrap()),
        ("locks are left", |mirror| {
            for name in ["packed-refs.lock", "HEAD.lock", "config.lock", "shallow.lock"] {
                fs::write(mirror.join(name), "").unwrap();
            }
            files(&mirror.join("refs")).iter().for_each(|path| {
                fs::write(path.with_extension("lock"), "").unwrap();
            });
        }),
    ];
    let packed: [(&str, Damage); 3] = [
        ("packs are cut", |mirror| cut(files(&mirror.join("objects")), ".pack")),
        ("indexes are cut", |mirror| cut(files(&mirror.join("objects")), ".idx")),
        ("packed refs are garbage", |mirror| fs::write(mirror.join("packed-refs"), "garbage\n").unwrap()),
    ];
    let all = loose.map(|it| (false, it)).into_iter().chain(packed.map(|it| (true, it)));
    for (is_packed, (what, damage)) in all {
        let (world, mirror, _) = world(is_packed).await;
        damage(&mirror);
        world.commit("more", what).await;
        assert!(recovers(&world).await, "{what}");
        assert!(!renew::fresh_path(&mirror).exists(), "{what}");
    }
}

#[tokio::test]
async fn commits_of_archives_are_carried_over_where_they_can_be_read_and_kept_aside_where_not() {
    let (world, mirror, kept) = world(false).await;
    files(&mirror.join("refs/branches")).iter().for_each(|path| fs::write(path, "").unwrap());
    world.commit("more", "1").await;
    assert!(recovers(&world).await);
    assert!(world.git.has_commit(&world.remote.repo, &kept).await.unwrap());
    assert!(mirror.join("refs/drey/archives/work-1-1").exists());
    assert!(!mirror.with_extension("git.damaged").exists() && !mirror.with_extension("git.old").exists());

    let (world, mirror, kept) = self::world(false).await;
    cut(files(&mirror.join("objects")), "");
    world.commit("more", "1").await;
    assert!(recovers(&world).await);
    assert!(!world.git.has_commit(&world.remote.repo, &kept).await.unwrap());
    assert!(mirror.with_extension("git.damaged").join("refs/drey/archives/work-1-1").exists());
}

#[tokio::test]
async fn a_replacement_that_was_killed_is_ended() {
    let (world, mirror, kept) = world(false).await;
    fs::rename(&mirror, renew::fresh_path(&mirror)).unwrap();
    world.tip("main").await;
    assert!(world.git.has_commit(&world.remote.repo, &kept).await.unwrap());
    assert!(!renew::fresh_path(&mirror).exists());
}

#[tokio::test]
async fn a_fault_of_the_remote_costs_no_mirror() {
    let (world, mirror, _) = world(false).await;
    let away = Remote { url: "/nowhere/shop.git".to_owned(), ..world.remote.clone() };
    let before = fs::metadata(mirror.join("HEAD")).unwrap().modified().unwrap();
    assert!(world.git.fetch(&away, &BranchName::parse("main").unwrap()).await.unwrap_err().is_transient());
    assert_eq!(fs::metadata(mirror.join("HEAD")).unwrap().modified().unwrap(), before);
}
