//! The images of a stack: what has to be built or pulled, in which order, under which tags.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::domain::environment::Phase;
use crate::domain::images::{self, BuildRecipe, Interim};
use crate::domain::observed::ImageFacts;
use crate::domain::plan::{Plan, Step};
use crate::domain::policy;
use crate::domain::reconcile::{self, Force, ImageNeed};
use crate::domain::rewrite::services_of;
use crate::ports::{BuildRequest, meters};

use super::failure::Failure;
use super::prepare::Prepared;
use super::recipe::Build;
use super::run::Run;

/// The images of a stack: what was built and what is known of each.
pub(super) struct Images {
    /// Service → tag, for services that are built.
    pub(super) tags: BTreeMap<String, String>,
    /// Service → facts of its image.
    pub(super) facts: BTreeMap<String, ImageFacts>,
}

impl Images {
    pub(super) fn tags(&self) -> Vec<String> {
        self.tags.values().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Run<'_> {
    /// Builds and pulls what the engine lacks.
    pub(super) async fn make_images(&self, prepared: &Prepared, force: Force) -> Result<Images, Failure> {
        let order = build_order(&prepared.document)?;
        let archived = self.images_of_archive().await?;
        let mut requests: BTreeMap<String, BuildRequest> = BTreeMap::new();
        for name in order.iter().flatten() {
            let mut request = self.build_request(prepared, name, &requests, force).await?;
            if let Some(tag) = archived.get(name) {
                request.tag.clone_from(tag);
            }
            requests.insert(name.clone(), request);
        }
        let needs = needs(&prepared.document, &requests);
        // With the interim ones: a run that is cut leaves them to the next.
        let tags = requests.values().flat_map(|request| [&request.tag, &request.interim]);
        let tags: Vec<String> = tags.cloned().collect();
        // Before anybody looks what is there: from here on no other environment's end removes them.
        self.shop.claim(self.environment.id, &tags).await?;
        self.failpoint("images_claimed");
        let mut known = BTreeMap::new();
        for need in &needs {
            let reference = reference_of(need);
            if let Some(facts) = self.shop.facts(reference).await? {
                known.insert(reference.to_owned(), facts);
            }
        }
        let plan = reconcile::images(&needs, &known.keys().cloned().collect(), force);
        self.note(&plan).await?;
        for layer in layers(&plan, &order) {
            self.make(&layer, &requests, force, &mut known).await?;
        }
        let facts = needs_by_service(&prepared.document, &requests)
            .filter_map(|(name, reference)| Some((name, known.get(&reference)?.clone())))
            .collect();
        let tags = requests.into_iter().map(|(name, request)| (name, request.tag)).collect();
        Ok(Images { tags, facts })
    }

    async fn make(
        &self,
        plan: &Plan,
        requests: &BTreeMap<String, BuildRequest>,
        force: Force,
        known: &mut BTreeMap<String, ImageFacts>,
    ) -> Result<(), Failure> {
        if !plan.is_empty() && !self.environment.serving {
            self.board.refresh(&self.enter(Phase::Building).await?).await;
        }
        if !plan.is_empty() {
            self.await_room(Phase::Building).await?;
        }
        let made = plan.steps.iter().map(|planned| async move {
            let _measured = meters::step("images", planned.step.word());
            if let Step::Pull { image } = &planned.step {
                self.shop.pull(image, force.pull, &*self.log).await?;
                return Ok(image.clone());
            }
            let Step::Build { service, tag } = &planned.step else {
                return Err(Failure::Failed(format!("no part of making images: {}", planned.step)));
            };
            if let Some(request) = requests.get(service) {
                self.shop.build(request, force.rebuild, &*self.log).await?;
                self.failpoint("built");
            }
            Ok(tag.clone())
        });
        for reference in futures_util::future::try_join_all(made).await? {
            let facts = self.shop.facts(&reference).await?.ok_or_else(|| {
                Failure::Failed(format!("{reference} was made, but the engine does not have it"))
            })?;
            known.insert(reference, facts);
        }
        Ok(())
    }

    /// What this run calls images while it makes them.
    pub(super) fn interim(&self) -> Interim {
        Interim::new(self.house.store.instance(), self.deployment)
    }

    /// What is built for a service, under a tag that names its content.
    async fn build_request(
        &self,
        prepared: &Prepared,
        name: &str,
        others: &BTreeMap<String, BuildRequest>,
        force: Force,
    ) -> Result<BuildRequest, Failure> {
        let mut build = Build::of(name, &prepared.document, &prepared.checkout)?;
        build.stand_upon(others, &prepared.document);
        let git = &self.house.ports.git;
        let inputs = git.build_inputs(&self.environment.repo, &prepared.subject, &build.sources).await?;
        let recipe = build.recipe(self.house.store.instance());
        let dockerfile = match (&build.request.dockerfile_inline, &inputs.dockerfile) {
            (Some(text), _) => text.clone(),
            (None, Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            (None, None) => {
                let path = build.sources.dockerfile.clone().unwrap_or_default();
                return Err(Failure::Failed(format!(
                    "services.{name}.build.dockerfile: {path} is not in the commit"
                )));
            }
        };
        self.accept_dockerfile(name, &dockerfile, &recipe)?;
        let mut base_ids = BTreeMap::new();
        let bases = images::base_images(&dockerfile, &recipe.args, recipe.target.as_deref());
        let contexts = recipe.additional.values().filter_map(|value| value.strip_prefix("docker-image://"));
        for base in bases.into_iter().chain(contexts.map(str::to_owned)) {
            let id = self.shop.facts(&base).await?.map(|facts| facts.id);
            base_ids.insert(base, id);
        }
        let digest = images::identity(&inputs, &recipe, &base_ids);
        let labels = BTreeMap::from([
            ("drey.managed".to_owned(), "true".to_owned()),
            ("drey.instance".to_owned(), self.house.store.instance().to_string()),
            ("drey.repo".to_owned(), self.environment.repo.to_string()),
        ]);
        Ok(BuildRequest {
            service: name.to_owned(),
            tag: images::tag(&self.environment.repo, name, &digest),
            interim: self.interim().tag(name),
            labels,
            pull: force.pull,
            no_cache: force.rebuild,
            remote: self.repository()?.permissions.allows_remote_builds(),
            builder: self.repository()?.builder.clone(),
            time_limit: self.settings.limits.build_time,
            ..build.request
        })
    }

    /// What a Dockerfile builds upon is an image like any other: from the same registries, and no other branch's.
    fn accept_dockerfile(
        &self,
        service: &str,
        dockerfile: &str,
        recipe: &BuildRecipe,
    ) -> Result<(), Failure> {
        let contexts: BTreeSet<&String> = recipe.additional.keys().collect();
        let permissions = &self.repository()?.permissions;
        match policy::dockerfile(dockerfile, &recipe.args, &contexts, permissions).into_iter().next() {
            None => Ok(()),
            Some((_, reason)) => Err(Failure::Blocked(format!("policy: services.{service}.build: {reason}"))),
        }
    }
}

/// Services that are built, those first that others build upon; what stands in one list may be built at once.
fn build_order(document: &Value) -> Result<Vec<Vec<String>>, Failure> {
    let mut open: BTreeMap<String, BTreeSet<String>> = services_of(document)
        .filter(|(_, service)| service.get("build").is_some_and(|build| !build.is_null()))
        .map(|(name, service)| (name.clone(), built_upon(service)))
        .collect();
    let built: BTreeSet<String> = open.keys().cloned().collect();
    open.values_mut().for_each(|needs| needs.retain(|needed| built.contains(needed)));
    let mut order: Vec<Vec<String>> = Vec::new();
    while !open.is_empty() {
        let free: Vec<String> =
            open.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| name.clone()).collect();
        if free.is_empty() {
            let names: Vec<&str> = open.keys().map(String::as_str).collect();
            return Err(Failure::Failed(format!(
                "services.{}.build.additional_contexts: {} build upon each other",
                names.first().copied().unwrap_or_default(),
                names.join(" and ")
            )));
        }
        open.retain(|name, _| !free.contains(name));
        open.values_mut().for_each(|needs| needs.retain(|needed| !free.contains(needed)));
        order.push(free);
    }
    Ok(order)
}

fn built_upon(service: &Value) -> BTreeSet<String> {
    let contexts = service["build"]["additional_contexts"].as_object().into_iter().flatten();
    contexts.filter_map(|(_, value)| value.as_str()?.strip_prefix("service:").map(str::to_owned)).collect()
}

/// The plan in parts that are carried out one after another: what others build upon comes first.
fn layers(plan: &Plan, order: &[Vec<String>]) -> Vec<Plan> {
    let layer_of = |step: &Step| {
        let Step::Build { service, .. } = step else { return 0 };
        order.iter().position(|layer| layer.contains(service)).unwrap_or(0)
    };
    let part = |index| Plan {
        steps: plan.steps.iter().filter(|planned| layer_of(&planned.step) == index).cloned().collect(),
    };
    (0..order.len().max(1)).map(part).collect()
}

fn needs(document: &Value, requests: &BTreeMap<String, BuildRequest>) -> Vec<ImageNeed> {
    services_of(document)
        .filter_map(|(name, service)| match requests.get(name) {
            Some(request) => Some(ImageNeed::Built { service: name.clone(), tag: request.tag.clone() }),
            None => Some(ImageNeed::Pulled { image: service.get("image")?.as_str()?.to_owned() }),
        })
        .collect()
}

fn needs_by_service<'a>(
    document: &'a Value,
    requests: &'a BTreeMap<String, BuildRequest>,
) -> impl Iterator<Item = (String, String)> + 'a {
    services_of(document).filter_map(|(name, service)| {
        let built = requests.get(name).map(|request| request.tag.clone());
        Some((name.clone(), built.or_else(|| service.get("image")?.as_str().map(str::to_owned))?))
    })
}

fn reference_of(need: &ImageNeed) -> &str {
    match need {
        ImageNeed::Built { tag, .. } => tag,
        ImageNeed::Pulled { image } => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_build_upon_is_built_first() {
        let on =
            |name: &str| json!({ "build": { "additional_contexts": { "base": format!("service:{name}") } } });
        let order =
            |services| build_order(&json!({ "services": services })).map_err(|error| error.to_string());
        let found =
            order(json!({ "a": on("b"), "b": on("c"), "c": on("cache"), "d": { "build": {} }, "cache": {} }));
        assert_eq!(found.unwrap(), [vec!["c", "d"], vec!["b"], vec!["a"]]);
        let circle = order(json!({ "a": on("b"), "b": on("a") })).unwrap_err();
        assert!(circle.contains("a and b build upon each other"), "{circle}");
    }
}
