//! Images: nothing is built or pulled twice at the same time, and no more builds run at once than are allowed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::names::EnvironmentId;
use crate::domain::observed::ImageFacts;
use crate::ports::{BuildRequest, LogLine, LogSink, Resource, failpoint};

use super::build_slots::BuildSlots;
use super::failure::Failure;
use super::house::House;

/// A build that fills the disk is tried so often: it may have been another one's doing.
const MOST_FILLINGS: u32 = 3;

/// Where images come from.
pub(super) struct ImageShop {
    pub(super) house: Arc<House>,
    builds: BuildSlots,
    /// One lock per image reference that is being made.
    making: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Builds by their tag that were ended because a disk filled up, and how often.
    fillers: Mutex<BTreeMap<String, u32>>,
    /// Held while what is used is written down, and from the look at who uses an image to its removal.
    pub(super) shelf: tokio::sync::Mutex<()>,
}

impl ImageShop {
    pub(super) fn new(house: Arc<House>) -> Self {
        let builds = BuildSlots::new(house.settings().limits.builds);
        Self {
            house,
            builds,
            making: Mutex::default(),
            fillers: Mutex::default(),
            shelf: tokio::sync::Mutex::default(),
        }
    }

    /// From now on so many builds at once.
    pub(super) fn resize(&self, builds: usize) {
        self.builds.resize(builds);
    }

    /// The environment is about to use these images too: nobody removes them any more.
    pub(super) async fn claim(&self, environment: EnvironmentId, tags: &[String]) -> Result<(), Failure> {
        let _alone = self.shelf.lock().await;
        let mut used = self.house.store.images_of(environment).await?;
        used.extend(tags.iter().cloned());
        Ok(self.house.store.set_images(environment, &used).await?)
    }

    /// The environment uses these images and none of its former ones; those that nobody uses go.
    pub(super) async fn keep_only(&self, environment: EnvironmentId, tags: &[String]) -> Result<(), Failure> {
        let former = self.house.store.images_of(environment).await?;
        let unused: Vec<String> = former.into_iter().filter(|tag| !tags.contains(tag)).collect();
        self.remove(environment, &unused).await?;
        Ok(self.house.store.set_images(environment, tags).await?)
    }

    /// The environment uses these no longer; those that neither another one nor an archive needs go. Of several that end at the same time the
    /// last removes what they shared.
    pub(super) async fn remove(&self, environment: EnvironmentId, tags: &[String]) -> Result<(), Failure> {
        let _alone = self.shelf.lock().await;
        let mut others = self.house.store.images_used_by_others(environment, tags).await?;
        others.extend(self.house.store.held_images().await?.into_iter().map(|image| image.tag));
        for tag in tags.iter().filter(|tag| !others.contains(tag)) {
            self.house.ports.engine.remove(&Resource::Image(tag.clone())).await?;
            failpoint("image.removed");
        }
        let mut used = self.house.store.images_of(environment).await?;
        used.retain(|tag| !tags.contains(tag));
        Ok(self.house.store.set_images(environment, &used).await?)
    }

    /// Builds, unless another environment did so while this one waited.
    pub(super) async fn build(
        &self,
        request: &BuildRequest,
        force: bool,
        log: &dyn LogSink,
    ) -> Result<(), Failure> {
        let making = self.making(&request.tag);
        let _alone = making.lock().await;
        if !force && self.facts(&request.tag).await?.is_some() {
            return Ok(());
        }
        let _place = self.builds.take().await;
        log.line(LogLine { source: "build".into(), text: format!("{}: {}", request.service, request.tag) });
        let memory = self.house.settings().limits.build_memory;
        let group = match &request.builder {
            // It has limits of its own.
            Some(_) => None,
            None => Some(self.house.ports.cgroups.builds(memory).await?),
        };
        let parent = group.as_ref().and_then(|group| group.parent.clone());
        let request = BuildRequest { cgroup_parent: parent, ..request.clone() };
        let built = tokio::select! {
            built = self.house.ports.builder.build(&request, log) => built.map_err(Failure::from),
            why = self.house.disk_fills() => Err(self.filled(&request, &why)),
        };
        if built.is_ok() {
            self.fillers.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.tag);
        }
        built.map_err(|failure| with_context(failure, &format!("services.{}.build", request.service)))
    }

    /// One that fills the disk each time is not tried for ever.
    fn filled(&self, request: &BuildRequest, why: &str) -> Failure {
        let mut fillers = self.fillers.lock().unwrap_or_else(PoisonError::into_inner);
        let times = fillers.entry(request.tag.clone()).or_insert(0);
        *times += 1;
        let reason = format!("the build was ended while a disk filled up: {why}");
        if *times < MOST_FILLINGS {
            return Failure::NoRoom(reason);
        }
        fillers.remove(&request.tag);
        Failure::Failed(format!(
            "{reason}; that was so {MOST_FILLINGS} times in a row, so it is not tried again"
        ))
    }

    pub(super) async fn pull(&self, image: &str, force: bool, log: &dyn LogSink) -> Result<(), Failure> {
        let making = self.making(image);
        let _alone = making.lock().await;
        if !force && self.facts(image).await?.is_some() {
            return Ok(());
        }
        self.house.ports.engine.pull(image, log).await.map_err(|error| with_context(error.into(), image))
    }

    pub(super) async fn facts(&self, image: &str) -> Result<Option<ImageFacts>, Failure> {
        Ok(self.house.ports.engine.image(image).await?)
    }

    fn making(&self, reference: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.retain(|_, lock| Arc::strong_count(lock) > 1);
        making.entry(reference.to_owned()).or_default().clone()
    }
}

fn with_context(failure: Failure, what: &str) -> Failure {
    match failure {
        Failure::Failed(reason) => Failure::Failed(format!("{what}: {reason}")),
        Failure::Transient(reason) => Failure::Transient(format!("{what}: {reason}")),
        other @ (Failure::Blocked(_)
        | Failure::Job(_)
        | Failure::Breach(_)
        | Failure::NoRoom(_)
        | Failure::Superseded
        | Failure::Gone) => other,
    }
}
