//! Commits that archives keep.

use super::*;
use crate::adapters::process::Command;
use crate::ports::KeptCommits;

impl World {
    fn mirror(&self) -> PathBuf {
        self.folder.path().join("mirrors/shop.git")
    }

    /// The hardest cleaning that git knows.
    async fn clean_mirror(&self) {
        for arguments in [
            ["reflog", "expire", "--expire=now", "--all"].as_slice(),
            &["pack-refs", "--all", "--prune"],
            &["gc", "--quiet", "--prune=now"],
        ] {
            let command = Command::new("git").current_dir(self.mirror()).args(arguments);
            command
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .run()
                .await
                .unwrap();
        }
    }

    async fn has(&self, commit: &CommitSha) -> bool {
        self.git.has_commit(&self.remote.repo, commit).await.unwrap()
    }
}

/// `work` with a commit of its own, fetched, then gone at the remote and forgotten here.
async fn with_a_lost_branch(archives: &[&str]) -> (World, CommitSha) {
    let world = World::new().await;
    world.run(&["checkout", "-q", "-b", "work"]).await;
    world.commit("a", "1").await;
    let commit = world.tip("work").await;
    for archive in archives {
        world.git.keep_commit(&world.remote.repo, archive, &commit).await.unwrap();
    }
    world.run(&["checkout", "-q", "main"]).await;
    world.run(&["branch", "-D", "work"]).await;
    assert_eq!(world.fetch("work").await.unwrap(), None);
    (world, commit)
}

#[tokio::test]
async fn a_commit_that_nobody_keeps_is_cleaned_away() {
    let (world, commit) = with_a_lost_branch(&[]).await;
    assert!(world.has(&commit).await, "until somebody cleans");
    world.clean_mirror().await;
    assert!(!world.has(&commit).await);
}

#[tokio::test]
async fn a_kept_commit_outlives_its_branch_cleaning_and_fetches_that_prune() {
    let (world, commit) = with_a_lost_branch(&["work-1-1", "work-2-1"]).await;
    let repo = &world.remote.repo;
    Command::new("git")
        .current_dir(world.mirror())
        .args(["config", "fetch.prune", "true"])
        .run()
        .await
        .unwrap();
    for _ in 0..2 {
        world.clean_mirror().await;
        world.commit("b", "2").await;
        world.tip("main").await;
        assert!(world.has(&commit).await);
        world.write(&commit, LIMITS).await.unwrap();
        fs::remove_dir_all(world.folder.path().join("out")).unwrap();
        world.git.keep_commit(repo, "work-1-1", &commit).await.unwrap();
    }
    world.git.release_commit(repo, "work-1-1").await.unwrap();
    world.clean_mirror().await;
    assert!(world.has(&commit).await, "the other archive keeps it");
    assert_eq!(world.git.kept_commits(repo).await.unwrap(), ["work-2-1"]);
    for _ in 0..2 {
        world.git.release_commit(repo, "work-2-1").await.unwrap();
    }
    world.clean_mirror().await;
    assert!(!world.has(&commit).await);
}

#[tokio::test]
async fn the_lock_of_a_daemon_that_was_killed_is_in_nobodys_way() {
    let world = World::new().await;
    let main = world.tip("main").await;
    let folder = world.mirror().join("refs/drey/archives");
    fs::create_dir_all(&folder).unwrap();
    for _ in 0..2 {
        fs::write(folder.join("main-1-1.lock"), "").unwrap();
        world.git.keep_commit(&world.remote.repo, "main-1-1", &main).await.unwrap();
        fs::write(folder.join("main-1-1.lock"), "").unwrap();
        world.git.release_commit(&world.remote.repo, "main-1-1").await.unwrap();
        assert_eq!(fs::read_dir(&folder).map_or(0, Iterator::count), 0);
    }
}

#[tokio::test]
async fn what_is_not_there_cannot_be_kept_and_only_ids_are_refs() {
    let world = World::new().await;
    let repo = &world.remote.repo;
    let main = CommitSha::parse(&world.run(&["rev-parse", "main"]).await).unwrap();
    assert!(!world.has(&main).await, "no mirror yet");
    world.git.release_commit(repo, "main-1-1").await.unwrap();
    let error = world.git.keep_commit(repo, "main-1-1", &main).await.unwrap_err();
    assert!(matches!(error, PortError::NotFound(_)), "{error:?}");
    world.tip("main").await;
    assert!(world.has(&main).await);
    let nowhere = CommitSha::parse(&"1".repeat(40)).unwrap();
    let error = world.git.keep_commit(repo, "main-1-1", &nowhere).await.unwrap_err();
    assert!(matches!(error, PortError::NotFound(_)), "{error:?}");
    for bad in ["", "../../heads/x", "a/b", "a..b", ".a", "-a", "a.lock", "a b", "a\0"] {
        let error = world.git.keep_commit(repo, bad, &main).await.unwrap_err();
        assert!(matches!(error, PortError::Permanent(_)), "{bad:?} {error:?}");
        assert!(world.git.release_commit(repo, bad).await.is_err(), "{bad:?}");
    }
}
