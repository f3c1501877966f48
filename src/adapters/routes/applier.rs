//! Routes into force at a proxy that reads files: render, write beside, let the proxy judge, switch, tell, confirm; else back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::apply::{Applied, Apply, Taken};
use super::bisect::Search;
use super::disk::{Disk, Rendered};
use super::driver::{Driver, Running};
use super::fault::Fault;
use super::model::{Environment, Frame, Model};
use super::networks::{Networks, addresses, cut_off};
use crate::domain::joining::Reach;
use crate::domain::provider::{ProviderContainer, ProviderFile, Quarantined};
use crate::domain::route::RouteTable;

/// How long a proxy may take to serve by what it was told to read.
const CONFIRM_LIMIT: Duration = Duration::from_secs(20);
const CONFIRM_EVERY: Duration = Duration::from_millis(10);
/// The longest reason that is kept.
const LONGEST_REASON: usize = 600;

/// A proxy with its folder.
pub struct Applier {
    driver: Arc<dyn Driver>,
    disk: Disk,
    /// Those that it has to be put on; none: it reaches all there is.
    networks: Option<Arc<dyn Networks>>,
    memory: Mutex<Memory>,
}

/// What is known from the last time.
#[derive(Default)]
struct Memory {
    /// What runs, where it is known for sure.
    running: Option<Running>,
    /// What it read last.
    read: Option<Running>,
    /// Refused environments with the digest of their routes: while those stay, they are not tried again.
    refused: BTreeMap<u64, (Vec<u8>, String)>,
    /// What it reaches, where it is put on networks.
    reach: Reach,
}

#[async_trait]
impl Apply for Applier {
    async fn apply(&self, table: &RouteTable, frame: &Frame) -> Result<Applied, Fault> {
        let model = Model::compile(table, frame, self.driver.abilities());
        let mut memory = self.memory.lock().await;
        memory.reach = self.reach(frame, &model).await?;
        let cut_off = cut_off(&model, &memory.reach);
        let model = model.gated(|id| cut_off.contains_key(&id));
        memory.refused.retain(|id, (digest, _)| {
            model.environments.get(id).is_some_and(|environment| *digest == digest_of(environment))
        });
        let next = self.acceptable(&model, frame, &mut memory).await?;
        let taken = self.bring(&next, &mut memory).await?;
        if let Some(networks) = &self.networks {
            networks.leave(&addresses(&next.model)).await;
        }
        let unreached = cut_off.iter().filter_map(|(id, reason)| Some((id, reason.as_ref()?)));
        let refused = memory.refused.iter().map(|(id, (_, reason))| (id, reason));
        let quarantined = refused.chain(unreached).filter_map(|(id, reason)| {
            let environment = model.environments.get(id)?.name.clone();
            Some(Quarantined { environment, reason: reason.clone() })
        });
        Ok(Applied {
            mark: next.rendered.mark.clone(),
            taken,
            direct: next.model.direct().count(),
            quarantined: quarantined.collect(),
            assumed: self.driver.assumed(),
        })
    }

    async fn adjust(&self, table: &RouteTable, frame: &Frame) -> bool {
        if !self.driver.is_adjustable() {
            return false;
        }
        let mut memory = self.memory.lock().await;
        let refused = &memory.refused;
        let model = Model::compile(table, frame, self.driver.abilities());
        let cut_off = cut_off(&model, &memory.reach);
        let model = model.gated(|id| refused.contains_key(&id) || cut_off.contains_key(&id));
        let Some(running) = memory.running.take().filter(|running| running.frame == *frame) else {
            return false;
        };
        let next = Running { model, ..running.clone() };
        match self.is_adjusted(&memory, &running.model, &next).await {
            Ok(true) => {
                memory.running = Some(next);
                true
            }
            // Where it did a part of it, what it has is known again when it has read its files.
            Ok(false) | Err(_) => false,
        }
    }

    async fn render(&self, table: &RouteTable, frame: &Frame) -> Result<Vec<ProviderFile>, Fault> {
        let model = Model::compile(table, frame, self.driver.abilities());
        let rendered = self.driver.render(frame, &model).await?;
        let path = |name: &str| self.disk.current().join(name).display().to_string();
        let files = rendered.files.into_iter();
        Ok(files.map(|(name, content)| ProviderFile { path: path(&name), content }).collect())
    }

    fn lag(&self) -> Duration {
        self.driver.lag()
    }

    fn gives_way(&self) -> bool {
        self.driver.gives_way()
    }

    async fn hand_out(&self, asker: &str) -> Option<String> {
        self.driver.hand_out(asker).await
    }

