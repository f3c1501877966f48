//! What counts as merged, and what only looks like it.

use super::*;

const README: [&str; 9] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// The file of the first commit with one line replaced.
fn readme(line: usize, text: &str) -> String {
    let mut lines = README;
    lines[line] = text;
    lines.join("\n") + "\n"
}

/// A picture, as far as git can tell.
fn picture(pixel: u8) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n\0\0".as_slice(), &[pixel; 64]].concat()
}

impl World {
    /// A branch with two commits in two files; main has moved on in a third.
    async fn branch_beside_main(&self) -> CommitSha {
        self.run(&["checkout", "-q", "-b", "work"]).await;
        self.commit("a", "a\n").await;
        self.commit("README", "one\ntwo\nTHREE\nfour\nfive\nsix\nseven\neight\nnine\n").await;
        self.run(&["checkout", "-q", "main"]).await;
        self.commit("other", "x\n").await;
        self.tip("work").await
    }

    /// One file as it is in the fork, on the branch and on main; gives back the branch's tip.
    async fn forked(&self, path: &str, versions: [Option<&[u8]>; 3]) -> CommitSha {
        let [before, ours, theirs] = versions;
        if let Some(content) = before {
            self.commit(path, content).await;
        }
        self.run(&["checkout", "-q", "-b", "work"]).await;
        self.commit(path, ours.unwrap()).await;
        self.run(&["checkout", "-q", "main"]).await;
        self.commit(path, theirs.unwrap()).await;
        self.tip("work").await
    }
}

#[tokio::test]
async fn merges_of_every_kind_are_seen() {
    let kinds: [&[&[&str]]; 5] = [
        &[&["merge", "-q", "--no-edit", "work"]],
        &[&["merge", "-q", "--squash", "work"], &["commit", "-q", "-m", "squash"]],
        &[&["cherry-pick", "work~1", "work"]],
        &[
            &["checkout", "-q", "-b", "re", "work"],
            &["rebase", "-q", "main"],
            &["checkout", "-q", "main"],
            &["merge", "-q", "re"],
        ],
        // Main undoes nothing but goes on in the same lines, so that merging again would conflict.
        &[&["cherry-pick", "work~1", "work"], &["rm", "-q", "README"], &["commit", "-q", "-m", "gone"]],
    ];
    for kind in kinds {
        let world = World::new().await;
        let tip = world.branch_beside_main().await;
        assert!(!world.is_merged(&tip).await && world.is_own(&tip).await, "{kind:?}");
        for command in kind {
            world.run(command).await;
        }
        assert!(world.is_merged(&tip).await, "{kind:?}");
    }
}

#[tokio::test]
async fn a_squash_is_seen_after_main_went_on() {
    let world = World::new().await;
    let tip = world.branch_beside_main().await;
    world.run(&["merge", "-q", "--squash", "work"]).await;
    world.commit_all().await;
    world.commit("README", "one\ntwo\nquite another\nfour\nfive\nsix\nseven\neight\nnine\n").await;
    assert!(world.is_merged(&tip).await);
}

#[tokio::test]
async fn half_of_a_branch_or_nothing_of_its_own_is_not_merged() {
    let world = World::new().await;
    let tip = world.branch_beside_main().await;
    world.run(&["cherry-pick", "work~1"]).await;
    assert!(!world.is_merged(&tip).await);

    world.run(&["branch", "fresh"]).await;
    let fresh = world.tip("fresh").await;
    assert!(!world.is_own(&fresh).await);
    // Two commits that take each other back.
    world.run(&["checkout", "-q", "-b", "empty"]).await;
    world.commit("b", "1").await;
    world.run(&["revert", "--no-edit", "HEAD"]).await;
    world.run(&["checkout", "-q", "main"]).await;
    let empty = world.tip("empty").await;
    assert!(!world.is_merged(&empty).await && world.is_own(&empty).await);

    world.run(&["checkout", "-q", "--orphan", "unrelated"]).await;
    world.commit("c", "1").await;
    let unrelated = world.tip("unrelated").await;
    assert!(!world.is_merged(&unrelated).await);
}

