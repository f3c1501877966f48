//! What is particular to a proxy that reads files.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::disk::Rendered;
use super::fault::Fault;
use super::model::{Abilities, Frame, Model};

/// One kind of proxy, where it runs.
#[async_trait]
pub trait Driver: Send + Sync {
    /// As `proxy.provider` names it.
    fn name(&self) -> &'static str;
    fn abilities(&self) -> Abilities;
    /// The configuration for these routes. The same routes give the same bytes.
    async fn render(&self, frame: &Frame, model: &Model) -> Result<Rendered, Fault>;
    /// Whether the proxy would take what lies in the folder. [`Fault::Refused`] has its words.
    async fn validate(&self, folder: &Path) -> Result<(), Fault>;
    /// Whether anything can be changed in it while it runs.
    fn is_adjustable(&self) -> bool {
        false
    }
    /// Changes what runs from one to the other without another reading of the files, in a process that read `read`; `false`:
    /// it has to read them.
    async fn adjust(&self, _read: &Running, _from: &Model, _to: &Model) -> Result<bool, Fault> {
        Ok(false)
    }
    /// Tells the proxy to read `current` again.
    async fn reload(&self) -> Result<(), Fault>;
    /// How long after the new configuration answered connections are still taken by the old one.
    fn lingers(&self) -> Duration {
        Duration::ZERO
    }
    /// The mark of the configuration that serves now; none where nothing answers.
    async fn serving(&self) -> Option<String>;
    /// What it wrote last of why it goes on as before, beginning with `: `; or nothing.
    async fn last_words(&self) -> String {
        String::new()
    }
}

/// A configuration that serves, or shall.
#[derive(Clone, Debug)]
pub struct Running {
    pub frame: Frame,
    pub model: Model,
    pub rendered: Rendered,
}