    fn container(&self) -> Option<ProviderContainer> {
        self.networks.as_ref().map(|networks| networks.container())
    }
}

impl Applier {
    pub fn new(driver: Arc<dyn Driver>, disk: Disk) -> Self {
        let memory = Memory { reach: Reach::everything(), ..Memory::default() };
        Self { driver, disk, networks: None, memory: Mutex::new(memory) }
    }

    /// The same for a proxy that has to be put on the networks of environments.
    #[must_use]
    pub fn on(self, networks: Arc<dyn Networks>) -> Self {
        let memory = Mutex::default();
        Self { networks: Some(networks), memory, ..self }
    }

    /// What the proxy reaches, once it was put where the routes lead.
    async fn reach(&self, frame: &Frame, model: &Model) -> Result<Reach, Fault> {
        let Some(networks) = &self.networks else { return Ok(Reach::everything()) };
        let joined = networks.join(&addresses(model)).await;
        if let Err(Fault::Down(_)) = &joined {
            self.prepare(frame, model).await?;
            // On a network that is gone it could not be started again.
            networks.leave(&BTreeSet::new()).await;
        }
        joined
    }

    /// What a proxy starts with that cannot judge anything before it runs: all of it leads to the gate, so that nobody is led
    /// to an address that is another branch's by then.
    async fn prepare(&self, frame: &Frame, model: &Model) -> Result<(), Fault> {
        let next = self.rendered(frame, model.gated(|_| true)).await?;
        self.disk.stage(&next.rendered)?;
        let mark = next.rendered.mark.as_str();
        if self.disk.current_mark().as_deref() != Some(mark) {
            self.disk.switch(mark)?;
        }
        Ok(())
    }

    /// The model as far as the proxy takes it, written beside what counts. What is current was judged before.
    async fn acceptable(&self, model: &Model, frame: &Frame, memory: &mut Memory) -> Result<Running, Fault> {
        let refused = &memory.refused;
        let next = self.rendered(frame, model.gated(|id| refused.contains_key(&id))).await?;
        if self.disk.current_mark().as_deref() == Some(&next.rendered.mark) {
            self.disk.stage(&next.rendered)?;
            return Ok(next);
        }
        match self.judge(&next.rendered).await {
            Ok(()) => Ok(next),
            Err(Fault::Refused(why)) => {
                self.find_bad(model, frame, (memory, why)).await?;
                let refused = &memory.refused;
                let next = self.rendered(frame, model.gated(|id| refused.contains_key(&id))).await?;
                self.judge(&next.rendered).await?;
                Ok(next)
            }
            Err(other) => Err(other),
        }
    }

    async fn rendered(&self, frame: &Frame, model: Model) -> Result<Running, Fault> {
        let rendered = self.driver.render(frame, &model).await?;
        Ok(Running { frame: frame.clone(), model, rendered })
    }

    async fn judge(&self, rendered: &Rendered) -> Result<(), Fault> {
        let folder = self.disk.stage(rendered)?;
        let judged = self.driver.validate(&folder).await;
        if judged.is_err() {
            self.disk.discard(&rendered.mark);
        }
        judged
    }

    /// Which environments are to blame. Without one the whole is wrong, and nobody is put aside.
    async fn find_bad(
        &self,
        model: &Model,
        frame: &Frame,
        (memory, why): (&mut Memory, String),
    ) -> Result<(), Fault> {
        if self.refuses(model, frame, &[]).await?.is_some() {
            return Err(Fault::Refused(why));
        }
        let candidates = model.environments.iter().filter(|(_, it)| !it.direct.is_empty());
        let mut search = Search::new(candidates.map(|(id, _)| *id).collect());
        while let Some(some) = search.next() {
            let told = self.refuses(model, frame, &some).await?;
            search.told(told);
        }
        let bad = search.bad();
        memory.refused = bad
            .into_iter()
            .filter_map(|(id, why)| {
                let digest = digest_of(model.environments.get(&id)?);
                Some((id, (digest, shortened(&why))))
            })
            .collect();
        Ok(())
    }

    /// Why the proxy does not take the model with only these led straight to containers.
    async fn refuses(&self, model: &Model, frame: &Frame, some: &[u64]) -> Result<Option<String>, Fault> {
        let part = self.rendered(frame, model.gated(|id| !some.contains(&id))).await?;
        let judged = self.judge(&part.rendered).await;
        self.disk.discard(&part.rendered.mark);
        match judged {
            Ok(()) => Ok(None),
            Err(Fault::Refused(why)) => Ok(Some(why)),
            Err(other) => Err(other),
        }
    }

