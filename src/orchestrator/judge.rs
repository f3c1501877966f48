//! Asks git what became of the branches: moved, merged, gone. One judgement per repository at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::environment::{Ending, Environment, Outcome};
use crate::domain::event::{Event, EventId, EventKind, EventSource, EventState, NewEvent};
use crate::domain::names::{BranchName, CommitSha, EnvironmentId, RepoName};
use crate::domain::poll;
use crate::domain::pull_request::{self, PullRequest, PullState};
use crate::store::StoreError;

use super::Orchestrator;
use super::failure::Failure;
use super::house::Repository;

/// Which judgements run.
#[derive(Default)]
pub(super) struct Judges {
    locks: Mutex<BTreeMap<RepoName, Arc<tokio::sync::Mutex<()>>>>,
    running: Mutex<BTreeSet<EventId>>,
}

impl Judges {
    fn lock(&self, repo: &RepoName) -> Arc<tokio::sync::Mutex<()>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(repo.clone()).or_default().clone()
    }

    fn begin(&self, id: EventId) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn end(&self, id: EventId) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// What is known at the remote when a repository is judged.
struct Refs {
    tips: BTreeMap<BranchName, CommitSha>,
    /// None where the remote has no such branch: then nothing is merged.
    main: Option<CommitSha>,
    /// What the forge told, by branch.
    pulls: BTreeMap<BranchName, Vec<PullRequest>>,
}

