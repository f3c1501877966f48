//! The conversation with a remote: `ls-remote` and `fetch`, hardened, by the git command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::{Login, Transport, local_folders, names_password, without_credentials};
use super::fault::{self, Blame};
use super::limits::{Breach, GitLimits, Watch};
use super::mirror::{self, SHA256_REPOSITORY};
use super::{GitSettings, blocking};
use crate::adapters::process::{Command, Jail, Output};
use crate::domain::names::{BranchName, CommitSha};
use crate::ports::{PortError, PortResult, Remote, is_no_room};

/// Asking which branches there are.
const LIST_LIMIT: Duration = Duration::from_secs(60);

/// Fetching what a branch gained since it was last here.
const UPDATE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Fetching a branch that was never here: it may bring the whole history, and what is cut off begins anew.
const FIRST_LIMIT: Duration = Duration::from_secs(30 * 60);

/// An https fetch that brings less than a byte in each of so many seconds is given up. Longer than a server is silent
/// while it packs: git's own says a word every five seconds.
const SILENCE_SECONDS: &str = "300";

/// Most of `ls-remote`'s answer that is read: more than 100,000 branches.
const LIST_BYTES: usize = 32 * 1024 * 1024;

/// Neither asks nor waits for a person; a host that does not answer, or not any more, is given up early.
const SSH_COMMAND: &str =
    "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4";

/// Large objects are passed through instead of being held, packs are looked at through small windows, and the number of threads
/// does not grow with the machine: so that the limit of memory fits every repository that is not meant to break it.
const FRUGAL: &str = "[core]\n\tbigFileThreshold = 16m\n\tpackedGitLimit = 512m\n\tpackedGitWindowSize = 32m\n\
                      [pack]\n\tthreads = 4\n\twindowMemory = 64m\n";

/// A ref of the remote, and the branch under whose name the mirror keeps it.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) reference: &'a str,
    pub(super) branch: &'a BranchName,
}

/// Why git failed.
pub(super) struct Failed {
    pub(super) error: PortError,
    /// It may be the mirror that is to blame.
    pub(super) is_unclear: bool,
}

impl From<PortError> for Failed {
    fn from(error: PortError) -> Self {
        Self { error, is_unclear: false }
    }
}

/// A remote, and all that the git command needs to talk to it.
pub(super) struct Connection {
    remote: Remote,
    transport: Transport,
    /// What git is given: arguments can be read by every user of the machine.
    url: String,
    login: Option<Login>,
    mirrors: PathBuf,
    jail: Jail,
    limits: GitLimits,
}

impl Connection {
    pub(super) fn new(settings: &GitSettings, remote: &Remote) -> PortResult<Self> {
        let refuse = |reason: &str| {
            Err(PortError::Permanent(format!(
                "repository {} ({}): {reason}",
                remote.repo,
                without_credentials(&remote.url)
            )))
        };
        let transport = match Transport::of(&remote.url) {
            Some(Transport::File) if !settings.allow_file => {
                return refuse("repositories on this machine are not allowed here");
            }
            // All arguments of git can be read by every user of the machine.
            Some(Transport::Ssh) if names_password(&remote.url) => {
                return refuse("ssh takes no password from a URL; give drey's user a key");
            }
            Some(transport) => transport,
            None => return refuse("url must be an absolute path, https:// or ssh://"),
        };
        let mut jail = Jail {
            drey: settings.drey.clone(),
            write: vec![settings.mirrors.clone()],
            network: transport != Transport::File,
            memory: Some(settings.limits.memory),
            file_size: Some(settings.limits.fetch_bytes),
            ..Jail::default()
        };
        match transport {
            Transport::File => jail.read = local_folders(&remote.url),
            Transport::Ssh => jail.read.extend(settings.ssh_directory.clone()),
            Transport::Https => {}
        }
        let url = match transport {
            Transport::Https => without_credentials(&remote.url),
            // The user of ssh is no secret, and has no other place.
            Transport::File | Transport::Ssh => remote.url.clone(),
        };
        let login = Login::of(&remote.url);
        Ok(Self {
            remote: remote.clone(),
            transport,
            url,
            login,
            mirrors: settings.mirrors.clone(),
            jail,
            limits: settings.limits,
        })
    }

