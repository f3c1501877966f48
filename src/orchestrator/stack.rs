//! From an accepted document to images and the stack.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domain::environment::Phase;
use crate::domain::images::{self, BuildRecipe, BuildSources};
use crate::domain::names::CommitSha;
use crate::domain::observed::ImageFacts;
use crate::domain::plan::Step;
use crate::domain::reconcile::{self, Force, ImageNeed};
use crate::domain::rewrite::{
    self, AddressParts, BoundContent, CommitVariables, Discovered, RewriteContext, ServiceLimits,
};
use crate::domain::stack::Stack;
use crate::ports::BuildRequest;

use super::failure::Failure;
use super::prepare::Prepared;
use super::run::Run;

/// The images of a stack: what was built and what is known of each.
pub(super) struct Images {
    /// Service → tag, for services that are built.
    tags: BTreeMap<String, String>,
    /// Service → facts of its image.
    facts: BTreeMap<String, ImageFacts>,
}

impl Images {
    pub(super) fn tags(&self) -> Vec<String> {
        self.tags.values().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Run<'_> {
    /// Labels of everything that is made for the environment; constant for its life.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let environment = &self.environment;
        BTreeMap::from([
            ("drey.managed".to_owned(), "true".to_owned()),
            ("drey.instance".to_owned(), self.house.store.instance().to_string()),
            ("drey.repo".to_owned(), environment.repo.to_string()),
            ("drey.branch".to_owned(), environment.branch.to_string()),
            ("drey.environment".to_owned(), environment.id.to_string()),
        ])
    }

