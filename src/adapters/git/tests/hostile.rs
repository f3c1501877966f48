//! Repositories that mean harm. Small by default; `DREY_HOSTILE=full` makes them as large as somebody would.

use std::time::Duration;

use super::*;
use crate::adapters::git::GitLimits;
use crate::adapters::process::Command;

fn is_full() -> bool {
    std::env::var_os("DREY_HOSTILE").is_some_and(|value| value == "full")
}

impl World {
    fn with_limits(mut self, limits: GitLimits) -> Self {
        self.git = GitAdapter::new(GitSettings { limits, ..(*self.git.settings).clone() });
        self
    }

    fn target(&self) -> PathBuf {
        mirror::path(&self.folder.path().join("mirrors"), &self.remote.repo)
    }

    /// Makes a commit on `main` of what `git fast-import` is told.
    async fn import(&self, files: &str) {
        let stream = format!(
            "commit refs/heads/main\ncommitter c <c@example.org> 1700000000 +0000\ndata 1\nx\nfrom refs/heads/main^0\n{files}\n"
        );
        let command =
            Command::new("git").current_dir(self.source()).args(["fast-import", "--quiet", "--force"]);
        command.stdin(stream).time_limit(Duration::from_secs(300)).run().await.unwrap();
    }

    fn left_over(&self) -> Vec<String> {
        let packs = fs::read_dir(self.target().join("objects/pack")).unwrap().flatten();
        packs
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("tmp"))
            .collect()
    }
}

/// Bytes that nothing makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[tokio::test]
async fn a_fetch_that_brings_too_much_is_ended_and_leaves_nothing() {
    let length = if is_full() { 1 << 30 } else { 4 << 20 };
    let limit = if is_full() { 256 << 20 } else { 1 << 20 };
    let world = World::new().await.with_limits(GitLimits { fetch_bytes: limit, ..GitLimits::default() });
    world.tip("main").await;
    world.commit("large", noise(length)).await;
    let error = world.fetch("main").await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("[limits] fetch_bytes"), "{error}");
    // What is left is removed at the latest when the branch is fetched again.
    world.run(&["reset", "-q", "--hard", "HEAD~1"]).await;
    world.tip("main").await;
    assert_eq!(world.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn a_huge_file_costs_neither_the_daemons_memory_nor_gits() {
    // Zeros: next to nothing on the way, all of it when it is unpacked.
    let length = if is_full() { 1 << 30 } else { 32 << 20 };
    let memory = if is_full() { 512 << 20 } else { 2 << 30 };
    let world = World::new().await.with_limits(GitLimits { memory, ..GitLimits::default() });
    let file = fs::File::create(world.source().join("zeros")).unwrap();
    file.set_len(length).unwrap();
    world.commit_all().await;
    let tip = world.tip("main").await;
    let limits = TreeLimits { bytes: u64::MAX, ..LIMITS };
    let error = world.write(&tip, limits).await.unwrap_err().to_string();
    assert!(error.contains("zeros") && error.contains("checkout_file_bytes"), "{error}");
}

#[tokio::test]
async fn git_that_needs_too_much_memory_says_which_limit_it_met() {
    let world = World::new().await.with_limits(GitLimits { memory: 48 << 20, ..GitLimits::default() });
    // A tag's text cannot be passed through: it is held in memory.
    let message = world.folder.path().join("message");
    fs::write(&message, "x\n".repeat(24 << 20)).unwrap();
    world.run(&["commit", "-q", "--allow-empty", "-F", message.to_str().unwrap()]).await;
    let error = world.fetch("main").await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("[limits] git_memory"), "{error}");
}

#[tokio::test]
async fn a_huge_commit_is_refused_before_it_is_read() {
    let world = World::new().await;
    let message = world.folder.path().join("message");
    fs::write(&message, "x\n".repeat(20 << 20)).unwrap();
    world.run(&["commit", "-q", "--allow-empty", "-F", message.to_str().unwrap()]).await;
    let tip = world.fetch("main").await.unwrap().unwrap();
    let error = world.write(&tip, LIMITS).await.unwrap_err().to_string();
    assert!(error.contains("drey reads"), "{error}");
}

