//! Bitbucket Cloud: API 2.0. <https://developer.atlassian.com/cloud/bitbucket/rest/>

use async_trait::async_trait;
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Call, Client, part, path};
use super::comments::{self, Comments, PER_PAGE};
use crate::domain::report::{CONTEXT, CommentReport, Marker, StatusReport, StatusState};
use crate::ports::{ForgeApi, ForgeResult};

const STATUSES: &str = "the scope `repository:write`";
const COMMENTS: &str = "the scope `pullrequest:write`";

/// A repository at Bitbucket Cloud.
pub(super) struct Bitbucket {
    client: Client,
    account: String,
    project: String,
    authorization: String,
}

impl Bitbucket {
    /// With a user the token is one of theirs, without it is an access token.
    pub(super) fn new(client: Client, project: &str, token: &str, user: Option<&str>) -> Self {
        let account = format!("{}/{project}", client.authority());
        let authorization = match user {
            Some(user) => format!("Basic {}", BASE64.encode(format!("{user}:{token}").as_bytes())),
            None => format!("Bearer {token}"),
        };
        Self { client, account, project: format!("/repositories/{}", path(project)), authorization }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> ForgeResult<Answer> {
        let path = format!("{}{path}", self.project);
        let headers = vec![("authorization", self.authorization.clone())];
        self.client.call(Call { method, path, headers, body }).await
    }
}

#[async_trait]
impl ForgeApi for Bitbucket {
    fn account(&self) -> &str {
        &self.account
    }

    async fn set_status(&self, report: &StatusReport) -> ForgeResult<()> {
        let state = match report.state {
            StatusState::Pending | StatusState::Running => "INPROGRESS",
            StatusState::Success => "SUCCESSFUL",
            StatusState::Failure => "FAILED",
            StatusState::Cancelled => "STOPPED",
        };
        let body = json!({
            "key": CONTEXT, "name": CONTEXT, "state": state, "description": report.description, "url": report.url,
        });
        let path = format!("/commit/{}/statuses/build", report.commit);
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
impl Comments for Bitbucket {
    fn needs(&self) -> &'static str {
        COMMENTS
    }

    /// Comments of HTML are shown there: the marker is a link reference that nothing uses.
    fn written(&self, report: &CommentReport, marker: &Marker) -> String {
        format!("{}\n\n[//]: # ({})", report.body, marker.as_str())
    }

    fn text<'a>(&self, comment: &'a Value) -> &'a Value {
        let is_deleted = comment["deleted"] == true;
        if is_deleted { &Value::Null } else { &comment["content"]["raw"] }
    }

    /// By its number: the address of the next page, which the answer names, could lead elsewhere.
    async fn page(&self, pull: u64, page: usize) -> ForgeResult<Value> {
        let path = format!("/pullrequests/{pull}/comments?pagelen={PER_PAGE}&page={page}");
        let mut list = self.ask(Method::GET, &path, None).await?.taken(COMMENTS)?.body;
        Ok(list["values"].take())
    }

    async fn make(&self, pull: u64, text: &str) -> ForgeResult<Answer> {
        let path = format!("/pullrequests/{pull}/comments");
        self.ask(Method::POST, &path, Some(&json!({ "content": { "raw": text } }))).await
    }

    async fn edit(&self, pull: u64, id: &str, text: &str) -> ForgeResult<Answer> {
        let path = format!("/pullrequests/{pull}/comments/{}", part(id));
        self.ask(Method::PUT, &path, Some(&json!({ "content": { "raw": text } }))).await
    }
}
