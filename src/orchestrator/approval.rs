//! The code of forks: nothing of it is fetched, built or run before somebody let exactly this commit.

use crate::domain::approval::{Approval, Held};
use crate::domain::environment::Environment;
use crate::domain::event::{EventKind, EventSource, NewEvent};
use crate::domain::names::CommitSha;
use crate::domain::pull_request::PullRequest;
use crate::store::StoreError;

use super::Orchestrator;
use super::failure::Failure;
use super::house::{House, Repository};
use super::run::Run;
use super::submitted::Submitted;

/// Why a commit is not approved. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalRefused {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Orchestrator {
    /// Lets this commit of a fork's pull request run, and deploys it.
    ///
    /// # Errors
    /// When the pull request is elsewhere, or there is none.
    pub async fn approve(
        &self,
        environment: &Environment,
        commit: &CommitSha,
        by: &str,
    ) -> Result<Submitted, ApprovalRefused> {
        let (repo, branch, name) = (&environment.repo, &environment.branch, environment.name());
        if branch.pull_number().is_none() {
            let reason = format!("{name} is a branch of the repository itself: nobody has to approve it");
            return Err(ApprovalRefused::Refused(reason));
        }
        let pull = pull_of(&self.house, environment).await?;
        let pull = pull.ok_or_else(|| ApprovalRefused::Refused(unknown(&name)))?;
        let held = Held { name: &name, pull: &pull, commit: environment.commit.as_ref() };
        held.approvable(commit).map_err(ApprovalRefused::Refused)?;
        let approval =
            Approval { commit: commit.clone(), by: by.to_owned(), at: self.house.ports.clock.now() };
        self.house.store.approve(repo, branch, &approval).await?;
        tracing::info!(environment.slug = %environment.slug, %repo, %branch, %commit, by, "a fork's commit was approved");
        let kind = EventKind::DeployRequested { branch: branch.clone(), rebuild: false, pull: false };
        let event =
            NewEvent { source: EventSource::Cli, repo: repo.clone(), kind, delivery_id: None, skip: false };
        let submitted = self.submit(None, &[event]).await?.into_iter().next();
        submitted.ok_or_else(|| ApprovalRefused::Refused("the event was not taken".to_owned()))
    }
}

impl House {
    /// Its code comes from elsewhere, and nobody let it run: it needs nothing, and takes nobody's place.
    pub(super) async fn is_held(&self, environment: &Environment) -> Result<bool, StoreError> {
        if environment.branch.pull_number().is_none() || !environment.follows_branch() {
            return Ok(false);
        }
        let Some(pull) = pull_of(self, environment).await? else { return Ok(true) };
        let approvals = self.store.approvals(&environment.repo, &environment.branch).await?;
        let name = environment.name();
        let held = Held { name: &name, pull: &pull, commit: environment.commit.as_ref() };
        Ok(!held.may_be_fetched(&approvals))
    }
}

impl Run<'_> {
    /// Fetches the head of a fork's pull request; what is given back is approved.
    ///
    /// # Errors
    /// [`Failure::Blocked`] when it waits for somebody, or cannot be had.
    pub(super) async fn fetch_approved(&self, repository: &Repository) -> Result<CommitSha, Failure> {
        let environment = &self.environment;
        let (store, name) = (&self.house.store, environment.name());
        let Some(pull) = pull_of(self.house, environment).await? else {
            return Err(Failure::Blocked(unknown(&name)));
        };
        let held = Held { name: &name, pull: &pull, commit: environment.commit.as_ref() };
        let place = held.head().zip(pull.forge.pull_reference(pull.number));
        let Some((head, reference)) = place else { return Err(Failure::Blocked(held.unreachable())) };
        let approvals = store.approvals(&environment.repo, &environment.branch).await?;
        if !held.may_be_fetched(&approvals) {
            return Err(Failure::Blocked(held.waits(&head)));
        }
        let fetched = self.house.fetch_pull(repository, &reference, &environment.branch).await?;
        let tip = fetched.ok_or_else(|| Failure::Failed(format!("the remote has no {reference}")))?;
        store.arrived(environment.id, &tip).await?;
        if !held.may_run(&tip, &approvals) {
            return Err(Failure::Blocked(held.waits(&tip)));
        }
        self.say(format!("{} is at {tip}, which is approved", environment.branch));
        Ok(tip)
    }
}

impl Run<'_> {
    /// What comes out of an archive of a fork was approved before it ran; its newest commit may never have been.
    pub(super) async fn check_restored(&self, commit: &CommitSha) -> Result<(), Failure> {
        let environment = &self.environment;
        if environment.branch.pull_number().is_none() {
            return Ok(());
        }
        let approvals = self.house.store.approvals(&environment.repo, &environment.branch).await?;
        if approvals.iter().any(|approval| approval.commit == *commit) {
            return Ok(());
        }
        Err(Failure::Blocked(format!("nobody approved commit {commit} of this fork: it is not restored")))
    }
}

async fn pull_of(house: &House, environment: &Environment) -> Result<Option<PullRequest>, StoreError> {
    let Some(number) = environment.branch.pull_number() else { return Ok(None) };
    let pulls = house.store.pulls_of(&environment.repo, &environment.branch).await?;
    Ok(pulls.into_iter().find(|pull| pull.number == number))
}

fn unknown(name: &str) -> String {
    format!("nothing is known of the pull request of {name}: send its newest delivery again")
}