    /// The only configuration that the git command reads besides the mirror's own.
    pub(super) fn config(&self) -> String {
        let mut text = String::from(
            "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\taskPass = /bin/false\n\
             [safe]\n\tbareRepository = explicit\n\
             [protocol]\n\tversion = 2\n\
             [http]\n\tfollowRedirects = false\n\
             [transfer]\n\tfsckObjects = true\n\
             [fetch \"fsck\"]\n\tzeroPaddedFilemode = ignore\n\tbadTimezone = ignore\n\
             \tmissingSpaceBeforeDate = ignore\n\tmissingSpaceBeforeEmail = ignore\n\
             [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
        );
        text.push_str(FRUGAL);
        if self.transport == Transport::File {
            // The repository is somebody else's by design: git serves it only when it is named here.
            text.push_str("[safe]\n");
            for folder in local_folders(&self.remote.url) {
                text.push_str(&format!("\tdirectory = {}\n", quoted(&folder.to_string_lossy())));
            }
        }
        text
    }

    pub(super) async fn branches(&self) -> PortResult<BTreeMap<BranchName, CommitSha>> {
        // It needs no mirror, and looks for none above the folder of all.
        let above = self.mirrors.parent().unwrap_or(&self.mirrors);
        let command = self
            .git(None)
            .env("GIT_CEILING_DIRECTORIES", above)
            .args(["ls-remote", "--heads", "--", &self.url])
            .time_limit(LIST_LIMIT)
            .capture_limit(LIST_BYTES);
        let output = self.told(command.output().await)?;
        if !output.succeeded() {
            return Err(self.failure(&output).error);
        }
        if output.truncated {
            return Err(PortError::Permanent(self.named("it has too many branches to list")));
        }
        Ok(output.stdout.split(|byte| *byte == b'\n').filter_map(listed).collect())
    }

    /// Fetches the ref into the branch's ref of the mirror that lies there; `false` when the remote has no such ref. Under
    /// the lock.
    pub(super) async fn fetch(
        &self,
        mirror: &Path,
        wanted: Wanted<'_>,
        is_first: bool,
    ) -> Result<bool, Failed> {
        let limit = if is_first { FIRST_LIMIT } else { UPDATE_LIMIT };
        let output = self.try_fetch(mirror, wanted, limit).await?;
        if output.succeeded() {
            return Ok(true);
        }
        if output.stderr.contains("couldn't find remote ref") {
            return Ok(false);
        }
        if !(output.stderr.contains(".lock") && output.stderr.contains("File exists")) {
            return Err(self.failure(&output));
        }
        // We hold the mirror's lock: it was left by a git command that was killed.
        mirror::unlock(mirror);
        let output = self.try_fetch(mirror, wanted, limit).await?;
        if output.succeeded() { Ok(true) } else { Err(self.failure(&output)) }
    }

    async fn try_fetch(&self, mirror: &Path, wanted: Wanted<'_>, limit: Duration) -> PortResult<Output> {
        let refspec = format!("+{}:{}", wanted.reference, mirror::reference(wanted.branch));
        let options = [
            "fetch",
            // It says a word for each second that it gets on.
            "--progress",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--refmap=",
            "--",
        ];
        let watch = Watch::begin(mirror, self.limits);
        let command = self.git(Some(mirror)).args(options).args([&self.url, &refspec]).time_limit(limit);
        let breach = tokio::select! {
            output = command.pulse(watch.said.clone()).output() => return self.told(output),
            breach = watch.breach() => breach,
        };
        // It is ended; what it brought is nobody's.
        let left = mirror.to_owned();
        blocking(move || {
            mirror::sweep(&left);
            Ok(())
        })
        .await?;
        Err(match breach {
            Breach::TooMuch => self.too_much(),
            Breach::Silent => {
                let seconds = self.limits.silence.as_secs();
                PortError::Transient(self.named(&format!(
                    "the remote broke off: nothing came for {seconds} s, the fetch is ended"
                )))
            }
        })
    }

    fn too_much(&self) -> PortError {
        PortError::Permanent(self.named(&format!(
            "the fetch brings more than {} bytes: take large files out of the branch, or raise `[limits] fetch_bytes`",
            self.limits.fetch_bytes
        )))
    }