    /// Networks and volumes that drey makes itself belong to the compose project too.
    pub(super) fn resource_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert("com.docker.compose.project".to_owned(), self.environment.project.to_string());
        labels
    }

    fn address(&self) -> AddressParts<'_> {
        let address = &self.house.settings.address;
        AddressParts {
            slug: &self.environment.slug,
            domain: &address.domain,
            proto: &address.proto,
            port: address.port,
        }
    }

    pub(super) fn render_variables(
        &self,
        services: &[String],
        commit: &CommitSha,
    ) -> BTreeMap<String, String> {
        let (repo, branch) = (&self.environment.repo, &self.environment.branch);
        rewrite::render_variables(self.address(), CommitVariables { repo, branch, commit }, services)
    }

    /// For every container, constant for the environment's life.
    pub(super) fn container_variables(&self, discovered: &Discovered) -> BTreeMap<String, String> {
        let (repo, branch) = (&self.environment.repo, &self.environment.branch);
        let labels =
            discovered.services.iter().map(|found| (found.service.clone(), found.label.clone())).collect();
        rewrite::container_variables(self.address(), repo, branch, &labels)
    }

    /// Builds and pulls what the engine lacks.
    pub(super) async fn make_images(&self, prepared: &Prepared, force: Force) -> Result<Images, Failure> {
        let mut requests = BTreeMap::new();
        let mut needs = Vec::new();
        for (name, service) in services_of(&prepared.document) {
            if service.get("build").is_some() {
                let request = self.build_request(prepared, name, service, force).await?;
                needs.push(ImageNeed::Built { service: name.clone(), tag: request.tag.clone() });
                requests.insert(name.clone(), request);
            } else if let Some(image) = service.get("image").and_then(Value::as_str) {
                needs.push(ImageNeed::Pulled { image: image.to_owned() });
            }
        }
        let mut known = BTreeMap::new();
        for need in &needs {
            let reference = reference_of(need);
            if let Some(facts) = self.shop.facts(reference).await? {
                known.insert(reference.to_owned(), facts);
            }
        }
        let plan = reconcile::images(&needs, &known.keys().cloned().collect(), force);
        self.note(&plan).await?;
        self.make(&plan, &requests, force, &mut known).await?;
        let facts = needs_by_service(&prepared.document, &requests)
            .filter_map(|(name, reference)| Some((name, known.get(&reference)?.clone())))
            .collect();
        let tags = requests.into_iter().map(|(name, request)| (name, request.tag)).collect();
        Ok(Images { tags, facts })
    }

    async fn make(
        &self,
        plan: &crate::domain::plan::Plan,
        requests: &BTreeMap<String, BuildRequest>,
        force: Force,
        known: &mut BTreeMap<String, ImageFacts>,
    ) -> Result<(), Failure> {
        if !plan.is_empty() && !self.environment.serving {
            self.board.refresh(&self.enter(Phase::Building).await?).await;
        }
        let made = plan.steps.iter().map(|planned| async move {
            if let Step::Pull { image } = &planned.step {
                self.shop.pull(image, force.pull, &*self.log).await?;
                return Ok(image.clone());
            }
            let Step::Build { service, tag } = &planned.step else {
                return Err(Failure::Failed(format!("no part of making images: {}", planned.step)));
            };
            if let Some(request) = requests.get(service) {
                self.shop.build(request, force.rebuild, &*self.log).await?;
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

    /// What is built for a service, under a tag that names its content.
    async fn build_request(
        &self,
        prepared: &Prepared,
        name: &str,
        service: &Value,
        force: Force,
    ) -> Result<BuildRequest, Failure> {
        let build = Build::of(name, &service["build"], &prepared.checkout)?;
        let git = &self.house.ports.git;
        let inputs = git.build_inputs(&self.environment.repo, &prepared.commit, &build.sources).await?;
        let recipe = build.recipe();
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
        let mut base_ids = BTreeMap::new();
        for base in images::base_images(&dockerfile, &recipe.args, recipe.target.as_deref()) {
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
            labels,
            pull: force.pull,
            no_cache: force.rebuild,
            ..build.request
        })
    }

    pub(super) async fn make_stack(&self, prepared: &Prepared, images: &Images) -> Result<Stack, Failure> {
        let (document, checkout) = (&prepared.document, &prepared.checkout);
        let discovered = rewrite::discover(document, &images.facts).map_err(failed)?;
        let environment = &self.environment;
        let variables = self.container_variables(&discovered);
        let contents = self.contents(document, checkout, &prepared.commit).await?;
        let limits = &self.house.settings.limits;
        let limits =
            ServiceLimits { memory_bytes: limits.memory_bytes, cpus: limits.cpus, pids: limits.pids };
        let overlay =
            self.house.ports.stacks.overlay(&rewrite::overlay_values(&prepared.rendered, limits))?;
        let subnets = self.subnets(&rewrite::network_keys(document)).await?;
        let context = RewriteContext {
            project: &environment.project,
            labels: &self.labels(),
            tags: &images.tags,
            facts: &images.facts,
            subnets: &subnets,
            contents: &contents,
            checkout,
            binds: &self.house.ports.workspace.binds_directory(environment.id),
            variables: &variables,
            overlay: &overlay,
            jobs: &jobs(&prepared.rendered),
        };
        rewrite::rewrite(document, &context).map_err(failed)
    }

    async fn subnets(&self, keys: &[String]) -> Result<BTreeMap<String, String>, Failure> {
        let taken = self.house.ports.watch.foreign_subnets().await?;
        let pool = &self.house.settings.subnets;
        Ok(self.house.store.allocate_subnets(self.environment.id, keys, pool, &taken).await?)
    }

    async fn contents(
        &self,
        document: &Value,
        checkout: &Path,
        commit: &CommitSha,
    ) -> Result<BTreeMap<String, BoundContent>, Failure> {
        let paths: Vec<PathBuf> = rewrite::bound_paths(document, checkout);
        if paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids = self.house.ports.git.content_ids(&self.environment.repo, commit, &paths).await?;
        let content = |(path, content_id): (PathBuf, String)| {
            let is_file = checkout.join(&path).is_file();
            (path.to_string_lossy().into_owned(), BoundContent { content_id, is_file })
        };
        Ok(ids.into_iter().map(content).collect())
    }
}

/// A service's `build` section: the request, less what comes from elsewhere, and where it reads from.
struct Build {
    request: BuildRequest,
    sources: BuildSources,
}

impl Build {
    fn of(service: &str, build: &Value, checkout: &Path) -> Result<Self, Failure> {
        let text = |key: &str| build.get(key).and_then(Value::as_str).map(unescaped);
        let context = PathBuf::from(text("context").unwrap_or_default());
        let relative = |path: &Path| -> Result<String, Failure> {
            let inside = path.strip_prefix(checkout).map_err(|_outside| {
                Failure::Blocked(format!(
                    "services.{service}.build: {} is not in the checkout",
                    path.display()
                ))
            })?;
            Ok(inside.to_string_lossy().into_owned())
        };
        let inline = text("dockerfile_inline");
        let dockerfile = text("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
        let mut additional = BTreeMap::new();
        let mut additional_contexts = BTreeMap::new();
        for (name, value) in build.get("additional_contexts").and_then(Value::as_object).into_iter().flatten()
        {
            let value = unescaped(value.as_str().unwrap_or_default());
            if Path::new(&value).is_absolute() {
                additional.insert(name.clone(), relative(Path::new(&value))?);
            }
            additional_contexts.insert(name.clone(), value);
        }
        let sources = BuildSources {
            dockerfile: inline.is_none().then(|| relative(&context.join(&dockerfile))).transpose()?,
            context: relative(&context)?,
            additional,
        };
        let request = BuildRequest {
            service: service.to_owned(),
            tag: String::new(),
            dockerfile: inline.is_none().then_some(dockerfile),
            dockerfile_inline: inline,
            target: text("target"),
            platform: build.get("platforms").and_then(|list| list.get(0)?.as_str().map(unescaped)),
            args: args(build),
            additional_contexts,
            labels: BTreeMap::new(),
            pull: false,
            no_cache: false,
            context,
        };
        Ok(Self { request, sources })
    }

    fn recipe(&self) -> BuildRecipe {
        let elsewhere = |value: &&String| !Path::new(value.as_str()).is_absolute();
        let contexts = self.request.additional_contexts.iter().filter(|(_, value)| elsewhere(value));
        BuildRecipe {
            args: self.request.args.clone(),
            target: self.request.target.clone(),
            platform: self.request.platform.clone(),
            dockerfile_inline: self.request.dockerfile_inline.clone(),
            additional: contexts.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

fn args(build: &Value) -> BTreeMap<String, String> {
    let args = build.get("args").and_then(Value::as_object).into_iter().flatten();
    args.filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name.clone(), unescaped(text))),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some((name.clone(), value.to_string()))
        }
    })
    .collect()
}

/// The canonical document doubles each `$`, because Compose reads it once more; the builder does not.
fn unescaped(text: &str) -> String {
    text.replace("$$", "$")
}

fn jobs(rendered: &Value) -> Vec<String> {
    services_of(rendered)
        .map(|(name, _)| name.clone())
        .filter(|name| rewrite::is_job(rendered, name))
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

fn services_of(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document.get("services").and_then(Value::as_object).into_iter().flatten()
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
