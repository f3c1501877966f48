//! Where the other parts of compose's work are joined: the scan of the raw files, and the templates.

use std::path::PathBuf;

use serde_json::Value;

use crate::ports::{PortError, PortResult, RenderRequest};

/// What the scan lets through.
#[derive(Debug)]
pub(super) struct ScannedFiles {
    /// The compose files in use, relative to the checkout, in order.
    pub(super) files: Vec<PathBuf>,
    /// The checkout's `.env`, less what would steer the tool.
    pub(super) env_text: String,
}

/// Scans the raw files before any tool sees them. All findings are told at once.
pub(super) fn scan(request: &RenderRequest) -> PortResult<ScannedFiles> {
    Err(missing(&format!("scan of {}", request.checkout.display())))
}

/// `overlay.yaml.tera`, rendered.
pub(super) fn overlay_text(values: &Value) -> PortResult<String> {
    Err(missing(&format!("overlay of {values}")))
}

/// The compose file of a starter stack.
pub(super) fn starter_text(name: &str) -> PortResult<String> {
    Err(missing(&format!("starter stack {name}")))
}

fn missing(what: &str) -> PortError {
    PortError::Permanent(format!("{what}: not joined yet"))
}
