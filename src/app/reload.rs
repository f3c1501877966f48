//! SIGHUP: the configuration is read anew, and taken up as a whole or not at all.

use std::sync::Arc;

use super::log::LogControl;
use super::provider::Frames;
use super::{configuration, dashboard, repositories, wiring};
use crate::adapters::routes::Frame;
use crate::config::{ConfigErrors, Settings};
use crate::domain::names::RepoName;
use crate::orchestrator::{self, Orchestrator};
use crate::ports::meters;
use crate::proxy::Proxy;
use crate::store::StoreError;
use crate::web::Web;

/// A daemon that serves.
pub(super) struct Running {
    /// Those in force.
    pub(super) settings: Settings,
    pub(super) orchestrator: Orchestrator,
    pub(super) web: Web,
    pub(super) proxy: Arc<Proxy>,
    /// For a proxy in front.
    pub(super) frames: Option<Frames>,
    pub(super) log: LogControl,
}

/// A configuration without a fault.
struct Fresh {
    settings: Settings,
    orchestrator: orchestrator::Settings,
    frame: Option<Frame>,
    /// Keys that count from the next start on.
    later: Vec<&'static str>,
}

impl Running {
    /// Reads the configuration again. One with a fault changes nothing.
    pub(super) async fn reload(&mut self) {
        match self.read().await {
            Ok(fresh) => {
                if let Err(error) = self.take_up(fresh).await {
                    tracing::error!(%error, "the database does not answer: new repositories are looked at later");
                }
                meters::reloaded("applied");
            }
            Err(faults) => {
                tell_refused(&faults);
                meters::reloaded("refused");
            }
        }
    }

    async fn read(&self) -> Result<Fresh, Vec<String>> {
        let read = configuration::read_again(&self.settings).await;
        let read =
            read.map_err(|ConfigErrors(faults)| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let (settings, later) = read.taken_up(&self.settings);
        let outside = (self.orchestrator.house().ports.clock.clone(), self.log.redactor());
        let orchestrator =
            wiring::orchestrator(&settings, &outside).map_err(|error| vec![format!("{error:#}")])?;
        self.proxy.renew_certificate().await.map_err(|error| vec![error.to_string()])?;
        let frame = self.frames.as_ref().map(|frames| frames.read(&settings)).transpose();
        let frame = frame.map_err(|error| vec![format!("{error:#}")])?;
        // Last: from here on nothing is refused any more.
        let rules = wiring::tls_rules(&settings);
        self.proxy.set_tls_rules(&rules).map_err(|error| vec![error.to_string()])?;
        Ok(Fresh { settings, orchestrator, frame, later })
    }

    async fn take_up(&mut self, fresh: Fresh) -> Result<(), StoreError> {
        let Fresh { settings, orchestrator, frame, later } = fresh;
        if let Some((frames, frame)) = self.frames.as_ref().zip(frame) {
            frames.take(&settings, frame);
        }
        let before = std::mem::replace(&mut self.settings, settings);
        let changed = changed(&before, &self.settings);
        repositories::hide_secrets(&self.settings, &self.log.redactor());
        self.log.set(self.settings.log.level);
        self.web.replace(repositories::served(&self.settings));
        self.proxy.tune(&wiring::bounds(&self.settings));
        self.proxy.link_to(dashboard::address(&self.settings));
        for key in later {
            tracing::warn!(key, "this key has changed and counts from the next start on: restart drey");
        }
        let names = changed.iter().map(RepoName::as_str).collect::<Vec<_>>().join(" ");
        let repositories = self.settings.repositories.len();
        tracing::info!(repositories, changed = names, "the configuration is read anew and in force");
        self.orchestrator.reload(orchestrator, &changed).await?;
        self.tell_left_behind(&before).await
    }

    /// Environments whose repository is not configured any more: nobody pushes to them, nobody ends them.
    async fn tell_left_behind(&self, before: &Settings) -> Result<(), StoreError> {
        let is_gone = |name: &RepoName| self.settings.repository(name.as_str()).is_none();
        let gone: Vec<&RepoName> =
            before.repositories.iter().map(|it| &it.name).filter(|it| is_gone(it)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let environments = self.orchestrator.house().store.environments(false).await?;
        for repo in gone {
            let left = environments.iter().filter(|environment| environment.repo == *repo).count();
            tracing::warn!(
                %repo,
                environments = left,
                "the repository is not served any more; its environments stay until `drey env archive` or `destroy`"
            );
        }
        Ok(())
    }

    /// After the last answer: what is only in memory is written down.
    pub(super) async fn close(self) {
        let store = &self.orchestrator.house().store;
        if let Err(error) = self.orchestrator.write_visits().await {
            tracing::error!(%error, "the last visits cannot be written down");
        }
        // Of runs that were cut; else the next life would think that this one died over them.
        let now = self.orchestrator.house().ports.clock.now();
        if let Err(error) = store.supersede_running("the daemon was stopped", now).await {
            tracing::error!(%error, "which runs were cut cannot be written down");
        }
        store.close().await;
    }
}

fn tell_refused(faults: &[String]) {
    for fault in faults {
        tracing::error!(fault, "a fault of the configuration");
    }
    tracing::error!("the configuration is refused: the one before stays in force, all of it");
}

/// Repositories that are new or otherwise configured than before.
fn changed(before: &Settings, now: &Settings) -> Vec<RepoName> {
    let is_same = |repository: &&crate::config::Repository| {
        before.repository(repository.name.as_str()) == Some(*repository)
    };
    now.repositories.iter().filter(|it| !is_same(it)).map(|it| it.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_or_different_is_looked_at() {
        let read = |repositories: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("drey.toml");
            let text = format!("[proxy]\ndomain = \"qa.example\"\nhttp = \"0.0.0.0:80\"\n{repositories}");
            std::fs::write(&file, text).unwrap();
            Settings::from_parts(Some(&file), &[]).unwrap()
        };
        let repository = |name: &str, more: &str| {
            format!("[[repo]]\nname = \"{name}\"\nurl = \"/srv/{name}.git\"\n{more}\n")
        };
        let before = read(&[repository("a", ""), repository("b", ""), repository("c", "")].concat());
        let now =
            read(&[repository("a", ""), repository("b", "ignore = [\"x\"]"), repository("d", "")].concat());
        assert_eq!(changed(&before, &now).iter().map(RepoName::as_str).collect::<Vec<_>>(), ["b", "d"]);
    }
}
