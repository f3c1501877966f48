//! Where the other parts of compose's work are joined: the scan of the raw files, and the templates.

use std::path::{Path, PathBuf};

use super::scan;
use crate::domain::policy::{Finding, Sources};
use crate::ports::{PortError, PortResult};

/// What the scan lets through.
#[derive(Debug)]
pub(super) struct ScannedFiles {
    /// The compose files in use, relative to the checkout, in order.
    pub(super) files: Vec<PathBuf>,
    /// The checkout's `.env`, less what would steer the tool.
    pub(super) env_text: String,
    /// Names of the services that the files declare.
    pub(super) services: Vec<String>,
    /// SHA-256 of everything that Compose will read.
    pub(super) inputs: [u8; 32],
    /// One of the files names `DREY_COMMIT`.
    pub(super) names_commit: bool,
    /// What was noticed and is dropped.
    pub(super) remarks: Vec<Finding>,
    /// Which of the files says which key.
    pub(super) sources: Sources,
}

/// Scans the raw files before any tool sees them. All findings are told at once.
pub(super) fn scan(checkout: &Path, files: &[PathBuf]) -> PortResult<ScannedFiles> {
    let files = if files.is_empty() { scan::find_files(checkout) } else { files.to_vec() };
    if files.is_empty() {
        return Err(PortError::Permanent(
            "no compose file: neither compose.yaml, compose.yml, docker-compose.yaml nor docker-compose.yml is in \
             the repository; add one, or give the repository a starter stack ([[repo]] stack)"
                .to_owned(),
        ));
    }
    let scanned = scan::scan(checkout, &files).map_err(|findings| refused(&findings))?;
    Ok(ScannedFiles {
        files,
        env_text: scanned.environment,
        services: scanned.services,
        inputs: scanned.inputs,
        names_commit: scanned.names_commit,
        remarks: scanned.findings,
        sources: scanned.sources,
    })
}

fn refused(findings: &[Finding]) -> PortError {
    let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
    PortError::Refused(texts.join("\n"))
}
