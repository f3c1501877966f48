//! GitHub, and GitHub Enterprise Server: REST API 2022-11-28.
//! <https://docs.github.com/en/rest/commits/statuses>, `/deployments`, `/issues/comments`

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Answer, Call, Client, part, path};
use super::comments::{self, Comments, PER_PAGE, id, made};
use super::github_app::{GitHubApp, headers};
use super::statuses;
use crate::domain::report::{CommentReport, DeploymentReport, Marker, Rollout, StatusReport};
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
        let answer = self.try_to_ask(method.clone(), path, body).await?;
        match &self.login {
            // Its token may have been taken back before its time.
            Login::App(app) if answer.status == StatusCode::UNAUTHORIZED => {
                app.forget().await;
                self.try_to_ask(method, path, body).await
            }
            Login::App(_) | Login::Token(_) => Ok(answer),
        }
    }

    async fn try_to_ask(&self, method: Method, path: &str, body: Option<&Value>) -> ForgeResult<Answer> {
        let path = format!("{}{path}", self.project);
        let token = match &self.login {
            Login::Token(token) => token.clone(),
            Login::App(app) => app.token(&self.client, &self.project).await?,
        };
        let headers = headers(&format!("Bearer {token}"));
        self.client.call(Call { method, path, headers, body }).await
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
}

#[async_trait]
impl ForgeApi for GitHub {
    fn account(&self) -> &str {
        &self.account
    }

    async fn set_status(&self, report: &StatusReport) -> ForgeResult<()> {
        let (path, body) = statuses::as_github(report);
        self.ask(Method::POST, &path, Some(&body)).await?.taken(STATUSES).map(drop)
    }

    fn has_deployments(&self) -> bool {
        true
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
        comments::set(self, report, marker, known).await
    }
}

#[async_trait]
impl Comments for GitHub {
    fn needs(&self) -> &'static str {
        COMMENTS
    }

    async fn page(&self, pull: u64, page: usize) -> ForgeResult<Value> {
        let path = format!("/issues/{pull}/comments?per_page={PER_PAGE}&page={page}");
        Ok(self.ask(Method::GET, &path, None).await?.taken(COMMENTS)?.body)
    }

    async fn make(&self, pull: u64, text: &str) -> ForgeResult<Answer> {
        let path = format!("/issues/{pull}/comments");
        self.ask(Method::POST, &path, Some(&json!({ "body": text }))).await
    }

    async fn edit(&self, _pull: u64, id: &str, text: &str) -> ForgeResult<Answer> {
        let path = format!("/issues/comments/{}", part(id));
        self.ask(Method::PATCH, &path, Some(&json!({ "body": text }))).await
    }
}
