//! TXT records by a program of the operator's: `PROGRAM… present|cleanup NAME VALUE`.

use std::time::Duration;

use async_trait::async_trait;

use super::process::Command;
use crate::ports::{DnsRecords, PortError, PortResult};

/// How long the program may take for one record.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The program and its first arguments.
pub struct DnsHook {
    command: Vec<String>,
}

impl DnsHook {
    pub fn new(command: Vec<String>) -> Self {
        Self { command }
    }

    async fn run(&self, action: &str, name: &str, value: &str) -> PortResult<()> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(PortError::Permanent("proxy.tls.acme.hook names no program".to_owned()));
        };
        let command = Command::new(program).args(arguments).args([action, name, value]);
        command.time_limit(TIME_LIMIT).run().await.map(drop)
    }
}

#[async_trait]
impl DnsRecords for DnsHook {
    async fn present(&self, name: &str, value: &str) -> PortResult<()> {
        self.run("present", name, value).await
    }

    async fn cleanup(&self, name: &str, value: &str) -> PortResult<()> {
        self.run("cleanup", name, value).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn the_program_is_told_what_to_do_and_its_refusal_is_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let (hook, told) = (folder.path().join("hook"), folder.path().join("told"));
        let text = format!(
            "#!/bin/sh\necho \"$@\" >>{}\n[ \"$2\" = present ] || {{ echo no such zone >&2; exit 1; }}\n",
            told.display()
        );
        std::fs::write(&hook, text).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        let records = DnsHook::new(vec![hook.display().to_string(), "zone".to_owned()]);
        records.present("_acme-challenge.qa.example", "a; b").await.unwrap();
        let error = records.cleanup("_acme-challenge.qa.example", "a; b").await.unwrap_err();
        assert!(error.to_string().contains("no such zone"), "{error}");
        let told = std::fs::read_to_string(&told).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            ["zone present _acme-challenge.qa.example a; b", "zone cleanup _acme-challenge.qa.example a; b"]
        );
    }
}