    fn git(&self, mirror: Option<&Path>) -> Command {
        let git_dir = mirror.map(|mirror| {
            let mut option = std::ffi::OsString::from("--git-dir=");
            option.push(mirror);
            option
        });
        let command = self
            .jail
            .wrap("git", git_dir)
            .current_dir(&self.mirrors)
            .env("HOME", &self.mirrors)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", mirror::config_path(&self.mirrors, &self.remote.repo))
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS", "/bin/false")
            .env("GIT_SSH_COMMAND", SSH_COMMAND)
            .env("GIT_HTTP_LOW_SPEED_LIMIT", "1")
            .env("GIT_HTTP_LOW_SPEED_TIME", SILENCE_SECONDS)
            .env("GIT_ALLOW_PROTOCOL", self.transport.protocol())
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            // Address space is limited, and each arena reserves 64 MiB of it.
            .env("MALLOC_ARENA_MAX", "2");
        let Some(login) = &self.login else { return command };
        let command = command
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", &login.key)
            .env("GIT_CONFIG_VALUE_0", &login.value);
        login.secrets.iter().fold(command, Command::secret)
    }

    fn failure(&self, output: &Output) -> Failed {
        let said = fault::without_progress(&output.stderr);
        let said = said.trim();
        if said.to_lowercase().contains("mismatched algorithms") {
            return PortError::Permanent(self.named(SHA256_REPOSITORY)).into();
        }
        let said = if said.is_empty() { "git failed and said nothing" } else { said };
        if is_no_room(said) {
            return PortError::outside("the mirror", self.named(said)).into();
        }
        match fault::limit(said) {
            Some(fault::Limit::FileSize) => return self.too_much().into(),
            Some(fault::Limit::Memory) => {
                let text = format!(
                    "git needs more than {} bytes of memory for what the branch holds: take large objects out of it, or \
                     raise `[limits] git_memory` ({said})",
                    self.limits.memory
                );
                return PortError::Permanent(self.named(&text)).into();
            }
            None => {}
        }
        match fault::blame(said) {
            // Somebody may mend it, in the configuration or elsewhere, and nobody will tell.
            Blame::Remote(what) => PortError::Transient(self.named(&format!("{what}: {said}"))).into(),
            Blame::Content(what) => PortError::Permanent(self.named(&format!("{what}: {said}"))).into(),
            Blame::Unclear => Failed { error: PortError::Transient(self.named(said)), is_unclear: true },
        }
    }

    /// Errors of running git at all, with the repository's name.
    fn told(&self, result: PortResult<Output>) -> PortResult<Output> {
        result.map_err(|error| match error {
            PortError::Transient(text) => PortError::Transient(self.named(&text)),
            PortError::Permanent(text) => PortError::Permanent(self.named(&text)),
            PortError::Refused(text) => PortError::Refused(self.named(&text)),
            PortError::NotFound(text) => PortError::NotFound(self.named(&text)),
            PortError::NoRoom(text) => PortError::NoRoom(self.named(&text)),
            PortError::Cancelled => PortError::Cancelled,
        })
    }

    fn named(&self, text: &str) -> String {
        format!("repository {} ({}): {text}", self.remote.repo, without_credentials(&self.remote.url))
    }
}

/// `<id>\trefs/heads/<name>`; names that drey does not accept are passed over.
fn listed(line: &[u8]) -> Option<(BranchName, CommitSha)> {
    let line = std::str::from_utf8(line).ok()?;
    let (id, reference) = line.split_once('\t')?;
    let branch = BranchName::parse(reference.strip_prefix("refs/heads/")?).ok()?;
    Some((branch, CommitSha::parse(id).ok()?))
}

/// A value of git's configuration language.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_hostile_remote() {
        let id = "a".repeat(40);
        let line = |name: &[u8]| listed(&[id.as_bytes(), b"\trefs/heads/", name].concat());
        assert!(line(b"$(rm -rf)").is_none());
        assert!(line("größe/x".as_bytes()).is_some());
        assert!(line(b"a`id`\"b'c").is_some());
        assert!(line(b"\xff").is_none());
        assert!(line(b"-x").is_none());
        assert!(listed(b"short\trefs/heads/x").is_none());
        assert!(listed(format!("{id}\trefs/tags/x").as_bytes()).is_none());
    }
}
