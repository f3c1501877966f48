//! Gitea and Forgejo: API v1. <https://docs.gitea.com/api/>, <https://forgejo.org/docs/latest/user/api-usage/>

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Call, Client, part, path};
use super::comments::{find, id, in_html};
use crate::domain::report::{CONTEXT, CommentReport, DeploymentReport, Marker, StatusReport, StatusState};
use crate::ports::{ForgeApi, ForgeError, ForgeResult};

const STATUSES: &str = "the scope `write:repository`, and to be of somebody who may write to it";
const COMMENTS: &str = "the scope `write:issue`, and to be of somebody who sees the repository";

/// A project at Gitea or Forgejo.
pub(super) struct Gitea {
    client: Client,
    account: String,
    project: String,
    token: String,
}

impl Gitea {
    pub(super) fn new(client: Client, project: &str, token: String) -> Self {
        let account = format!("{}/{project}", client.authority());
        Self { client, account, project: format!("/repos/{}", path(project)), token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> ForgeResult<Answer> {
        let path = format!("{}{path}", self.project);
        let headers = vec![("authorization", format!("token {}", self.token))];
        self.client.call(Call { method, path, headers, body }).await
    }
}

#[async_trait]
impl ForgeApi for Gitea {
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
        _report: &DeploymentReport,
        _known: Option<&str>,
    ) -> ForgeResult<Option<String>> {
        Ok(None)
    }

    async fn set_comment(
        &self,
        report: &CommentReport,
        marker: &Marker,
        known: Option<&str>,
    ) -> ForgeResult<String> {
        let body = json!({ "body": in_html(report, marker) });
        let comments = format!("/issues/{}/comments", report.pull);
        let there = match known {
            Some(id) => Some(id.to_owned()),
            // All of them come on one page.
            None => {
                let list = self.ask(Method::GET, &comments, None).await?.taken(COMMENTS)?.body;
                find(&list, marker, |comment| &comment["body"])
            }
        };
        let Some(known) = there else {
            let made = self.ask(Method::POST, &comments, Some(&body)).await?.taken(COMMENTS)?;
            let nameless = || ForgeError::Passing("the forge made a comment without an id".to_owned());
            return id(&made.body).ok_or_else(nameless);
        };
        let path = format!("/issues/comments/{}", part(&known));
        let answer = self.ask(Method::PATCH, &path, Some(&body)).await?;
        if answer.is_gone() {
            return Err(ForgeError::Gone);
        }
        answer.taken(COMMENTS)?;
        Ok(known)
    }
}