#[tokio::test]
async fn judging_writes_nothing_into_the_mirror() {
    let world = World::new().await;
    let tip = world.branch_beside_main().await;
    // Both sides changed the file: merging makes a file that nobody has.
    world.commit("README", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nNINE\n").await;
    let main = world.tip("main").await;
    let mirror = mirror::open(&world.folder.path().join("mirrors/shop.git")).unwrap();
    let count = || {
        let mut count = 0;
        mirror
            .odb()
            .unwrap()
            .foreach(|_| {
                count += 1;
                true
            })
            .unwrap();
        count
    };
    let before = count();
    assert!(!world.git.is_merged(&world.remote.repo, &tip, &main).await.unwrap());
    assert_eq!(count(), before);
}

#[tokio::test]
async fn another_change_of_the_same_file_is_no_merge() {
    let (old, ours, theirs) = (picture(0), picture(1), picture(2));
    let cases: [(&str, [Option<&[u8]>; 3]); 5] = [
        ("logo.png", [Some(&old), Some(&ours), Some(&theirs)]),
        ("logo.png", [None, Some(&ours), Some(&theirs)]),
        (
            "a.py",
            [
                Some(b"if x:\n    a()\n    b()\n"),
                Some(b"if x:\n    a()\nb()\n"),
                Some(b"if x:\n    a()\n        b()\n"),
            ],
        ),
        ("words", [Some(b"a b\n"), Some(b"ab\n"), Some(b"a  b\n")]),
        ("end", [Some(b"a\n"), Some(b"b\n"), Some(b"b")]),
    ];
    for (path, versions) in cases {
        let world = World::new().await;
        let tip = world.forked(path, versions).await;
        assert!(!world.is_merged(&tip).await, "{path} {versions:?}");
    }
}

#[tokio::test]
async fn a_picture_that_was_taken_over_is_seen_after_main_changed_it_again() {
    let (old, ours, theirs) = (picture(0), picture(1), picture(2));
    for before in [Some(old.as_slice()), None] {
        let world = World::new().await;
        let tip = world.forked("logo.png", [before, Some(&ours), Some(&ours)]).await;
        assert!(world.is_merged(&tip).await);
        world.commit("logo.png", &theirs).await;
        assert!(world.is_merged(&tip).await, "{before:?}");
    }
}

#[tokio::test]
async fn a_mode_is_part_of_the_change() {
    let world = World::new().await;
    let run = world.source().join("README");
    world.run(&["checkout", "-q", "-b", "work"]).await;
    fs::set_permissions(&run, Permissions::from_mode(0o755)).unwrap();
    world.commit("README", readme(2, "THREE")).await;
    world.run(&["checkout", "-q", "main"]).await;
    world.commit("README", readme(2, "THREE")).await;
    world.commit("README", readme(2, "quite another")).await;
    let tip = world.tip("work").await;
    assert!(!world.is_merged(&tip).await);
}

#[tokio::test]
async fn modes_that_git_only_reads_are_no_hindrance() {
    let world = World::new().await;
    let file = world.folder.path().join("object");
    let write = async |kind: &str, content: &[u8]| {
        fs::write(&file, content).unwrap();
        world.run(&["hash-object", "-t", kind, "-w", "--literally", "--", file.to_str().unwrap()]).await
    };
    // By hand: no git command of today writes such modes.
    let commit = async |mode: &str, text: &str, parent: &str, message: &str| {
        let id = write("blob", text.as_bytes()).await;
        let entry = [mode.as_bytes(), b" a\0", &hex::decode(id).unwrap()].concat();
        let tree = write("tree", &entry).await;
        world.run(&["commit-tree", &tree, "-m", message, "-p", parent]).await
    };
    for (number, mode) in ["100640", "100664"].into_iter().enumerate() {
        let base = commit(mode, &readme(0, "one"), "main", "base").await;
        let work = commit("100664", &readme(2, "THREE"), &base, "work").await;
        let squash = commit("100664", &readme(2, "THREE"), &base, "squash").await;
        let on = commit("100664", &readme(2, "quite another"), &squash, "on").await;
        let other = commit("100664", &readme(2, "quite another"), &base, "other").await;
        let work_branch = format!("work-{number}");
        world.run(&["branch", &work_branch, &work]).await;
        for (main, merged) in [(&base, false), (&other, false), (&squash, true), (&on, true)] {
            world.run(&["update-ref", "refs/heads/main", main]).await;
            let tip = world.tip(&work_branch).await;
            assert_eq!(world.is_merged(&tip).await, merged, "{mode} {main}");
        }
    }
}

#[tokio::test]
async fn a_merge_that_was_taken_back_is_none() {
    let world = World::new().await;
    let tip = world.branch_beside_main().await;
    world.run(&["merge", "-q", "--squash", "work"]).await;
    world.commit_all().await;
    assert!(world.is_merged(&tip).await);
    world.run(&["revert", "--no-edit", "HEAD"]).await;
    assert!(!world.is_merged(&tip).await);
}

#[tokio::test]
async fn main_may_go_on_around_what_it_took() {
    let taken: [&[&[&str]]; 3] = [
        &[&["merge", "-q", "--squash", "work"], &["commit", "-q", "-m", "squash"]],
        &[&["cherry-pick", "work~2", "work~1", "work"]],
        &[&["rebase", "-q", "main", "re"], &["checkout", "-q", "main"], &["merge", "-q", "re"]],
    ];
    for how in taken {
        let world = World::new().await;
        world.run(&["checkout", "-q", "-b", "work"]).await;
        world.commit("logo.png", picture(1)).await;
        world.commit("README", readme(4, "FIVE")).await;
        world.commit("new", "n\n").await;
        world.run(&["branch", "re"]).await;
        world.run(&["checkout", "-q", "main"]).await;
        world.commit("README", format!("zero\nzero\n{}", readme(8, "NINE"))).await;
        let tip = world.tip("work").await;
        assert!(!world.is_merged(&tip).await, "{how:?}");
        for command in how {
            world.run(command).await;
        }
        assert!(world.is_merged(&tip).await, "{how:?}");
        let text = fs::read_to_string(world.source().join("README")).unwrap();
        for (from, to) in [("six", "SIX"), ("FIVE", "five and a half"), ("FIVE", "FIVE\nmore")] {
            world.commit("README", text.replace(from, to)).await;
            assert!(world.is_merged(&tip).await, "{how:?} {to}");
        }
    }
}
