//! From a branch to an accepted compose document: fetch, tree, render, policy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::environment::Phase;
use crate::domain::names::CommitSha;
use crate::domain::policy::{self, Action};
use crate::domain::rewrite;
use crate::ports::{RenderRequest, Rendered};

use super::failure::Failure;
use super::house::Repository;
use super::run::Run;

/// What a run knows of its commit before anything is built.
pub(super) struct Prepared {
    /// The branch's own.
    pub(super) commit: CommitSha,
    /// Whose files are in the checkout: the branch's own, or that merged into its target.
    pub(super) subject: CommitSha,
    pub(super) checkout: PathBuf,
    /// As Compose resolved it, less the services of profiles that are not started.
    pub(super) rendered: Value,
    /// Accepted, and without the keys that are dropped.
    pub(super) document: Value,
}

impl Run<'_> {
    pub(super) fn repository(&self) -> Result<Arc<Repository>, Failure> {
        let repo = &self.environment.repo;
        self.settings
            .repositories
            .get(repo)
            .cloned()
            .ok_or_else(|| Failure::Failed(format!("{repo} is not in the configuration any more ([[repo]])")))
    }

    /// `None`: the remote has nothing new, or no such branch; what there was to do is done.
    pub(super) async fn prepare(&self) -> Result<Option<Prepared>, Failure> {
        let repository = self.repository()?;
        let phase = if self.environment.serving { Phase::Updating } else { Phase::Preparing };
        let environment = self.enter(phase).await?;
        if !environment.serving {
            self.board.refresh(&environment).await;
        }
        let Some(commit) = self.fetch(&repository).await? else { return Ok(None) };
        self.failpoint("fetched");
        let subject = self.subject(&repository, &commit).await?;
        let workspace = &self.house.ports.workspace;
        let checkout = workspace.fresh_checkout(environment.id).await?;
        let limits = self.settings.limits.checkout;
        let notes = self.house.ports.git.write_tree(&environment.repo, &subject, &checkout, limits).await?;
        notes.told().into_iter().for_each(|note| self.say(format!("note: {note}")));
        self.failpoint("checkout_written");
        let (rendered, ()) = tokio::try_join!(
            self.render(&repository, &commit, checkout.clone()),
            self.note_own_commit(&repository, &commit)
        )?;
        self.failpoint("rendered");
        let selected = |document: &Value| {
            rewrite::select(document, &repository.profiles)
                .map_err(|error| Failure::Failed(error.to_string()))
        };
        let document = selected(&self.accept(&repository, &rendered)?)?;
        self.check_secrets(&document).await?;
        let rendered = selected(&rendered.document)?;
        Ok(Some(Prepared { commit, subject, checkout, rendered, document }))
    }

    /// Where the branch is at the remote now: that is what is deployed, whatever the event said. What came out of an
    /// archive is at the archive's commit, which the mirror keeps.
    async fn fetch(&self, repository: &Repository) -> Result<Option<CommitSha>, Failure> {
        if !self.environment.follows_branch()
            && let Some(commit) = &self.environment.commit
        {
            self.check_restored(commit).await?;
            self.say(format!("{} is restored at {commit}", self.environment.branch));
            return Ok(Some(commit.clone()));
        }
        if self.environment.branch.pull_number().is_some() {
            return self.fetch_approved(repository).await.map(Some);
        }
        let Some(tip) = self.house.fetch(repository, &self.environment.branch).await? else {
            return self.vanish().await.map(|()| None);
        };
        if self.is_unmoved(&tip).await? {
            return self.stay(&tip).await.map(|()| None);
        }
        if self.passes_over(repository, &tip).await? {
            return Ok(None);
        }
        self.house.store.arrived(self.environment.id, &tip).await?;
        self.say(format!("{} is at {tip}", self.environment.branch));
        Ok(Some(tip))
    }

    /// Remembers that the branch was ahead of main once: only then can it be merged later.
    async fn note_own_commit(&self, repository: &Repository, tip: &CommitSha) -> Result<(), Failure> {
        let environment = &self.environment;
        // A fork's end is the forge's to tell.
        let is_fork = environment.branch.pull_number().is_some();
        if environment.had_own_commit || is_fork || !environment.follows_branch() {
            return Ok(());
        }
        let git = &self.house.ports.git;
        let Some(main) = self.house.fetch(repository, &repository.main).await? else { return Ok(()) };
        if git.is_own_commit(&self.environment.repo, tip, &main).await? {
            self.house.store.mark_own_commit(self.environment.id).await?;
        }
        Ok(())
    }

    async fn render(
        &self,
        repository: &Repository,
        commit: &CommitSha,
        checkout: PathBuf,
    ) -> Result<Rendered, Failure> {
        let stacks = &self.house.ports.stacks;
        let mut files = repository.files.clone();
        if let Some(starter) = &repository.starter {
            files = stacks.starter(starter, &checkout)?;
        }
        let services = stacks.services(&checkout, &files)?;
        let mut variables = repository.variables.clone();
        variables.extend(self.render_variables(&services, commit));
        let request = RenderRequest { checkout, project: self.environment.project.clone(), files, variables };
        let rendered = stacks.render(&request).await?;
        match self.corrected_variables(repository, &request.variables, &rendered.document) {
            None => Ok(rendered),
            Some(variables) => Ok(stacks.render(&RenderRequest { variables, ..request }).await?),
        }
    }

    /// Addresses of services are guessed from their names before Compose has resolved labels and ports.
    fn corrected_variables(
        &self,
        repository: &Repository,
        given: &BTreeMap<String, String>,
        document: &Value,
    ) -> Option<BTreeMap<String, String>> {
        let selected = rewrite::select(document, &repository.profiles).ok()?;
        let discovered = rewrite::discover(&selected, &BTreeMap::new()).ok()?;
        rewrite::corrected(given, &self.container_variables(&discovered), document)
    }

    fn accept(&self, repository: &Repository, rendered: &Rendered) -> Result<Value, Failure> {
        let verdict = policy::judge(&rendered.document, &rendered.facts, &repository.permissions)
            .with_scan(&rendered.remarks, &rendered.sources);
        for finding in &verdict.findings {
            self.say(format!("policy: {finding}"));
        }
        if verdict.is_accepted() {
            return Ok(policy::neutralised(&rendered.document, &verdict));
        }
        let refused: Vec<String> = verdict
            .findings
            .iter()
            .filter(|finding| finding.action == Action::Reject)
            .map(ToString::to_string)
            .collect();
        Err(Failure::Blocked(format!("policy: {}", refused.join("\n"))))
    }
}
