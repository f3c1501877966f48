//! What a branch changes, merges that are made, and refs that are no branches.

use super::*;
use crate::ports::{CHANGED_PATHS_AT_MOST, ChangedPaths, Changes, Merged};

impl World {
    async fn changed(&self, base: &CommitSha, tip: &CommitSha) -> ChangedPaths {
        self.git.changed_paths(&self.remote.repo, base, tip).await.unwrap()
    }

    async fn merge(&self, head: &CommitSha, target: &CommitSha) -> Merged {
        self.git.merge(&self.remote.repo, head, target).await.unwrap()
    }

    /// Main and `work`, each with a commit of its own that writes these files.
    async fn apart(&self, of_work: &[(&str, &str)], of_main: &[(&str, &str)]) -> (CommitSha, CommitSha) {
        self.run(&["checkout", "-q", "-b", "work"]).await;
        for (path, content) in of_work {
            self.commit(path, content).await;
        }
        self.run(&["checkout", "-q", "main"]).await;
        for (path, content) in of_main {
            self.commit(path, content).await;
        }
        (self.tip("work").await, self.tip("main").await)
    }
}

fn sha(text: &str) -> CommitSha {
    CommitSha::parse(text).unwrap()
}

#[tokio::test]
async fn what_a_branch_changes_is_told_against_where_it_left() {
    let world = World::new().await;
    world.commit("old name", "a file that is long enough to be known again\n").await;
    world.run(&["checkout", "-q", "-b", "work"]).await;
    world.run(&["mv", "old name", "new name"]).await;
    world.commit("docs/größe.md", "x\n").await;
    world.run(&["rm", "-q", "README"]).await;
    world.commit_all().await;
    world.run(&["checkout", "-q", "main"]).await;
    world.commit("only in main", "x\n").await;
    let (work, main) = (world.tip("work").await, world.tip("main").await);
    let changed = world.changed(&main, &work).await;
    assert_eq!(changed.paths, ["README", "docs/größe.md", "new name", "old name"]);
    assert!(!changed.is_cut);
    assert_eq!(world.changed(&main, &main).await, ChangedPaths::default());
    assert_eq!(world.changed(&work, &main).await.paths, ["only in main"]);
}

#[tokio::test]
async fn of_very_many_changes_the_first_are_told_and_unrelated_histories_are_all_change() {
    let world = World::new().await;
    world.run(&["checkout", "-q", "--orphan", "work"]).await;
    fs::create_dir(world.source().join("many")).unwrap();
    for number in 0..=CHANGED_PATHS_AT_MOST {
        fs::write(world.source().join(format!("many/{number}")), "").unwrap();
    }
    world.commit_all().await;
    let (work, main) = (world.tip("work").await, world.tip("main").await);
    let changed = world.changed(&main, &work).await;
    assert_eq!((changed.paths.len(), changed.is_cut), (CHANGED_PATHS_AT_MOST, true));
    assert_eq!(changed.paths[0], "README", "it is not main's own, though it is the same");
}

#[tokio::test]
async fn a_message_is_read_whatever_it_holds_and_not_without_end() {
    let world = World::new().await;
    let message = |commit: CommitSha| {
        let world = &world;
        async move { world.git.message(&world.remote.repo, &commit).await.unwrap() }
    };
    world.run(&["commit", "-q", "--allow-empty", "-m", "größe\n\n[skip drey]"]).await;
    assert_eq!(message(world.tip("main").await).await, "größe\n\n[skip drey]\n");
    // Git itself would write other bytes than these.
    let (file, tree) = (world.folder.path().join("commit"), world.run(&["rev-parse", "HEAD^{tree}"]).await);
    let person = "a <a@example.org> 1700000000 +0000";
    let head = format!("tree {tree}\nauthor {person}\ncommitter {person}\n\n");
    fs::write(&file, [head.as_bytes(), b"\xff ", &[b'x'; 100_000]].concat()).unwrap();
    let commit = world.run(&["hash-object", "-t", "commit", "-w", file.to_str().unwrap()]).await;
    world.run(&["reset", "-q", "--hard", &commit]).await;
    let read = message(world.tip("main").await).await;
    assert!(read.starts_with("\u{fffd} xxx"), "{}", &read[..9]);
    assert_eq!(read.chars().count(), 64 * 1024);
}

#[tokio::test]
async fn a_merge_has_both_sides_and_always_the_same_id() {
    let world = World::new().await;
    let readme = "ONE\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";
    let of_main = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nNINE\n";
    let (work, main) = world.apart(&[("README", readme), ("a", "a\n")], &[("README", of_main)]).await;
    let Merged::Into(merged) = world.merge(&work, &main).await else { panic!("a conflict") };
    assert_eq!(world.merge(&work, &main).await, Merged::Into(merged.clone()));
    let checkout = world.write(&merged, LIMITS).await.unwrap();
    let joined = fs::read_to_string(checkout.join("README")).unwrap();
    assert_eq!(joined, "ONE\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nNINE\n");
    assert!(checkout.join("a").exists());
    assert_eq!(world.git.behind(&world.remote.repo, &work, &main).await.unwrap(), (2, 1));
    assert_eq!(world.git.behind(&world.remote.repo, &merged, &main).await.unwrap(), (3, 0));
    // Another mirror, at another time.
    let settings =
        GitSettings { mirrors: world.folder.path().join("elsewhere"), ..(*world.git.settings).clone() };
    let elsewhere = GitAdapter::new(settings);
    for branch in ["work", "main"] {
        elsewhere.fetch(&world.remote, &BranchName::parse(branch).unwrap()).await.unwrap();
    }
    assert_eq!(elsewhere.merge(&world.remote.repo, &work, &main).await.unwrap(), Merged::Into(merged));
}