    /// Makes it the one that serves.
    async fn bring(&self, next: &Running, memory: &mut Memory) -> Result<Taken, Fault> {
        let mark = next.rendered.mark.as_str();
        let before = self.disk.current_mark();
        if before.as_deref() == Some(mark) && self.runs(next, memory).await {
            memory.running = Some(next.clone());
            return Ok(Taken::Nothing);
        }
        if before.as_deref() != Some(mark) {
            self.disk.switch(mark)?;
        }
        let taken = match memory.running.take() {
            Some(running) if self.is_adjusted(memory, &running.model, next).await? => Taken::Adjustment,
            Some(_) | None => {
                self.reload(mark, before.as_deref()).await?;
                memory.read = Some(next.clone());
                Taken::Reload
            }
        };
        memory.running = Some(next.clone());
        self.disk.tidy(&next.rendered.pems);
        Ok(taken)
    }

    /// Whether the proxy has it: by its own word, or by what was changed in it since it read its files.
    async fn runs(&self, next: &Running, memory: &mut Memory) -> bool {
        let mark = next.rendered.mark.as_str();
        if self.driver.serving().await.as_deref() == Some(mark) {
            memory.read = Some(next.clone());
            return true;
        }
        let is_adjusted = memory.running.as_ref().is_some_and(|running| running.rendered.mark == mark);
        is_adjusted && self.is_as_read(memory).await
    }

    /// Changes it while it runs, where that will do.
    async fn is_adjusted(&self, memory: &Memory, from: &Model, to: &Running) -> Result<bool, Fault> {
        match &memory.read {
            Some(read) if self.driver.is_adjustable() && read.frame == to.frame => {
                Ok(self.is_as_read(memory).await && self.driver.adjust(read, from, &to.model).await?)
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Whether it runs by the files that it read last, and was not started anew since.
    async fn is_as_read(&self, memory: &Memory) -> bool {
        let read = memory.read.as_ref().map(|read| read.rendered.mark.as_str());
        read.is_some() && self.driver.serving().await.as_deref() == read
    }

    /// Tells the proxy and waits until it serves by it. Where it does not, `current` leads back.
    async fn reload(&self, mark: &str, before: Option<&str>) -> Result<(), Fault> {
        let mut serving = self.driver.serving().await;
        // It may have started with it just now.
        if serving.as_deref() == Some(mark) {
            return Ok(());
        }
        match self.driver.reload().await {
            // Workers outlive a first process that was killed, and go on serving.
            Err(Fault::Down(why)) if serving.is_some() => {
                return Err(Fault::Unconfirmed(format!("{why}; but something of it still serves")));
            }
            // Fine alone, and not with all that is around it.
            Err(Fault::Refused(why)) => {
                self.lead_back(mark, before)?;
                return Err(Fault::Refused(why));
            }
            other => other?,
        }
        let limit = CONFIRM_LIMIT + self.driver.lag();
        let until = Instant::now() + limit;
        serving = self.driver.serving().await;
        while serving.as_deref() != Some(mark) && Instant::now() < until {
            sleep(CONFIRM_EVERY).await;
            serving = self.driver.serving().await;
        }
        if serving.as_deref() == Some(mark) {
            sleep(self.driver.lingers()).await;
            return Ok(());
        }
        if serving.is_some() {
            self.lead_back(mark, before.or(Some(mark)))?;
        }
        let log = self.driver.last_words().await;
        Err(Fault::Unconfirmed(format!(
            "after {} s it serves by {}{log}",
            limit.as_secs(),
            serving.as_deref().unwrap_or("none that answers")
        )))
    }
}

impl Applier {
    /// `current` leads to the last good one again; to none where there was none.
    fn lead_back(&self, mark: &str, before: Option<&str>) -> Result<(), Fault> {
        match before {
            Some(before) if before != mark => self.disk.switch(before),
            Some(_) => Ok(()),
            None => self.disk.leave(),
        }
    }
}

/// Changes with all that is written for an environment.
fn digest_of(environment: &Environment) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(format!("{environment:?}"));
    for tls in environment.direct.values().filter_map(|backend| backend.tls.as_ref()) {
        hash.update(tls.authority.as_deref().unwrap_or_default());
        hash.update(tls.identity.as_deref().unwrap_or_default());
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest.to_vec()
}

fn shortened(why: &str) -> String {
    let end = why.char_indices().nth(LONGEST_REASON).map_or(why.len(), |(at, _)| at);
    why.get(..end).unwrap_or(why).to_owned()
}
