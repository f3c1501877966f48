//! The jail: `drey jail …` restricts itself and then becomes the program it was given.
//!
//! [`Jail`] is the caller's side, [`run`] the side inside. Where the kernel has no Landlock, limits and the clean
//! environment still hold; `drey check` tells the operator ([`landlock_status`]).

use std::ffi::OsString;
use std::io::{Write, stderr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::confine::{self, Confinement};
use super::{Command, joined};

pub use super::confine::landlock_status;

/// Exit code when the jail itself could not be set up; what `env` and `sh` use for a program they cannot run.
const SETUP_FAILED: u8 = 126;

/// Fallback for the limits when our own executable cannot be used: part of util-linux.
const PRLIMIT: &str = "/usr/bin/prlimit";

/// What a tool may do. Every program may read and run what lies in the system's program and library folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jail {
    /// Our own executable. Without it only the limits hold, by `prlimit` where that is installed.
    pub drey: Option<PathBuf>,
    /// Files and folders it may read; what is not there is left out.
    pub read: Vec<PathBuf>,
    /// Folders it may also write in.
    pub write: Vec<PathBuf>,
    /// Address space in bytes.
    pub memory: Option<u64>,
    /// Seconds on the processor.
    pub cpu_seconds: Option<u64>,
    /// Largest file it may write, in bytes.
    pub file_size: Option<u64>,
    /// It may use TCP.
    pub network: bool,
}

impl Jail {
    /// The program, to be run in this jail. Set its environment on the command: the jail keeps just that.
    pub fn wrap<I, A>(&self, program: impl Into<OsString>, arguments: I) -> Command
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        Command::new(program).args(arguments).in_jail(self.clone())
    }

    pub(super) fn invocation<'a>(
        &self,
        program: &OsString,
        arguments: &[OsString],
        environment: impl Iterator<Item = &'a OsString>,
    ) -> (OsString, Vec<OsString>) {
        let Some(drey) = &self.drey else { return self.limited(program, arguments) };
        let mut whole = vec!["jail".into()];
        let mut option = |name: &str, value: OsString| whole.extend([name.into(), value]);
        self.read.iter().for_each(|path| option("--read", path.into()));
        self.write.iter().for_each(|path| option("--write", path.into()));
        let limits =
            [("--memory", self.memory), ("--cpu", self.cpu_seconds), ("--file-size", self.file_size)];
        for (name, value) in limits {
            if let Some(value) = value {
                option(name, value.to_string().into());
            }
        }
        environment.for_each(|name| option("--keep-env", name.clone()));
        whole.extend(self.network.then(|| "--network".into()));
        whole.extend(["--".into(), program.clone()]);
        whole.extend_from_slice(arguments);
        (drey.into(), whole)
    }

    /// Only the limits, and only where `prlimit` is installed.
    fn limited(&self, program: &OsString, arguments: &[OsString]) -> (OsString, Vec<OsString>) {
        if !Path::new(PRLIMIT).exists() {
            return (program.clone(), arguments.to_vec());
        }
        let mut whole: Vec<OsString> = vec!["--core=0".into()];
        for (name, value) in
            [("--as=", self.memory), ("--cpu=", self.cpu_seconds), ("--fsize=", self.file_size)]
        {
            whole.extend(value.map(|value| joined(name, value.to_string().as_ref())));
        }
        whole.extend(["--".into(), program.clone()]);
        whole.extend_from_slice(arguments);
        (PRLIMIT.into(), whole)
    }
}

/// The hidden subcommand: `arguments` are what follows `drey jail`. Comes back only when something went wrong.
///
/// `--read PATH`, `--write PATH`, `--memory BYTES`, `--cpu SECONDS`, `--file-size BYTES`, `--keep-env NAME` and
/// `--network`, then `--`, the program and its arguments. The environment is emptied but for the names to keep.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let failure = match parse(arguments.into_iter()) {
        Ok(request) => become_program(&request),
        Err(reason) => reason,
    };
    writeln!(stderr(), "drey jail: {failure}").unwrap_or_default();
    ExitCode::from(SETUP_FAILED)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    confinement: Confinement,
    keep: Vec<OsString>,
    program: OsString,
    arguments: Vec<OsString>,
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let mut request = Request::default();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{} needs a value", argument.display()));
        match argument.to_str() {
            Some("--read") => request.confinement.read.push(value()?.into()),
            Some("--write") => request.confinement.write.push(value()?.into()),
            Some("--memory") => request.confinement.memory = Some(number(&value()?)?),
            Some("--cpu") => request.confinement.cpu_seconds = Some(number(&value()?)?),
            Some("--file-size") => request.confinement.file_size = Some(number(&value()?)?),
            Some("--keep-env") => request.keep.push(value()?),
            Some("--network") => request.confinement.network = true,
            Some("--") => {
                request.program = arguments.next().ok_or("no program given")?;
                request.arguments = arguments.collect();
                return Ok(request);
            }
            _ => return Err(format!("unknown option {}", argument.display())),
        }
    }
    Err("no program given: it follows `--`".to_owned())
}

