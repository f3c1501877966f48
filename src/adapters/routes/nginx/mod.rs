//! nginx, 1.18 and newer.

mod values;
mod version;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::confirm;
use super::disk::{Disk, Rendered};
use super::driver::Driver;
use super::fault::Fault;
use super::model::{Abilities, Frame, Model};
use super::place::Place;
use crate::adapters::process::Told;
use crate::adapters::template::render_proxy;
use crate::ports::PortResult;
use values::Values;
use version::Version;

/// The one file that nginx is started with.
pub const FILE: &str = "nginx.conf";
/// The one that a configuration of the team's own includes, and what it is judged with.
pub const INCLUDED: &str = "drey.conf";
const JUDGE: &str = "judge";
/// New workers serve at once; the first process tells the old ones 100 ms later (`ngx_master_process_cycle`), and each hears it
/// when it is through with what it does.
const LINGERS: Duration = Duration::from_millis(300);
/// How much of the end of its log is looked at.
const LOG_TAIL: usize = 4096;

/// How this nginx is run.
#[derive(Clone, Debug)]
pub struct NginxSettings {
    /// The user of its workers; none: as it was built.
    pub user: Option<String>,
    /// Where it tells which configuration serves.
    pub confirm: SocketAddr,
    /// The operator's templates.
    pub templates: Option<PathBuf>,
    /// Where drey hears of requests.
    pub visits: Option<PathBuf>,
    /// The whole configuration of the team's own that includes what drey writes; none: nginx is started with drey's.
    pub include: Option<PathBuf>,
}

/// An nginx that reads what drey writes.
pub struct Nginx {
    place: Arc<dyn Place>,
    disk: Disk,
    settings: NginxSettings,
    /// As it said last, and in which of its lives.
    version: Mutex<Option<(Option<String>, Version)>>,
}

impl Nginx {
    pub fn new(place: Arc<dyn Place>, disk: Disk, settings: NginxSettings) -> Self {
        Self { place, disk, settings, version: Mutex::default() }
    }

    const fn file(&self) -> &'static str {
        if self.settings.include.is_some() { INCLUDED } else { FILE }
    }

    async fn judge(&self, file: &Path) -> Result<(), Fault> {
        let file = file.display().to_string();
        let said = self.place.run(vec!["-t".to_owned(), "-q".to_owned(), "-c".to_owned(), file]).await?;
        if said.ok { Ok(()) } else { Err(refusal(&said.text)) }
    }

    async fn version(&self) -> PortResult<Version> {
        let life = self.place.life();
        let last = self.said_last().clone();
        if let Some((_, version)) = last.as_ref().filter(|(of, _)| life.is_some() && *of == life) {
            return Ok(*version);
        }
        match self.place.run(vec!["-v".to_owned()]).await {
            Ok(said) => Ok(self.said_last().insert((life, Version::parse(&said.text)?)).1),
            // What the oldest understands, all do.
            Err(_) if self.place.is_asked_inside() => {
                Ok(last.map_or(Version::OLDEST, |(_, version)| version))
            }
            Err(error) => Err(error),
        }
    }

    fn said_last(&self) -> MutexGuard<'_, Option<(Option<String>, Version)>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Driver for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    async fn render(&self, frame: &Frame, model: &Model) -> Result<Rendered, Fault> {
        let version = self.version().await?;
        let values = Values { frame, model, version, disk: &self.disk, settings: &self.settings };
        let (json, pems) = values.read();
        let rendered = |file: &str| {
            let text = render_proxy(self.name(), file, self.settings.templates.as_deref(), &json);
            text.map_err(|error| Fault::Template(error.to_string()))
        };
        let mut files = BTreeMap::from([(self.file().to_owned(), rendered(FILE)?)]);
        if self.settings.include.is_some() {
            files.insert(JUDGE.to_owned(), rendered(JUDGE)?);
        }
        Ok(Rendered::new(files, pems))
    }

    async fn validate(&self, folder: &Path) -> Result<(), Fault> {
        let judged = if self.settings.include.is_some() { JUDGE } else { FILE };
        self.judge(&folder.join(judged)).await
    }

    async fn reload(&self) -> Result<(), Fault> {
        if let Some(main) = &self.settings.include {
            // With all that is the team's own; nothing is told of a whole that would be refused.
            self.judge(main).await?;
        }
        self.place.tell(Told::Hangup).await
    }

    fn lingers(&self) -> Duration {
        LINGERS
    }

    async fn serving(&self) -> Option<String> {
        confirm::ask(self.place.asked_at(self.settings.confirm)?).await
    }

    async fn last_words(&self) -> String {
        if let Some(main) = &self.settings.include {
            let included = self.disk.current().join(INCLUDED);
            let (main, included) = (main.display(), included.display());
            return format!(
                ": does {main} include {included} in its http {{}}, and does that nginx run by it?"
            );
        }
        let text = std::fs::read(self.disk.run().join("error.log")).unwrap_or_default();
        let tail = text.get(text.len().saturating_sub(LOG_TAIL)..).unwrap_or_default();
        let tail = String::from_utf8_lossy(tail);
        tail.lines()
            .rev()
            .find(|line| line.contains("[emerg]"))
            .map_or_else(String::new, |line| format!(": {line}"))
    }
}

/// A full disk is none of the configuration's faults.
fn refusal(text: &str) -> Fault {
    let fatal: Vec<&str> = text.lines().filter(|line| line.contains("[emerg]")).collect();
    let text = if fatal.is_empty() { text.to_owned() } else { fatal.join("; ") };
    match crate::ports::is_no_room(&text) {
        true => Fault::Disk(text),
        false => Fault::Refused(text),
    }
}