#[tokio::test]
async fn a_remote_that_says_nothing_is_given_up() {
    let world = World::new().await;
    // In the place of git: begins, then never goes on.
    let silent = world.folder.path().join("silent");
    fs::write(&silent, "#!/bin/sh\necho 'remote: Counting objects' >&2\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&silent, Permissions::from_mode(0o755)).unwrap();
    let git = GitAdapter::new(GitSettings {
        drey: Some(silent),
        limits: GitLimits { silence: Duration::from_millis(300), ..GitLimits::default() },
        ..(*world.git.settings).clone()
    });
    let error = git.fetch(&world.remote, &BranchName::parse("main").unwrap()).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("nothing came"), "{error}");
}

#[tokio::test]
async fn many_files_and_deep_folders_meet_their_limits() {
    let world = World::new().await;
    let files = if is_full() { 100_000 } else { 2_000 };
    let lines: String = (0..files)
        .map(|number| format!("M 100644 inline d{}/f{number}\ndata 1\nx\n", number % 100))
        .collect();
    world.import(&lines).await;
    let tip = world.tip("main").await;
    let limits = if is_full() { TreeLimits { files: 50_000, bytes: 1 << 30, ..LIMITS } } else { LIMITS };
    let error = world.write(&tip, limits).await.unwrap_err().to_string();
    assert!(error.contains("checkout_files"), "{error}");
    let deep = format!("deleteall\nM 100644 inline {}x\ndata 1\nx\n", "d/".repeat(600));
    world.import(&deep).await;
    let tip = world.tip("main").await;
    let error = world.write(&tip, LIMITS).await.unwrap_err().to_string();
    assert!(error.contains("deep"), "{error}");
    assert!(!world.folder.path().join("out/checkout").exists());
}

#[tokio::test]
async fn thousands_of_branches_are_listed_and_only_one_is_fetched() {
    let world = World::new().await;
    let count = if is_full() { 50_000 } else { 3_000 };
    let tip = world.run(&["rev-parse", "main"]).await;
    let refs: String = (0..count).map(|number| format!("create refs/heads/many/{number} {tip}\n")).collect();
    let command = Command::new("git").current_dir(world.source()).args(["update-ref", "--stdin"]);
    command.stdin(refs).time_limit(Duration::from_secs(300)).run().await.unwrap();
    assert_eq!(world.git.branches(&world.remote).await.unwrap().len(), count + 1);
    world.tip("many/17").await;
    let mirror = mirror::open(&world.target()).unwrap();
    assert_eq!(mirror.references().unwrap().count(), 1);
}

#[tokio::test]
async fn names_that_are_options_or_no_text_are_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new().await;
    let tip = world.run(&["rev-parse", "main"]).await;
    let heads = world.source().join(".git/refs/heads");
    let names: [&[u8]; 6] = [b"--upload-pack=touch pwned", b"-x", b"HEAD", b"\xff\xfe", b"a\xcc", b"good"];
    for name in names {
        fs::write(heads.join(std::ffi::OsStr::from_bytes(name)), format!("{tip}\n")).unwrap();
    }
    let listed = world.git.branches(&world.remote).await.unwrap();
    let listed: Vec<&str> = listed.keys().map(BranchName::as_str).collect();
    assert!(listed.contains(&"good") && listed.contains(&"main"), "{listed:?}");
    assert!(listed.iter().all(|name| !name.starts_with('-')), "{listed:?}");
    for name in ["--upload-pack=touch pwned", "-x"] {
        assert!(BranchName::parse(name).is_err(), "{name}");
    }
    // A branch of this name is a branch like any other: the full ref is asked for.
    if let Ok(head) = BranchName::parse("HEAD") {
        assert_eq!(world.git.fetch(&world.remote, &head).await.unwrap().unwrap().as_str(), tip);
    }
}

