//! Real repositories, made by the git command.

mod behind;
mod changes;
mod damage;
mod hostile;
mod kept;
mod merges;
mod old;
mod tidy;

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

const LIMITS: TreeLimits = TreeLimits { bytes: 1 << 20, files: 1_000, file_bytes: 1 << 20 };

/// A remote with a working tree, and an adapter whose mirror is elsewhere.
struct World {
    folder: TempDir,
    git: GitAdapter,
    remote: Remote,
}

impl World {
    async fn new() -> Self {
        Self::with_format("sha1").await
    }

    async fn with_format(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a source");
        fs::create_dir(&source).unwrap();
        let settings = GitSettings {
            mirrors: folder.path().join("mirrors"),
            allow_file: true,
            ..GitSettings::default()
        };
        let remote =
            Remote { repo: RepoName::parse("shop").unwrap(), url: source.to_str().unwrap().to_owned() };
        let world = Self { folder, git: GitAdapter::new(settings), remote };
        world.run(&["init", "-q", "-b", "main", "--object-format", format]).await;
        world.commit("README", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n").await;
        world
    }

    fn source(&self) -> PathBuf {
        PathBuf::from(&self.remote.url)
    }

    async fn run(&self, arguments: &[&str]) -> String {
        use crate::adapters::process::Command;
        let mut command = Command::new("git").current_dir(self.source()).args(arguments);
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_NAME", "c"),
            ("GIT_COMMITTER_EMAIL", "c@example.org"),
            ("GIT_EDITOR", "true"),
        ] {
            command = command.env(name, value);
        }
        command.run().await.unwrap().text().trim().to_owned()
    }

    async fn commit(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self.commit_all().await;
    }

    async fn commit_all(&self) {
        self.run(&["add", "-A"]).await;
        self.run(&["commit", "-q", "--allow-empty", "-m", "change"]).await;
    }

    async fn fetch(&self, branch: &str) -> PortResult<Option<CommitSha>> {
        self.git.fetch(&self.remote, &BranchName::parse(branch).unwrap()).await
    }

    async fn tip(&self, branch: &str) -> CommitSha {
        self.fetch(branch).await.unwrap().unwrap()
    }

    async fn is_merged(&self, tip: &CommitSha) -> bool {
        let main = self.tip("main").await;
        self.git.is_merged(&self.remote.repo, tip, &main).await.unwrap()
    }

    async fn is_own(&self, tip: &CommitSha) -> bool {
        let main = self.tip("main").await;
        self.git.is_own_commit(&self.remote.repo, tip, &main).await.unwrap()
    }

    async fn write(&self, commit: &CommitSha, limits: TreeLimits) -> PortResult<PathBuf> {
        let destination = self.folder.path().join("out/checkout");
        self.git.write_tree(&self.remote.repo, commit, &destination, limits).await?;
        Ok(destination)
    }
}

