//! Images that stay on the engine for archives, within their budget.

use std::collections::BTreeSet;

use crate::domain::names::EnvironmentId;
use crate::domain::retention;
use crate::ports::Resource;

use super::failure::Failure;
use super::images::ImageShop;

impl ImageShop {
    /// The archive needs what the environment uses, as far as the budget goes.
    pub(super) async fn hold(&self, archive: &str, environment: EnvironmentId) -> Result<(), Failure> {
        if self.house.settings().retention.image_bytes == 0 {
            return Ok(());
        }
        let alone = self.shelf.lock().await;
        let mut images = Vec::new();
        for tag in self.house.store.images_of(environment).await? {
            if let Some(facts) = self.facts(&tag).await? {
                images.push((tag, facts.size_bytes));
            }
        }
        self.house.store.hold_images(archive, &images).await?;
        drop(alone);
        self.trim().await
    }

    /// Lets go of the images of the oldest archives until the rest is within the budget.
    pub(super) async fn trim(&self) -> Result<(), Failure> {
        let _alone = self.shelf.lock().await;
        let held = self.house.store.held_images().await?;
        for archive in retention::images_to_let_go(&held, self.house.settings().retention.image_bytes) {
            tracing::info!(
                archive.id = archive,
                "the archive's images are too many for [archive] image_budget"
            );
            self.release(&archive).await?;
        }
        Ok(())
    }

    /// The archive needs no images any more; those that nobody else needs go.
    pub(super) async fn let_go(&self, archive: &str) -> Result<(), Failure> {
        let _alone = self.shelf.lock().await;
        self.release(archive).await
    }

    /// With the shelf held. The engine comes first: what is written down until then is found again after a crash.
    async fn release(&self, archive: &str) -> Result<(), Failure> {
        let store = &self.house.store;
        let (own, others): (Vec<_>, Vec<_>) =
            store.held_images().await?.into_iter().partition(|image| image.archive == archive);
        let mut needed: BTreeSet<String> = others.into_iter().map(|image| image.tag).collect();
        needed.extend(store.used_images().await?);
        for image in own.into_iter().filter(|image| !needed.contains(&image.tag)) {
            self.house.ports.engine.remove(&Resource::Image(image.tag)).await?;
        }
        Ok(store.let_go_of_images(archive).await?)
    }
}
