//! Gitea and Forgejo: API v1. <https://docs.gitea.com/api/>, <https://forgejo.org/docs/latest/user/api-usage/>

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Call, Client, part, path};
use super::comments::{self, Comments};
use super::statuses;
use crate::domain::report::{CommentReport, Marker, StatusReport};
use crate::ports::{ForgeApi, ForgeResult};

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
        let (path, body) = statuses::as_github(report);
        self.ask(Method::POST, &path, Some(&body)).await?.taken(STATUSES).map(drop)
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
impl Comments for Gitea {
    fn needs(&self) -> &'static str {
        COMMENTS
    }

    /// All of them come on the first one.
    async fn page(&self, pull: u64, page: usize) -> ForgeResult<Value> {
        if page > 1 {
            return Ok(json!([]));
        }
        let path = format!("/issues/{pull}/comments");
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
