//! From an accepted document and its images to the stack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domain::names::CommitSha;
use crate::domain::rewrite::{
    self, AddressParts, BoundContent, CommitVariables, Discovered, RewriteContext, ServiceLimits,
};
use crate::domain::stack::Stack;

use super::backend::authorities;
use super::builds::Images;
use super::failure::Failure;
use super::prepare::Prepared;
use super::run::Run;

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
        let address = &self.settings.address;
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
        let mut variables = rewrite::container_variables(self.address(), repo, branch, &labels);
        rewrite::put_paths(&mut variables, &discovered.services);
        variables
    }

    pub(super) async fn make_stack(&self, prepared: &Prepared, images: &Images) -> Result<Stack, Failure> {
        let (document, checkout) = (&prepared.document, &prepared.checkout);
        let discovered = rewrite::discover(document, &images.facts).map_err(failed)?;
        let environment = &self.environment;
        let variables = self.container_variables(&discovered);
        let contents = self.contents(document, checkout, &prepared.subject).await?;
        let limits = &self.settings.limits;
        let of_service =
            ServiceLimits { memory_bytes: limits.memory_bytes, cpus: limits.cpus, pids: limits.pids };
        let share =
            rewrite::fit(&prepared.rendered, of_service, limits.environment).map_err(Failure::Blocked)?;
        let values = rewrite::overlay_values(&prepared.rendered, of_service, share);
        let overlay = self.house.ports.stacks.overlay(&values)?;
        let subnets = self.subnets(&rewrite::network_keys(document)).await?;
        let cgroup_parent = self.house.ports.cgroups.parent(environment.id).await?;
        let context = RewriteContext {
            project: &environment.project,
            labels: &self.labels(),
            tags: &images.tags,
            facts: &images.facts,
            authorities: &authorities(checkout, &discovered),
            subnets: &subnets,
            contents: &contents,
            checkout,
            binds: &self.house.ports.workspace.binds_directory(environment.id),
            secrets: &self.house.ports.vault.folder(environment.id),
            variables: &variables,
            shares: &values,
            overlay: &overlay,
            names: &container_names(&prepared.rendered),
            cgroup_parent: cgroup_parent.as_deref(),
            completing: &completing(&prepared.rendered),
        };
        rewrite::rewrite(document, &context).map_err(failed)
    }

    async fn subnets(&self, keys: &[String]) -> Result<BTreeMap<String, String>, Failure> {
        let taken = self.house.ports.watch.subnets().await?;
        let pool = &self.settings.subnets;
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

fn container_names(rendered: &Value) -> BTreeMap<String, String> {
    let named = |(name, service): (&String, &Value)| {
        Some((name.clone(), service.get("container_name")?.as_str()?.to_owned()))
    };
    rewrite::services_of(rendered).filter_map(named).collect()
}

fn completing(rendered: &Value) -> Vec<String> {
    rewrite::services_of(rendered)
        .map(|(name, _)| name.clone())
        .filter(|name| rewrite::may_complete(rendered, name))
        .collect()
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
