//! The compose CLI, and everything YAML.
//!
//! The reference tool does what compose means; here it is only called, in an environment of our own making, and its
//! words are turned into log lines and reasons. Nothing of the daemon's environment reaches it.

pub mod facts;
mod joints;
mod memory;
mod messages;
mod render;
pub mod scan;
mod tool;
mod up;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::Value;

use tokio::sync::OnceCell;

pub use tool::ComposeSettings;
use tool::Version;

use crate::adapters::template;
use crate::domain::names::ProjectName;
use crate::ports::{
    Expectation, LogSink, PortError, PortResult, RenderRequest, Rendered, Stacks, UpRequest, meters,
};

/// `docker compose`, run as the plugin binary itself.
pub struct ComposeCli {
    settings: ComposeSettings,
    /// Asked once: an older tool speaks plainer.
    version: OnceCell<Version>,
    memory: memory::Memory,
    waiting: up::Waiting,
    /// A folder for renderings; without one, each has its own beside its checkout.
    scratch: Option<PathBuf>,
}

impl ComposeCli {
    pub fn new(settings: ComposeSettings) -> Self {
        Self {
            settings,
            version: OnceCell::new(),
            memory: memory::Memory::default(),
            scratch: None,
            waiting: up::Waiting::default(),
        }
    }

    /// With a folder of the caller's for what is needed while a checkout is rendered: nothing is put beside a checkout
    /// that is not drey's own. One rendering at a time.
    #[must_use]
    pub fn with_scratch(mut self, folder: PathBuf) -> Self {
        self.scratch = Some(folder);
        self
    }

    /// The version, for instance `2.40.3`; an error when the tool is missing or older than 2.24.
    pub async fn version(&self) -> PortResult<String> {
        tool::version(&self.settings).await.map(|version| version.text)
    }

    /// The tool's form of progress.
    async fn progress(&self) -> PortResult<&'static str> {
        self.version.get_or_try_init(|| tool::version(&self.settings)).await.map(Version::progress)
    }
}

#[async_trait]
impl Stacks for ComposeCli {
    fn services(&self, checkout: &Path, files: &[PathBuf]) -> PortResult<Vec<String>> {
        joints::scan(checkout, files).map(|scanned| scanned.services)
    }

    async fn render(&self, request: &RenderRequest) -> PortResult<Rendered> {
        let folder = self.scratch.as_ref().map(|scratch| scratch.join("render"));
        render::render((&self.settings, &self.memory), request, folder).await
    }

    fn expect_up(&self, project: &ProjectName, directory: &Path) -> Expectation {
        let Some(version) = self.version.get() else { return Expectation::none() };
        let expected = up::expect((&self.settings, version.progress()), &self.waiting, project, directory);
        // What is wrong with the tool will be told by `up` itself.
        expected.unwrap_or_else(|_| Expectation::none())
    }

    async fn up(&self, request: &UpRequest, log: &dyn LogSink) -> PortResult<()> {
        let progress = self.progress().await?;
        meters::engine("up", up::up((&self.settings, progress), &self.waiting, request, log).await)
    }

    async fn stop(&self, project: &ProjectName, timeout_seconds: u32, log: &dyn LogSink) -> PortResult<()> {
        let progress = self.progress().await?;
        meters::engine("stop", up::stop((&self.settings, progress), project, timeout_seconds, log).await)
    }

    fn overlay(&self, values: &Value) -> PortResult<Value> {
        let text = template::render_overlay(self.settings.overlay.as_deref(), values)
            .map_err(|error| PortError::Permanent(error.to_string()))?;
        overlay_of(&text)
    }

    fn starter(&self, name: &str, checkout: &Path) -> PortResult<Vec<PathBuf>> {
        // A branch that brings its own file is taken at its word.
        let own = scan::find_files(checkout);
        if !own.is_empty() {
            return Ok(own);
        }
        let file = PathBuf::from("compose.yaml");
        let path = checkout.join(&file);
        let text = template::starter(name).map_err(|error| PortError::Permanent(error.to_string()))?;
        std::fs::File::create_new(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|error| {
                PortError::outside("the stack", format!("cannot write {}: {error}", path.display()))
            })?;
        Ok(vec![file])
    }
}

/// The rendered template as a compose fragment.
fn overlay_of(text: &str) -> PortResult<Value> {
    let failed = |reason: String| PortError::Permanent(format!("overlay.yaml.tera: {reason}"));
    let value: Value = serde_yaml::from_str(text).map_err(|error| failed(error.to_string()))?;
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(failed("gives no mapping at its top".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_starter_is_for_checkouts_without_a_file_and_follows_no_link() {
        let compose = ComposeCli::new(ComposeSettings {
            engine_host: String::new(),
            drey: None,
            home: None,
            empty_folder: PathBuf::new(),
            overlay: None,
        });
        let checkout = tempfile::tempdir().unwrap();
        let files = compose.starter("static-site", checkout.path()).unwrap();
        assert_eq!(files, [PathBuf::from("compose.yaml")]);
        assert!(checkout.path().join("compose.yaml").is_file());

        let own = tempfile::tempdir().unwrap();
        let victim = own.path().join("victim");
        std::os::unix::fs::symlink(&victim, own.path().join("compose.yaml")).unwrap();
        assert_eq!(compose.starter("static-site", own.path()).unwrap(), [PathBuf::from("compose.yaml")]);
        assert!(!victim.exists());
    }

    #[test]
    fn an_overlay_is_a_mapping_or_nothing() {
        let overlay =
            overlay_of("services:\n  web:\n    pids_limit: 512\n    labels: { a: \"b: c\" }\n").unwrap();
        assert_eq!(
            overlay,
            json!({ "services": { "web": { "pids_limit": 512, "labels": { "a": "b: c" } } } })
        );
        assert_eq!(overlay_of("# only a comment\n").unwrap(), json!({}));
        for bad in ["- a\n", "a: [\n", "text"] {
            let error = overlay_of(bad).unwrap_err();
            assert!(error.to_string().starts_with("overlay.yaml.tera"), "{error}");
        }
    }
}