impl Refs {
    fn pulls_of(&self, branch: &BranchName) -> &[PullRequest] {
        self.pulls.get(branch).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Orchestrator {
    /// Judges in the background; the event stays pending until that is done, so a crash repeats it.
    pub(super) fn spawn_judge(&self, event: Event) {
        // One that is away is asked by the poller alone, and what waits is taken up again when it answers.
        let is_away = self.house.remotes.is_away(&event.repo).is_some();
        if is_away || self.house.supervisor.is_ending() || !self.judges.begin(event.id) {
            return;
        }
        let this = self.clone();
        self.house.supervisor.spawn("judge", async move {
            let lock = this.judges.lock(&event.repo);
            let one_at_a_time = lock.lock().await;
            let result = this.judge(&event).await;
            drop(one_at_a_time);
            let settled = match result {
                Ok(()) => this.house.settle_event(&event, EventState::Done, None).await,
                // Stays pending: the timer comes back to it.
                Err(Failure::Transient(reason)) => {
                    tracing::warn!(repo = %event.repo, reason, "git cannot be asked now, it will be asked again");
                    Ok(())
                }
                Err(failure) => {
                    let reason = failure.to_string();
                    tracing::warn!(repo = %event.repo, reason, "git cannot be asked");
                    this.house.settle_event(&event, EventState::Failed, Some(&reason)).await
                }
            };
            if let Err(error) = settled {
                tracing::error!(%error, event.id = event.id.0, "the event could not be settled");
            }
            this.judges.end(event.id);
        });
    }

    async fn judge(&self, event: &Event) -> Result<(), Failure> {
        let settings = self.house.settings();
        let Some(repository) = settings.repositories.get(&event.repo) else { return Ok(()) };
        // Before the remote is asked: what is made while it answers may be of a branch that it did not have yet.
        let known = self.house.store.environments(false).await?;
        let known: BTreeSet<EnvironmentId> = known.into_iter().map(|environment| environment.id).collect();
        let tips = self.house.branches(repository).await?;
        let main = match tips.get(&repository.main) {
            Some(_) => self.house.fetch(repository, &repository.main).await?,
            None => None,
        };
        let refs = Refs { tips, main, pulls: self.house.store.pulls(&event.repo).await? };
        let mut unclear = None;
        for environment in self.house.store.environments(false).await? {
            let is_known = known.contains(&environment.id);
            if environment.repo != event.repo || !is_known || !poll::is_judged(&environment) {
                continue;
            }
            let judged = match environment.branch.pull_number() {
                Some(_) => self.judge_fork(repository, &refs, &environment).await,
                None => self.judge_environment(event, repository, &refs, environment).await,
            };
            match judged {
                // The others are not held up by it.
                Err(Failure::Failed(reason)) => unclear = Some(reason),
                judged => judged?,
            }
        }
        if matches!(event.kind, EventKind::Look) {
            self.take_in(event, repository, &refs).await?;
        }
        if let Some(main) = &refs.main {
            self.house.remotes.set_judged_main(&event.repo, main);
        }
        unclear.map_or(Ok(()), |reason| Err(Failure::Failed(reason)))
    }

    async fn judge_environment(
        &self,
        event: &Event,
        repository: &Repository,
        refs: &Refs,
        environment: Environment,
    ) -> Result<(), Failure> {
        let at_remote = refs.tips.get(&environment.branch);
        if let (Some(tip), Some(known)) = (at_remote, &environment.commit)
            && poll::has_moved(&environment, tip)
            && repository.wants(&environment.branch, refs.pulls_of(&environment.branch)).is_ok()
            && !self.is_known(&environment.repo, &environment.branch, tip, Some(&environment)).await?
        {
            // A push that was missed, or one whose event comes behind this one: either way it says more.
            return self.tell_moved(event.source, &environment, known, tip).await;
        }
        let pulls = refs.pulls_of(&environment.branch);
        let merged = match &environment.commit {
            Some(tip) => {
                self.was_merged(repository, pulls, &environment, tip).await?
                    || self.is_merged(event, repository, refs, &environment, tip).await?
            }
            None => false,
        };
        let outcome = match (at_remote, merged) {
            (_, true) => Some(Outcome::Merged),
            (None, false) => Some(Outcome::Deleted),
            (Some(_), false) if lost_its_pull_request(repository, pulls, &environment) => {
                Some(Outcome::Expired)
            }
            (Some(_), false) => None,
        };
        self.end_as(repository, outcome, &environment).await
    }

    /// A fork's branch is its owner's: only the forge says what becomes of it here.
    async fn judge_fork(
        &self,
        repository: &Repository,
        refs: &Refs,
        environment: &Environment,
    ) -> Result<(), Failure> {
        let pulls = refs.pulls_of(&environment.branch);
        let outcome = match repository.wants(&environment.branch, pulls) {
            _ if pulls.iter().any(|pull| pull.state == PullState::Merged) => Some(Outcome::Merged),
            Ok(()) => None,
            Err(_) if environment.pinned => None,
            Err(_) => Some(Outcome::Expired),
        };
        self.end_as(repository, outcome, environment).await
    }

    /// Says when it ends and as what, or that it does not.
    async fn end_as(
        &self,
        repository: &Repository,
        outcome: Option<Outcome>,
        environment: &Environment,
    ) -> Result<(), Failure> {
        match (outcome, environment.ending) {
            (Some(outcome), None) => self.schedule_end(repository, environment, outcome).await?,
            // A branch that a forge deletes after its merge is seen as deleted first, now and then.
            (Some(outcome), Some(ending)) if outcome != ending.outcome => {
                let ending = Ending { outcome, ..ending };
                self.house
                    .store
                    .set_ending(environment.id, Some(ending), self.house.ports.clock.now())
                    .await?;
            }
            // The branch was deleted by mistake and is back, or main was set back.
            (None, Some(_)) => {
                self.house.store.set_ending(environment.id, None, self.house.ports.clock.now()).await?;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        Ok(())
    }

    /// The forge merged this very commit, by whatever way that leaves no trace in git: another target, a squash that was
    /// changed by hand.
    async fn was_merged(
        &self,
        repository: &Repository,
        pulls: &[PullRequest],
        environment: &Environment,
        tip: &CommitSha,
    ) -> Result<bool, Failure> {
        let is_told = environment.branch != repository.main && pull_request::is_merged(pulls, tip);
        Ok(is_told && !self.keeps(repository, environment).await?)
    }

    async fn is_merged(
        &self,
        event: &Event,
        repository: &Repository,
        refs: &Refs,
        environment: &Environment,
        tip: &CommitSha,
    ) -> Result<bool, Failure> {
        let git = &self.house.ports.git;
        let repo = &environment.repo;
        let Some(main) = &refs.main else { return Ok(false) };
        let mut had_own_commit = environment.had_own_commit;
        if !had_own_commit {
            let judged = self.house.remotes.judged_main(repo);
            had_own_commit = match former_main(event, repository, environment) {
                Some(claimed) if judged.as_ref() != Some(main) => {
                    git.is_own_commit(repo, tip, judged.as_ref().unwrap_or(claimed)).await.unwrap_or(false)
                }
                Some(_) | None => git.is_own_commit(repo, tip, main).await?,
            };
            if had_own_commit {
                self.house.store.mark_own_commit(environment.id).await?;
            }
        }
        if !had_own_commit || self.keeps(repository, environment).await? {
            return Ok(false);
        }
        Ok(git.is_merged(repo, tip, main).await?)
    }

    /// Whether the environment outlives its merge.
    async fn keeps(&self, repository: &Repository, environment: &Environment) -> Result<bool, StoreError> {
        let branch = &environment.branch;
        let own = self.house.store.stack_settings(environment.id).await?.keep;
        Ok(own.map_or_else(|| repository.branches.keeps(branch), |globs| globs.matches(branch)))
    }

    async fn schedule_end(
        &self,
        repository: &Repository,
        environment: &Environment,
        outcome: Outcome,
    ) -> Result<(), Failure> {
        let now = self.house.ports.clock.now();
        let own = self.house.store.stack_settings(environment.id).await?.merge_grace;
        let grace = own.unwrap_or(repository.merge_grace);
        let ending = Ending { outcome, due_at: now.plus(grace) };
        tracing::info!(
            environment.slug = %environment.slug,
            repo = %environment.repo,
            outcome = outcome.word(),
            due_at = %ending.due_at,
            "the environment will end"
        );
        self.house.store.set_ending(environment.id, Some(ending), now).await?;
        if grace.is_zero() {
            self.submit_due(environment).await?;
        }
        Ok(())
    }

    async fn tell_moved(
        &self,
        source: EventSource,
        environment: &Environment,
        before: &CommitSha,
        commit: &CommitSha,
    ) -> Result<(), Failure> {
        let source = if source == EventSource::Poll { source } else { EventSource::Timer };
        let kind = EventKind::BranchPushed {
            branch: environment.branch.clone(),
            before: before.clone(),
            commit: commit.clone(),
        };
        self.tell(&environment.repo, source, kind).await
    }

    /// Branches that are there and have no environment are taken in as if pushed, where that is news.
    async fn take_in(&self, event: &Event, repository: &Repository, refs: &Refs) -> Result<(), Failure> {
        let store = &self.house.store;
        let live = store.environments(false).await?;
        let mut live: BTreeSet<BranchName> =
            live.into_iter().filter(|it| it.repo == event.repo).map(|it| it.branch).collect();
        let ended = store.last_lives(&event.repo).await?;
        for (branch, tip) in &refs.tips {
            if live.remove(branch)
                || repository.wants(branch, refs.pulls_of(branch)).is_err()
                || !poll::is_new(tip, ended.get(branch))
                || self.is_known(&event.repo, branch, tip, None).await?
            {
                continue;
            }
            let kind = EventKind::BranchCreated { branch: branch.clone(), commit: Some(tip.clone()) };
            self.tell(&event.repo, event.source, kind).await?;
        }
        Ok(())
    }

    /// A tip that differs from what is known, and is none the less no news: the environment's run is about to ask the
    /// remote itself, or it is passed over.
    pub(super) async fn is_known(
        &self,
        repo: &RepoName,
        branch: &BranchName,
        tip: &CommitSha,
        environment: Option<&Environment>,
    ) -> Result<bool, StoreError> {
        if let Some(environment) = environment.filter(|environment| environment.has_work())
            && self.house.store.former_commit(environment.id).await?.is_some()
        {
            return Ok(true);
        }
        if self.house.store.passed_over(repo, branch).await?.as_ref() == Some(tip) {
            return Ok(true);
        }
        self.was_skipped(repo, branch, tip).await
    }

    /// The pusher asked for nothing to follow from this tip; a later look does not know better.
    async fn was_skipped(
        &self,
        repo: &RepoName,
        branch: &BranchName,
        tip: &CommitSha,
    ) -> Result<bool, StoreError> {
        let events = self.house.recent_events(repo, branch).await?;
        Ok(events
            .iter()
            .find(|event| event.kind.commit().as_ref() == Some(tip))
            .is_some_and(|event| event.skip))
    }

    pub(super) async fn submit_due(&self, environment: &Environment) -> Result<(), StoreError> {
        let kind = EventKind::EndDue { branch: environment.branch.clone() };
        let event = NewEvent {
            source: EventSource::Timer,
            repo: environment.repo.clone(),
            kind,
            delivery_id: None,
            skip: false,
        };
        Box::pin(self.submit(None, &[event])).await.map(|_| ())
    }

    async fn tell(&self, repo: &RepoName, source: EventSource, kind: EventKind) -> Result<(), Failure> {
        let event = NewEvent { source, repo: repo.clone(), kind, delivery_id: None, skip: false };
        Box::pin(self.submit(None, &[event])).await?;
        Ok(())
    }
}

/// Only those with a pull request of some kind have an environment, and it has none any more. One that no delivery told of may
/// be open all the same.
fn lost_its_pull_request(repository: &Repository, pulls: &[PullRequest], environment: &Environment) -> bool {
    !environment.pinned && !pulls.is_empty() && repository.pulls.wants(&environment.branch, pulls).is_err()
}

/// Where main was before the move that is judged, as its delivery claims: a fast-forward leaves no other trace that the
/// branch was ahead. Only for environments that were there before that move, and whose own run has not seen main yet.
fn former_main<'a>(
    event: &'a Event,
    repository: &Repository,
    environment: &Environment,
) -> Option<&'a CommitSha> {
    let EventKind::BranchPushed { branch, before, .. } = &event.kind else { return None };
    let moved = *branch == repository.main && !before.is_zero();
    let is_unseen = environment.running_commit != environment.commit;
    (moved && is_unseen && environment.created_at < event.received_at).then_some(before)
}