#[tokio::test]
async fn branches_come_and_go() {
    let world = World::new().await;
    let names = ["$(rm)", "a\"b'c;d|e&f", "größe/ü", "x", "feature/A", "feature/a"];
    for name in names {
        world.run(&["branch", "--", name]).await;
    }
    let listed = world.git.branches(&world.remote).await.unwrap();
    assert_eq!(listed.len(), names.len() + 1);
    for name in names {
        let tip = world.tip(name).await;
        assert_eq!(listed.get(&BranchName::parse(name).unwrap()), Some(&tip), "{name}");
    }
    // `x` makes way for `x/y`: refs that exclude each other at the remote.
    world.run(&["branch", "-D", "x"]).await;
    world.run(&["branch", "x/y"]).await;
    world.tip("x/y").await;
    assert_eq!(world.fetch("x").await.unwrap(), None);
    assert_eq!(world.fetch("x").await.unwrap(), None);
    for _ in 0..2 {
        world.git.forget(&world.remote.repo, &BranchName::parse("x/y").unwrap()).await.unwrap();
    }
    world
        .git
        .forget(&RepoName::parse("never-seen").unwrap(), &BranchName::parse("x").unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_forced_push_is_just_a_new_commit() {
    let world = World::new().await;
    world.run(&["checkout", "-q", "-b", "work"]).await;
    world.commit("a", "1").await;
    let first = world.tip("work").await;
    world.run(&["reset", "-q", "--hard", "main"]).await;
    world.commit("a", "2").await;
    let second = world.tip("work").await;
    assert_ne!(first, second);
    assert!(world.is_own(&second).await);
}

#[tokio::test]
async fn a_killed_fetch_leaves_nothing_in_the_way() {
    let world = World::new().await;
    world.tip("main").await;
    let branch = BranchName::parse("main").unwrap();
    let mirror = mirror::path(&world.folder.path().join("mirrors"), &world.remote.repo);
    let lock = mirror.join(format!("{}.lock", mirror::reference(&branch)));
    fs::write(&lock, "").unwrap();
    world.commit("a", "1").await;
    assert_eq!(world.tip("main").await.as_str(), world.run(&["rev-parse", "main"]).await);
    assert!(!lock.exists());
}

#[tokio::test]
async fn a_pack_that_was_cut_off_does_not_stay() {
    let world = World::new().await;
    world.tip("main").await;
    let mirror = mirror::path(&world.folder.path().join("mirrors"), &world.remote.repo);
    let left = mirror.join("objects/pack/tmp_pack_x1y2z3");
    fs::write(&left, "PACK").unwrap();
    world.tip("main").await;
    assert!(!left.exists());
}

#[tokio::test]
async fn asking_for_the_branches_does_not_wait_for_a_fetch() {
    let world = World::new().await;
    let turn = world.git.turn_of(&world.remote.repo);
    let _fetching = turn.take().await;
    let asked = tokio::time::timeout(std::time::Duration::from_secs(20), world.git.branches(&world.remote));
    assert_eq!(asked.await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn credentials_are_in_no_argument_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let drey = folder.path().join("drey");
    // Notes what it is started with, and blurts out everything.
    let script = "#!/bin/sh\necho \"$*\" >> \"${0%/*}/arguments\"\nenv > \"${0%/*}/environment\"\n\
                  echo \"$GIT_CONFIG_VALUE_0 https://user:t0ken-t0ken@git.example t0ken-t0ken\" >&2\nexit 1\n";
    fs::write(&drey, script).unwrap();
    fs::set_permissions(&drey, Permissions::from_mode(0o755)).unwrap();
    let git = GitAdapter::new(GitSettings {
        mirrors: folder.path().join("mirrors"),
        drey: Some(drey),
        ..GitSettings::default()
    });
    let remote = Remote {
        repo: RepoName::parse("shop").unwrap(),
        url: "https://user:t0ken-t0ken@git.example/shop.git".to_owned(),
    };
    let errors = [
        git.fetch(&remote, &BranchName::parse("main").unwrap()).await.unwrap_err(),
        git.branches(&remote).await.unwrap_err(),
    ];
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let arguments = read("arguments");
    // The fetch, whether that was the mirror's fault, and the question itself.
    assert_eq!(arguments.matches(" https://git.example/shop.git").count(), 3, "{arguments}");
    let encoded = "dXNlcjp0MGtlbi10MGtlbg==";
    let said = errors.map(|error| error.to_string()).concat();
    for text in [&arguments, &said] {
        assert!(!text.contains("t0ken") && !text.contains(encoded), "{text}");
    }
    let environment = read("environment");
    for line in [
        "GIT_CONFIG_COUNT=1".to_owned(),
        "GIT_CONFIG_KEY_0=http.https://git.example/.extraHeader".to_owned(),
        format!("GIT_CONFIG_VALUE_0=Authorization: Basic {encoded}"),
        "GIT_HTTP_LOW_SPEED_LIMIT=1".to_owned(),
    ] {
        assert!(environment.lines().any(|there| there == line), "{line}: {environment}");
    }
    let kept = arguments.matches("--keep-env GIT_CONFIG_VALUE_0 ").count();
    assert_eq!(kept, 3, "the jail lets it in");
    for file in ["shop.gitconfig", "shop.git/config"] {
        assert!(!read(&format!("mirrors/{file}")).contains("t0ken"), "{file}");
    }
}

#[tokio::test]
async fn errors_tell_what_will_not_pass() {
    let world = World::new().await;
    let mut remote = world.remote.clone();
    let main = BranchName::parse("main").unwrap();
    remote.url = "/nowhere/shop.git".to_owned();
    for error in
        [world.git.fetch(&remote, &main).await.unwrap_err(), world.git.branches(&remote).await.unwrap_err()]
    {
        assert!(error.is_transient(), "{error:?}");
        let begin = "repository shop (/nowhere/shop.git): there is no repository, or drey may not see it";
        assert!(error.to_string().starts_with(begin), "{error}");
    }
    // Nobody listens there: that may pass.
    remote.url = "https://user:t0ken@127.0.0.1:1/shop.git".to_owned();
    let error = world.git.fetch(&remote, &main).await.unwrap_err();
    assert!(error.is_transient() && !error.to_string().contains("t0ken"), "{error:?}");

    let locked = GitAdapter::new(GitSettings { allow_file: false, ..(*world.git.settings).clone() });
    assert!(locked.fetch(&world.remote, &main).await.is_err());
    let unknown = CommitSha::parse(&"a1".repeat(20)).unwrap();
    world.tip("main").await;
    let error = world.write(&unknown, LIMITS).await.unwrap_err();
    assert!(matches!(error, PortError::NotFound(_)), "{error:?}");
}

#[tokio::test]
async fn sha256_is_refused_clearly() {
    let world = World::with_format("sha256").await;
    let error = world.fetch("main").await.unwrap_err();
    assert!(error.to_string().contains("SHA-256") && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn trees_are_written_as_they_are() {
    let world = World::new().await;
    let source = world.source();
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::write(source.join("a/b/run"), "#!/bin/sh").unwrap();
    fs::set_permissions(source.join("a/b/run"), Permissions::from_mode(0o755)).unwrap();
    fs::write(source.join("-rf"), "dash").unwrap();
    symlink("/etc", source.join("out")).unwrap();
    symlink("../a", source.join("a/up")).unwrap();
    world.commit_all().await;
    let tip = world.tip("main").await;
    let written = world.write(&tip, LIMITS).await.unwrap();
    assert_eq!(fs::read_link(written.join("out")).unwrap(), Path::new("/etc"));
    assert_eq!(fs::read_link(written.join("a/up")).unwrap(), Path::new("../a"));
    assert_eq!(fs::read_to_string(written.join("-rf")).unwrap(), "dash");
    let mode = |path: &str| fs::metadata(written.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a/b/run"), mode("README"), mode("a")), (0o755, 0o644, 0o755));
    assert!(!written.join(".git").exists());
    // A second time: what is there is left alone.
    let error = world.write(&tip, LIMITS).await.unwrap_err();
    assert!(error.to_string().contains("is there already") && written.join("README").exists(), "{error}");
}

#[tokio::test]
async fn times_that_cannot_be_kept_are_no_failure() {
    let world = World::new().await;
    let tip = world.tip("main").await;
    // In the place of the list: a folder, which no file replaces.
    fs::create_dir_all(world.folder.path().join("out/checkout.times/x")).unwrap();
    let written = world.write(&tip, LIMITS).await.unwrap();
    assert!(written.join("README").exists());
}

#[tokio::test]
async fn a_link_to_nowhere_is_the_commits_fault() {
    let world = World::new().await;
    let empty = world.run(&["hash-object", "-w", "/dev/null"]).await;
    world.run(&["update-index", "--add", "--cacheinfo", &format!("120000,{empty},link")]).await;
    world.run(&["commit", "-q", "-m", "link"]).await;
    let tip = world.tip("main").await;
    let error = world.write(&tip, LIMITS).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("link"), "{error}");
    assert!(!world.folder.path().join("out/checkout").exists());
}

#[tokio::test]
async fn limits_name_their_key_and_leave_nothing() {
    let world = World::new().await;
    world.commit("big", "x".repeat(1000)).await;
    let tip = world.tip("main").await;
    for (limits, key) in [
        (TreeLimits { bytes: 900, ..LIMITS }, "checkout_bytes"),
        (TreeLimits { files: 1, ..LIMITS }, "checkout_files"),
        (TreeLimits { file_bytes: 999, ..LIMITS }, "checkout_file_bytes"),
    ] {
        let error = world.write(&tip, limits).await.unwrap_err();
        assert!(error.to_string().contains(key) && !error.is_transient(), "{error}");
        assert!(!world.folder.path().join("out/checkout").exists());
    }
    let destination = world.folder.path().join("gone");
    let repository = mirror::open(&world.folder.path().join("mirrors/shop.git")).unwrap();
    let tree = mirror::tree(&repository, &tip).unwrap();
    let given_up = AtomicBool::new(true);
    let error = write::write_tree(&repository, &tree, &destination, LIMITS, &given_up).unwrap_err();
    assert!(matches!(error, PortError::Cancelled) && !destination.exists());
}

#[tokio::test]
async fn ids_follow_links_inside_only() {
    let world = World::new().await;
    let source = world.source();
    world.commit("conf/db/a.conf", "a").await;
    symlink("conf/db", source.join("inside")).unwrap();
    symlink("/etc/passwd", source.join("absolute")).unwrap();
    symlink("../../etc", source.join("conf/outside")).unwrap();
    symlink("loop", source.join("loop")).unwrap();
    world.commit_all().await;
    let tip = world.tip("main").await;
    let asked = [
        "",
        "conf/db",
        "inside",
        "inside/a.conf",
        "./conf/../inside/../db/a.conf",
        "absolute",
        "conf/outside",
        "loop",
        "nothing",
        "README/x",
        "/etc",
        "../x",
    ]
    .map(PathBuf::from);
    let ids = world.git.content_ids(&world.remote.repo, &tip, &asked).await.unwrap();
    let found: Vec<_> = ids.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(found, ["", "./conf/../inside/../db/a.conf", "conf/db", "inside", "inside/a.conf"]);
    assert_eq!(ids[Path::new("inside")], ids[Path::new("conf/db")]);
    assert_eq!(ids[Path::new("")], world.run(&["rev-parse", "main^{tree}"]).await);
    let blob = world.run(&["rev-parse", "main:conf/db/a.conf"]).await;
    assert_eq!(ids[Path::new("inside/a.conf")], format!("{blob}-100644"));
}

#[tokio::test]
async fn what_a_build_reads() {
    let world = World::new().await;
    world.commit("web/Dockerfile", "FROM a").await;
    world.commit("web/src/x", "1").await;
    world.commit("web/.dockerignore", "*.md").await;
    world.commit("lib/y", "2").await;
    let inputs = async |dockerfile: Option<&str>, context: &str| {
        let sources = BuildSources {
            context: context.to_owned(),
            dockerfile: dockerfile.map(str::to_owned),
            additional: BTreeMap::from([("lib".to_owned(), "lib".to_owned())]),
        };
        let tip = world.tip("main").await;
        world.git.build_inputs(&world.remote.repo, &tip, &sources).await
    };
    let found = inputs(Some("web/Dockerfile"), "web").await.unwrap();
    let paths = |name: &str| found.contexts[name].iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(""), [".dockerignore", "Dockerfile", "src/x"]);
    assert_eq!(paths("lib"), ["y"]);
    assert_eq!(found.dockerfile.as_deref(), Some(b"FROM a".as_slice()));
    assert_eq!(found.dockerignore.as_deref(), Some(b"*.md".as_slice()));
    world.commit("web/Dockerfile.dockerignore", "*").await;
    let found = inputs(Some("web/Dockerfile"), "web").await.unwrap();
    assert_eq!(found.dockerignore.as_deref(), Some(b"*".as_slice()));
    assert!(inputs(None, "").await.unwrap().dockerfile.is_none());
    for (dockerfile, context) in [(Some("web/none"), "web"), (None, "none"), (None, "README"), (None, "..")] {
        assert!(inputs(dockerfile, context).await.is_err(), "{dockerfile:?} {context}");
    }
}

/// A stand-in for our own binary: this test binary, which becomes the jail.
fn jailer(folder: &Path) -> PathBuf {
    let path = folder.join("drey");
    let script = format!(
        "#!/bin/sh\nshift\nIFS=$(printf '\\037')\nexport DREY_TEST_JAIL_ARGUMENTS=\"$*\"\n\
         exec '{}' --exact adapters::process::jail::tests::inside --ignored --nocapture -q\n",
        std::env::current_exe().unwrap().display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn the_jail_lets_git_through() {
    let mut world = World::new().await;
    // A clone that borrows the objects of the first.
    let borrower = world.folder.path().join("borrower.git");
    world.run(&["clone", "-q", "--bare", "--shared", ".", borrower.to_str().unwrap()]).await;
    world.git = GitAdapter::new(GitSettings {
        drey: Some(jailer(world.folder.path())),
        ..(*world.git.settings).clone()
    });
    let expected = world.run(&["rev-parse", "main"]).await;
    assert_eq!(world.tip("main").await.as_str(), expected);
    world.remote.url = borrower.to_str().unwrap().to_owned();
    world.remote.repo = RepoName::parse("borrower").unwrap();
    assert_eq!(world.tip("main").await.as_str(), expected);
    assert_eq!(world.git.branches(&world.remote).await.unwrap().len(), 1);
}

#[tokio::test]
async fn somebody_elses_repository_is_served_when_it_is_configured() {
    let world = World::new().await;
    // Git asks who owns the folder; only root can give one away, as the daemon of a git server does not need to.
    if std::os::unix::fs::chown(world.source().join(".git"), Some(65_534), None).is_ok() {
        std::os::unix::fs::chown(world.source(), Some(65_534), None).unwrap();
    }
    let expected = world.run(&["-c", "safe.directory=*", "rev-parse", "main"]).await;
    assert_eq!(world.tip("main").await.as_str(), expected);
}