#[tokio::test]
async fn who_has_the_other_already_is_the_merge() {
    let world = World::new().await;
    let main = world.tip("main").await;
    let (work, same) = world.apart(&[("a", "a\n")], &[]).await;
    assert_eq!(same, main);
    assert_eq!(world.merge(&work, &main).await, Merged::Into(work.clone()));
    assert_eq!(world.merge(&main, &work).await, Merged::Into(work.clone()));
    assert_eq!(world.merge(&work, &work).await, Merged::Into(work));
}

#[tokio::test]
async fn what_cannot_be_joined_is_named() {
    let world = World::new().await;
    let (of_work, of_main) = ([("b", "1\n"), ("a/x", "1\n"), ("c", "1\n")], [("b", "2\n"), ("a/x", "2\n")]);
    let (work, main) = world.apart(&of_work, &of_main).await;
    assert_eq!(world.merge(&work, &main).await, Merged::Conflict(vec!["a/x".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn a_merge_outlives_tidying_as_long_as_a_deployment_may_take() {
    let world = World::new().await;
    let (work, main) = world.apart(&[("a", "a\n")], &[("b", "b\n")]).await;
    let Merged::Into(merged) = world.merge(&work, &main).await else { panic!("a conflict") };
    // As tidying does it.
    let mirror = mirror::path(&world.git.settings.mirrors, &world.remote.repo);
    let command = crate::adapters::process::Command::new("git").current_dir(&mirror);
    command.args(["gc", "--quiet", "--prune=14.days.ago"]).run().await.unwrap();
    assert!(world.write(&merged, LIMITS).await.unwrap().join("a").exists());
}

#[tokio::test]
async fn refs_of_pull_requests_are_fetched_from_the_configured_remote() {
    let world = World::new().await;
    world.run(&["checkout", "-q", "-b", "theirs"]).await;
    world.commit("a", "1").await;
    let theirs = sha(&world.run(&["rev-parse", "HEAD"]).await);
    world.run(&["update-ref", "refs/pull/7/head", "HEAD"]).await;
    world.run(&["checkout", "-q", "main"]).await;
    world.run(&["branch", "-q", "-D", "theirs"]).await;
    let name = BranchName::parse("any-name").unwrap();
    let fetch = async |reference: &str| world.git.fetch_pull(&world.remote, reference, &name).await;
    assert_eq!(fetch("refs/pull/7/head").await.unwrap(), Some(theirs.clone()));
    assert!(world.write(&theirs, LIMITS).await.unwrap().join("a").exists());
    assert_eq!(fetch("refs/pull/8/head").await.unwrap(), None);
    assert_eq!(fetch("refs/pull/8/head").await.unwrap(), None);
    let odd = ["pull/7/head", "refs/heads/*", "refs/heads/a:refs/heads/b", "-x", "", "refs/a..b", "+refs/x"];
    for bad in odd {
        assert!(matches!(fetch(bad).await, Err(PortError::Permanent(_))), "{bad:?}");
    }
}

impl World {
    /// Writes an object as git would store it; its id.
    async fn object(&self, kind: &str, content: &[u8]) -> String {
        let file = self.folder.path().join("object");
        fs::write(&file, content).unwrap();
        self.run(&["hash-object", "-t", kind, "-w", file.to_str().unwrap()]).await
    }

    /// A branch of a dozen objects that name ten thousand million files, or as many empty folders.
    async fn bomb(&self, branch: &str, file: Option<&[u8]>) -> CommitSha {
        let entry = |mode: &str, name: &str, id: &str| {
            [format!("{mode} {name}\0").as_bytes(), &hex::decode(id).unwrap()].concat()
        };
        let mut tree = match file {
            Some(content) => entry("100644", "f", &self.object("blob", content).await),
            None => Vec::new(),
        };
        for _ in 0..10 {
            let id = self.object("tree", &tree).await;
            tree = (0..10).flat_map(|name| entry("40000", &name.to_string(), &id)).collect();
        }
        let root = self.object("tree", &tree).await;
        let commit = self.run(&["commit-tree", &root, "-p", "main", "-m", "bomb"]).await;
        self.run(&["update-ref", &format!("refs/heads/{branch}"), &commit]).await;
        self.tip(branch).await
    }
}

#[tokio::test]
async fn a_tree_that_names_itself_over_and_over_is_walked_by_nobody() {
    let world = World::new().await;
    let bombs = [world.bomb("files", Some(b"x")).await, world.bomb("folders", None).await];
    world.commit("only in main", "x\n").await;
    let main = world.tip("main").await;
    for bomb in bombs {
        assert!(world.changed(&main, &bomb).await.is_cut);
        let error = world.git.merge(&world.remote.repo, &bomb, &main).await.unwrap_err();
        assert!(error.to_string().contains("more than 1000000 files and folders"), "{error}");
        assert!(!world.is_merged(&bomb).await);
    }
    // Gone again in the next commit: the patches of the branch are not compared.
    world.run(&["checkout", "-q", "-b", "defused", "main~1"]).await;
    let root = world.run(&["rev-parse", "files^{tree}"]).await;
    let bomb = world.run(&["commit-tree", &root, "-p", "main~1", "-m", "bomb"]).await;
    let tree = world.run(&["rev-parse", "main~1^{tree}"]).await;
    let after = world.run(&["commit-tree", &tree, "-p", &bomb, "-m", "gone"]).await;
    world.run(&["reset", "-q", "--hard", &after]).await;
    world.commit("only in main", "y\n").await;
    assert!(!world.is_merged(&world.tip("defused").await).await);
}
