//! Real children, started and ended.

use std::sync::Mutex;

use super::*;
use crate::ports::LogLine;

#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<LogLine>>);

impl Kept {
    pub(super) fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|line| line.text.clone()).collect()
    }
}

impl LogSink for Kept {
    fn line(&self, line: LogLine) {
        self.0.lock().unwrap().push(line);
    }
}

fn shell(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

fn is_alive(pid: i32) -> bool {
    // A killed child of nobody may stay a zombie for a moment: that is not alive.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

async fn eventually(mut check: impl FnMut() -> bool) {
    for _ in 0..500 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not happen within 5 s");
}

#[tokio::test]
async fn the_environment_is_clean_and_input_arrives() {
    let output = Command::new("env").env("A", "b c").run().await.unwrap();
    let mut lines: Vec<_> = output.text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["A=b c".to_owned(), format!("PATH={DEFAULT_PATH}")]);

    let output = Command::new("cat").stdin("through and through").run().await.unwrap();
    assert_eq!(output.stdout, b"through and through");
    let big = vec![b'x'; 3_000_000];
    let output = Command::new("cat").stdin(big).capture_limit(10).run().await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.truncated), (b"xxxxxxxxxx".as_slice(), true));
}

#[tokio::test]
async fn failures_name_the_program_and_keep_secrets() {
    let error = shell("echo out; echo 'no token s3cret here' >&2; exit 3")
        .named("thing")
        .secret("s3cret")
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "thing ended with exit code 3: no token *** here");
    assert!(!error.is_transient());
    let error = Command::new("no-such-program-here").run().await.unwrap_err();
    assert_eq!(error.to_string(), "no-such-program-here is not installed or not in PATH");
}

#[tokio::test]
async fn lines_are_told_as_they_come() {
    let kept = Kept::default();
    let output = shell("echo eins; printf 'zw\\303' ; printf '\\266lf\\r\\n'; echo drei >&2; exit 4")
        .secret("eins")
        .stream("build", &kept)
        .await
        .unwrap();
    assert_eq!(output.code, Some(4));
    let mut texts: Vec<_> = kept.0.into_inner().unwrap().into_iter().map(|line| line.text).collect();
    texts.sort();
    assert_eq!(texts, ["***", "drei", "zwölf"]);
}

#[tokio::test]
async fn a_late_child_is_stopped_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let error = shell("sleep 600 & echo $! > \"$NOTE\"; wait")
        .env("NOTE", &note)
        .time_limit(Duration::from_millis(300))
        .run()
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
    let pid: i32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
    eventually(|| !is_alive(pid)).await;
}

#[tokio::test]
async fn dropping_the_future_ends_the_group() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let mut run = Box::pin(
        shell("sleep 600 & echo $! > \"$NOTE.new\"; mv \"$NOTE.new\" \"$NOTE\"; wait")
            .env("NOTE", &note)
            .run(),
    );
    tokio::select! {
        _ = &mut run => panic!("ended by itself"),
        () = eventually(|| note.exists()) => {}
    }
    let pid: i32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
    assert!(is_alive(pid));
    drop(run);
    eventually(|| !is_alive(pid)).await;
}

#[tokio::test]
async fn what_is_left_running_does_not_hold_the_result() {
    let output = shell("sleep 600 & echo done").run().await.unwrap();
    assert_eq!(output.text(), "done\n");
}

#[tokio::test]
async fn without_our_own_binary_limits_hold_still() {
    let jail = Jail { file_size: Some(4096), ..Jail::default() };
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big");
    let output = jail
        .wrap("dd", ["if=/dev/zero".into(), joined("of=", big.as_os_str()), "bs=1M".into(), "count=1".into()])
        .output()
        .await
        .unwrap();
    assert!(!output.succeeded());
    assert_eq!(std::fs::metadata(&big).unwrap().len(), 4096);
}

#[test]
fn the_jail_is_given_every_name_and_path() {
    let jail = Jail {
        drey: Some("/opt/drey".into()),
        read: vec!["/srv/a b".into()],
        memory: Some(1 << 30),
        ..Jail::default()
    };
    let (program, arguments) = jail.wrap("git", ["--version"]).env("HOME", "/x").invocation();
    assert_eq!(program, "/opt/drey");
    let expected = [
        "jail",
        "--read",
        "/srv/a b",
        "--memory",
        "1073741824",
        "--keep-env",
        "HOME",
        "--keep-env",
        "PATH",
        "--",
        "git",
        "--version",
    ];
    assert_eq!(arguments, expected.map(OsString::from));
}
