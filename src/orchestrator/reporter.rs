//! What the forges should say of each environment, worked out whenever one changes and written down as wishes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::environment::Environment;
use crate::domain::names::{BranchName, EnvironmentId};
use crate::domain::pull_request::{PullRequest, PullState};
use crate::domain::report::{self, PullLine, Report, Reported, ServiceLine, StatusState};
use crate::domain::route::Scheme;
use crate::store::{OutboxRow, StoreError};

use super::Orchestrator;

/// How often every environment is looked at, changed or not: the day of its end comes nearer, its target moves.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Changes that follow each other so fast are looked at together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A wish waits so long for the next one about the same thing.
const COALESCE: Duration = Duration::from_secs(1);
/// An environment that ended longer ago is told no more.
const ENDED_SINCE: Duration = Duration::from_secs(24 * 60 * 60);
/// What has not changed for so long is forgotten, unless an environment that is there shows it.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Orchestrator {
    /// Looks at all of them at the beginning and every so often, and at each that changes.
    pub(super) async fn keep_reports(self) {
        let draining = self.house.supervisor.draining();
        let mut whole = tokio::time::interval(LOOK_EVERY);
        if let Err(error) = self.house.store.outbox_retry(None, self.house.ports.clock.now()).await {
            self.house.room.complain(&error);
        }
        loop {
            let wished = tokio::select! {
                () = draining.cancelled() => return,
                _ = whole.tick() => self.wish_for_all().await,
                changed = self.board.untold() => self.wish_for_each(changed).await,
            };
            if let Err(error) = wished {
                self.house.room.complain(&error);
            }
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(TOGETHER) => {}
            }
        }
    }

    async fn wish_for_all(&self) -> Result<(), StoreError> {
        let settings = self.house.settings();
        let now = self.house.ports.clock.now();
        self.house.store.outbox_prune(now.minus(KEPT_FOR)).await?;
        for repo in settings.repositories.iter().filter(|(_, it)| it.forge.is_some()).map(|(repo, _)| repo) {
            for environment in self.house.store.told_environments(repo, now.minus(ENDED_SINCE)).await? {
                self.wish_for(environment).await?;
            }
        }
        Ok(())
    }

    async fn wish_for_each(&self, changed: BTreeSet<EnvironmentId>) -> Result<(), StoreError> {
        let settings = self.house.settings();
        for id in changed {
            let Some(environment) = self.house.store.environment(id).await? else { continue };
            let has_forge = settings.repositories.get(&environment.repo).is_some_and(|it| it.forge.is_some());
            if !has_forge {
                continue;
            }
            let newest = self.house.store.latest_environment(&environment.repo, &environment.branch).await?;
            if newest.is_some_and(|newest| newest.id == id) {
                self.wish_for(environment).await?;
            }
        }
        Ok(())
    }

    /// Writes down what differs from what was wished for before.
    async fn wish_for(&self, environment: Environment) -> Result<(), StoreError> {
        let now = self.house.ports.clock.now();
        let environment = self.without_secrets(environment);
        let (store, repo, branch) = (&self.house.store, &environment.repo, &environment.branch);
        let rows = store.outbox_of(repo, branch).await?;
        let pulls = store.pulls_of(repo, branch).await?;
        let passed = store.passed_over(repo, branch).await?;
        let reported = Reported {
            environment: &environment,
            url: &self.url(&environment),
            services: &self.services(&environment).await?,
            rules: self.rest_rules(&environment).await?,
            before: told_of(&environment, &rows),
            is_passed_over: passed.is_some() && passed == environment.commit,
            pull_is_closed: !pulls.is_empty() && pulls.iter().all(|pull| pull.state != PullState::Open),
        };
        let wishes = self.wishes(&reported, pulls, &rows).await;
        let is_wished = |wish: &Report| rows.iter().any(|row| row.wanted == *wish);
        let is_known = |wish: &Report| rows.iter().any(|row| is_of(row, wish));
        let is_over = environment.phase.is_over();
        // Of one that is over only what was told before gets its last word.
        let mut fresh: Vec<Report> = wishes.iter().filter(|it| !is_wished(it)).cloned().collect();
        fresh.retain(|wish| !is_over || is_known(wish));
        fresh.extend(self.last_words(&reported, &rows).await?);
        if !fresh.is_empty() {
            store.wish((repo, branch), &fresh, now, now.plus(COALESCE)).await?;
        }
        Ok(())
    }

    /// Of what is history.
    async fn last_words(
        &self,
        reported: &Reported<'_>,
        rows: &[OutboxRow],
    ) -> Result<Vec<Report>, StoreError> {
        let mut words = Vec::new();
        for row in rows {
            match report::last_word(reported, &row.wanted) {
                Some(word) if !self.house.store.outbox_forget(row.id).await? => words.push(word),
                Some(_) | None => {}
            }
        }
        Ok(words)
    }

    async fn wishes(
        &self,
        reported: &Reported<'_>,
        pulls: Vec<PullRequest>,
        rows: &[OutboxRow],
    ) -> Vec<Report> {
        let settings = self.house.settings();
        let repo = &reported.environment.repo;
        let forge = settings.repositories.get(repo).and_then(|it| it.forge.as_ref());
        let mut wishes = Vec::new();
        wishes.extend(report::status(reported).map(Report::Status));
        if forge.is_some_and(|forge| forge.has_deployments()) {
            wishes.extend(report::deployments(reported).into_iter().map(Report::Deployment));
        }
        for pull in self.lines(reported.environment, pulls, rows).await {
            wishes.push(Report::Comment(report::comment(reported, &pull)));
        }
        wishes.into_iter().map(|wish| self.redacted(wish)).collect()
    }

    fn url(&self, environment: &Environment) -> String {
        let address = &self.house.settings().address;
        address.url(&address.primary_host(&environment.slug))
    }

    async fn services(&self, environment: &Environment) -> Result<Vec<ServiceLine>, StoreError> {
        let address = &self.house.settings().address;
        let down = self.board.down(environment.id);
        let routes = self.house.store.routes(environment.id).await?;
        let line = |stored: crate::store::StoredRoute| ServiceLine {
            is_up: !down.contains(&stored.host),
            // Nothing for a browser.
            url: (stored.route.scheme != Scheme::Tcp).then(|| address.url_of(&stored)),
            name: self.house.ports.redactor.text(&stored.route.service).into_owned(),
        };
        let mut named = BTreeSet::new();
        let first = routes.into_iter().filter(|stored| named.insert(stored.route.service.clone()));
        Ok(first.map(line).collect())
    }

    /// Pull requests that show the environment: those that are open, and those that have a comment already.
    async fn lines(
        &self,
        environment: &Environment,
        pulls: Vec<PullRequest>,
        rows: &[OutboxRow],
    ) -> Vec<PullLine> {
        let has_comment = |number: u64| {
            rows.iter().any(|row| matches!(&row.wanted, Report::Comment(report) if report.pull == number))
        };
        let mut lines = Vec::new();
        for pull in pulls {
            if pull.state == PullState::Open || has_comment(pull.number) {
                let behind = self.behind(environment, &pull.target).await;
                lines.push(PullLine { number: pull.number, target: pull.target, behind });
            }
        }
        lines
    }

    async fn behind(&self, environment: &Environment, target: &BranchName) -> Option<u64> {
        let commit = environment.commit.as_ref().filter(|_| !environment.intent.ends())?;
        match self.house.ports.ancestry.behind(&environment.repo, commit, target).await {
            Ok(behind) => behind,
            Err(error) => {
                tracing::debug!(%error, environment.slug = %environment.slug, "how far it is behind is not known");
                None
            }
        }
    }

    /// Before anything is escaped: afterwards a secret looks different.
    fn without_secrets(&self, mut environment: Environment) -> Environment {
        let redactor = &self.house.ports.redactor;
        environment.reason = environment.reason.map(|reason| redactor.text(&reason).into_owned());
        environment
    }

    fn redacted(&self, wish: Report) -> Report {
        let text = |text: String| self.house.ports.redactor.text(&text).into_owned();
        match wish {
            Report::Status(mut report) => {
                report.description = text(report.description);
                Report::Status(report)
            }
            Report::Deployment(mut report) => {
                report.description = text(report.description);
                Report::Deployment(report)
            }
            Report::Comment(mut report) => {
                report.body = text(report.body);
                Report::Comment(report)
            }
        }
    }
}

/// What the forge is to say of the newest commit up to now.
fn told_of(environment: &Environment, rows: &[OutboxRow]) -> Option<StatusState> {
    rows.iter().find_map(|row| match &row.wanted {
        Report::Status(told) => (Some(&told.commit) == environment.commit.as_ref()).then_some(told.state),
        Report::Deployment(_) | Report::Comment(_) => None,
    })
}

/// Whether both are about the same thing.
fn is_of(row: &OutboxRow, wish: &Report) -> bool {
    row.wanted.kind() == wish.kind() && row.wanted.subject() == wish.subject()
}