fn number(value: &OsString) -> Result<u64, String> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{} is not a number", value.display()))
}

/// Gives back only the reason why it did not work.
#[expect(
    clippy::disallowed_methods,
    reason = "the home of child processes: becomes the program, starts none"
)]
fn become_program(request: &Request) -> String {
    if let Err(reason) = confine::enter(&request.confinement) {
        return reason;
    }
    let environment = std::env::vars_os().filter(|(name, _)| request.keep.contains(name));
    let error = std::process::Command::new(&request.program)
        .args(&request.arguments)
        .env_clear()
        .envs(environment)
        .exec();
    format!("cannot run {}: {error}", request.program.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::process::Output;

    /// How [`jailed`] hands the jail's arguments to this same test binary, which then becomes the program.
    const ARGUMENTS: &str = "DREY_TEST_JAIL_ARGUMENTS";

    #[test]
    #[ignore = "only as a child of the other tests"]
    fn inside() {
        if let Some(arguments) = std::env::var_os(ARGUMENTS) {
            run(arguments.to_str().unwrap().split('\u{1f}').map(OsString::from));
            std::process::exit(i32::from(SETUP_FAILED));
        }
    }

    async fn jailed(jail: &Jail, program: &str, arguments: &[&str]) -> Output {
        let jail = Jail { drey: Some("drey".into()), ..jail.clone() };
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let keep = [OsString::from("PATH"), OsString::from("KEPT")];
        let (_, whole) = jail.invocation(&program.into(), &arguments, keep.iter());
        let whole: Vec<_> = whole.iter().skip(1).map(|part| part.to_str().unwrap()).collect();
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "adapters::process::jail::tests::inside", "--ignored", "--nocapture", "-q"])
            .env(ARGUMENTS, whole.join("\u{1f}"))
            .env("KEPT", "yes")
            .env("DROPPED", "yes")
            .output()
            .await
            .unwrap()
    }

    fn has_landlock() -> bool {
        landlock_status().is_ok()
    }

    #[tokio::test]
    async fn files_outside_cannot_be_read_or_written() {
        let folder = tempfile::tempdir().unwrap();
        let (shown, hidden) = (folder.path().join("shown"), folder.path().join("hidden"));
        std::fs::create_dir_all(&shown).unwrap();
        std::fs::write(shown.join("a"), "visible").unwrap();
        std::fs::write(&hidden, "secret").unwrap();
        let jail = Jail { read: vec![shown.clone()], ..Jail::default() };

        let output = jailed(&jail, "cat", &[shown.join("a").to_str().unwrap()]).await;
        assert!(output.succeeded(), "{output:?}");
        assert!(output.text().ends_with("visible"), "{output:?}");

        // Without Landlock in the kernel this is what the operator is warned of.
        for path in [hidden.to_str().unwrap(), "/etc/shadow", "/proc/1/environ"] {
            let output = jailed(&jail, "cat", &[path]).await;
            assert_eq!(output.succeeded(), !has_landlock(), "{path}: {output:?}");
        }
        let output = jailed(&jail, "touch", &[shown.join("b").to_str().unwrap()]).await;
        assert_eq!(output.succeeded(), !has_landlock(), "{output:?}");
        let writing = Jail { write: vec![shown.clone()], ..Jail::default() };
        let output = jailed(&writing, "touch", &[shown.join("b").to_str().unwrap()]).await;
        assert!(output.succeeded(), "{output:?}");
    }

    #[tokio::test]
    async fn only_named_variables_come_in_and_limits_hold() {
        let output = jailed(&Jail::default(), "env", &[]).await;
        assert!(output.text().contains("KEPT=yes"), "{output:?}");
        assert!(!output.text().contains("DROPPED"), "{output:?}");
        assert!(!output.text().contains(ARGUMENTS), "{output:?}");

        let jail = Jail { cpu_seconds: Some(7), memory: Some(1 << 30), ..Jail::default() };
        let output = jailed(&jail, "sh", &["-c", "ulimit -t; ulimit -v; ulimit -c"]).await;
        assert!(output.text().ends_with("7\n1048576\n0\n"), "{output:?}");
    }

    #[test]
    fn wrong_usage_is_told() {
        let parse = |line: &str| parse(line.split(' ').map(OsString::from)).map(|request| request.program);
        assert_eq!(parse("--cpu 3 --network -- git -- x"), Ok("git".into()));
        assert_eq!(parse("--cpu many -- git"), Err("many is not a number".to_owned()));
        assert_eq!(parse("--wirte x -- git"), Err("unknown option --wirte".to_owned()));
        assert_eq!(parse("--read"), Err("--read needs a value".to_owned()));
        assert_eq!(parse("--read x --"), Err("no program given".to_owned()));
    }
}
