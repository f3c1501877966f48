//! GitHub, and GitHub Enterprise Server: REST API 2022-11-28.
//! <https://docs.github.com/en/rest/commits/statuses>, `/deployments`, `/issues/comments`

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Call, Client, part, path};
use super::comments::{PAGES, PER_PAGE, count, find, id, in_html};
use super::github_app::{GitHubApp, headers};
use crate::domain::report::{
    CONTEXT, CommentReport, DeploymentReport, Marker, Rollout, StatusReport, StatusState,
};
use crate::ports::{ForgeApi, ForgeError, ForgeResult};

const STATUSES: &str = "`Commit statuses: read and write`";
const DEPLOYMENTS: &str = "`Deployments: read and write`";
const COMMENTS: &str = "`Pull requests: read and write`";

/// A project at GitHub.
pub(super) struct GitHub {
    client: Client,
    account: String,
    project: String,
    login: Login,
}

/// As whom drey speaks.
pub(super) enum Login {
    Token(String),
    App(Box<GitHubApp>),
}

impl GitHub {
    pub(super) fn new(client: Client, project: &str, login: Login) -> Self {
        let account = format!("{}/{project}", client.authority());
        Self { client, account, project: format!("/repos/{}", path(project)), login }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> ForgeResult<Answer> {
        let path = format!("{}{path}", self.project);
        let token = match &self.login {
            Login::Token(token) => token.clone(),
            Login::App(app) => app.token(&self.client, &self.project).await?,
        };
        let answer = self
            .client
            .call(Call { method, path, headers: headers(&format!("Bearer {token}")), body })
            .await?;
        if let Login::App(app) = &self.login
            && answer.status == http::StatusCode::UNAUTHORIZED
        {
            app.forget().await;
        }
        Ok(answer)
    }

    async fn find_deployment(&self, report: &DeploymentReport) -> ForgeResult<Option<String>> {
        let (sha, environment) = (&report.commit, part(&report.environment));
        let path = format!("/deployments?sha={sha}&environment={environment}&per_page=1");
        let found = self.ask(Method::GET, &path, None).await?.taken(DEPLOYMENTS)?;
        Ok(id(&found.body[0]))
    }

    async fn make_deployment(&self, report: &DeploymentReport) -> ForgeResult<String> {
        let body = json!({
            "ref": report.commit, "environment": report.environment, "description": report.description,
            "auto_merge": false, "required_contexts": [],
            "transient_environment": true, "production_environment": false,
        });
        made(&self.ask(Method::POST, "/deployments", Some(&body)).await?.taken(DEPLOYMENTS)?)
    }

    async fn find_comment(&self, pull: u64, marker: &Marker) -> ForgeResult<Option<String>> {
        for page in 1..=PAGES {
            let path = format!("/issues/{pull}/comments?per_page={PER_PAGE}&page={page}");
            let list = self.ask(Method::GET, &path, None).await?.taken(COMMENTS)?.body;
            let found = find(&list, marker, |comment| &comment["body"]);
            if found.is_some() || count(&list) < PER_PAGE {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl ForgeApi for GitHub {
    fn account(&self) -> &str {
        &self.account
    }

    async fn set_status(&self, report: &StatusReport) -> ForgeResult<()> {
        let state = match report.state {
            StatusState::Pending | StatusState::Running => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
            StatusState::Cancelled => "error",
        };
        let body = json!({
            "state": state, "context": CONTEXT, "description": report.description, "target_url": report.url,
        });
        let path = format!("/statuses/{}", report.commit);
        self.ask(Method::POST, &path, Some(&body)).await?.taken(STATUSES).map(drop)
    }

    async fn set_deployment(
        &self,
        report: &DeploymentReport,
        known: Option<&str>,
    ) -> ForgeResult<Option<String>> {
        let there = match known {
            Some(id) => Some(id.to_owned()),
            None => self.find_deployment(report).await?,
        };
        let id = match there {
            Some(id) => id,
            None if report.state == Rollout::Inactive => return Ok(None),
            None => self.make_deployment(report).await?,
        };
        let state = match report.state {
            Rollout::InProgress => "in_progress",
            Rollout::Success => "success",
            Rollout::Failure => "failure",
            Rollout::Inactive => "inactive",
        };
        let body = json!({
            "state": state, "description": report.description,
            "environment_url": report.url, "log_url": report.url, "auto_inactive": false,
        });
        let path = format!("/deployments/{}/statuses", part(&id));
        let answer = self.ask(Method::POST, &path, Some(&body)).await?;
        if known.is_some() && answer.is_gone() {
            return Err(ForgeError::Gone);
        }
        answer.taken(DEPLOYMENTS)?;
        Ok(Some(id))
    }

    async fn set_comment(
        &self,
        report: &CommentReport,
        marker: &Marker,
        known: Option<&str>,
    ) -> ForgeResult<String> {
        let body = json!({ "body": in_html(report, marker) });
        let there = match known {
            Some(id) => Some(id.to_owned()),
            None => self.find_comment(report.pull, marker).await?,
        };
        let Some(id) = there else {
            let path = format!("/issues/{}/comments", report.pull);
            return made(&self.ask(Method::POST, &path, Some(&body)).await?.taken(COMMENTS)?);
        };
        let answer = self.ask(Method::PATCH, &format!("/issues/comments/{}", part(&id)), Some(&body)).await?;
        if answer.is_gone() {
            return Err(ForgeError::Gone);
        }
        answer.taken(COMMENTS)?;
        Ok(id)
    }
}

fn made(answer: &Answer) -> ForgeResult<String> {
    id(&answer.body).ok_or_else(|| ForgeError::Passing("the forge made something without an id".to_owned()))
}