#[tokio::test]
async fn what_a_tree_brings_of_git_is_files_and_nothing_runs() {
    let world = World::new().await;
    let pwned = world.folder.path().join("pwned");
    let source = world.source();
    // A bare repository inside the tree, whose configuration runs something.
    let planted = source.join("planted");
    fs::create_dir_all(planted.join("objects")).unwrap();
    fs::create_dir_all(planted.join("refs")).unwrap();
    fs::write(planted.join("objects/x"), "").unwrap();
    fs::write(planted.join("refs/x"), "").unwrap();
    fs::write(planted.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let run = format!("touch {}", pwned.display());
    fs::write(planted.join("config"), format!("[core]\n\tbare = true\n\tfsmonitor = \"{run}\"\n")).unwrap();
    // A filter that a host with LFS or the like would run, and a pointer of LFS.
    fs::write(source.join(".gitattributes"), "*.bin filter=evil diff=evil merge=evil\n").unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99999999\n";
    fs::write(source.join("data.bin"), pointer).unwrap();
    let modules = "[submodule \"lib\"]\n\tpath = lib\n\turl = https://git.example/lib.git\n";
    fs::write(source.join(".gitmodules"), modules).unwrap();
    world.run(&["add", "-A"]).await;
    let id = world.run(&["rev-parse", "main"]).await;
    world.run(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},lib")]).await;
    world.run(&["commit", "-q", "-m", "x"]).await;
    let tip = world.tip("main").await;
    let destination = world.folder.path().join("out/checkout");
    let notes = world.git.write_tree(&world.remote.repo, &tip, &destination, LIMITS).await.unwrap();
    assert_eq!(fs::read_to_string(destination.join("data.bin")).unwrap(), pointer);
    assert_eq!(fs::read_dir(destination.join("lib")).unwrap().count(), 0);
    assert_eq!(notes.submodules, ["lib"]);
    assert_eq!(notes.lfs_pointers, ["data.bin"]);
    assert!(!pwned.exists());
    let config = fs::read_to_string(world.folder.path().join("mirrors/shop.gitconfig")).unwrap();
    for line in
        ["bareRepository = explicit", "fsmonitor = false", "hooksPath = /dev/null", "followRedirects = false"]
    {
        assert!(config.contains(line), "{line}");
    }
    assert!(!config.contains("filter"), "no filter is known");
}

#[tokio::test]
async fn submodules_that_would_run_something_are_refused_by_git_itself() {
    let world = World::new().await;
    let modules = "[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=touch\n";
    world.commit(".gitmodules", modules).await;
    let error = world.fetch("main").await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("gitmodules"), "{error}");
}

#[tokio::test]
async fn hostile_names_reach_git_as_refs_and_nothing_else() {
    const NAMES: &[&str] = include!("../../../../tests/fixtures/hostile_names.rs");
    let world = World::new().await;
    let tip = world.run(&["rev-parse", "main"]).await;
    let branches: Vec<BranchName> = NAMES.iter().filter_map(|name| BranchName::parse(name).ok()).collect();
    for branch in branches.iter().filter(|branch| branch.as_str() != "a") {
        world.run(&["update-ref", &branch.full_ref(), &tip]).await;
    }
    let listed = world.git.branches(&world.remote).await.unwrap();
    for branch in branches.iter().filter(|branch| branch.as_str() != "a") {
        assert_eq!(listed.get(branch).map(CommitSha::as_str), Some(tip.as_str()), "{branch:?}");
        let fetched = world.git.fetch(&world.remote, branch).await.unwrap().unwrap();
        assert_eq!(fetched.as_str(), tip, "{branch:?}");
    }
    let mirror = mirror::open(&world.target()).unwrap();
    for reference in mirror.references().unwrap() {
        let name = reference.unwrap().name().unwrap().to_owned();
        let hash = name.strip_prefix("refs/branches/").unwrap();
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
    assert!(!world.source().join("pwned").exists());
}
