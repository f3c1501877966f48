//! Bitbucket Cloud: API 2.0. <https://developer.atlassian.com/cloud/bitbucket/rest/>

use async_trait::async_trait;
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Call, Client, part, path};
use super::comments::{PAGES, PER_PAGE, find, id, in_reference};
use crate::domain::report::{CONTEXT, CommentReport, DeploymentReport, Marker, StatusReport, StatusState};
use crate::ports::{ForgeApi, ForgeError, ForgeResult};

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

    async fn find_comment(&self, pull: u64, marker: &Marker) -> ForgeResult<Option<String>> {
        for page in 1..=PAGES {
            let path = format!("/pullrequests/{pull}/comments?pagelen={PER_PAGE}&page={page}");
            let list = self.ask(Method::GET, &path, None).await?.taken(COMMENTS)?.body;
            let found = find(&list["values"], marker, |comment| {
                let is_deleted = comment["deleted"] == true;
                if is_deleted { &Value::Null } else { &comment["content"]["raw"] }
            });
            // The address of the next page is not followed: it could lead elsewhere.
            if found.is_some() || list["next"].is_null() {
                return Ok(found);
            }
        }
        Ok(None)
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
        let body = json!({ "content": { "raw": in_reference(report, marker) } });
        let there = match known {
            Some(id) => Some(id.to_owned()),
            None => self.find_comment(report.pull, marker).await?,
        };
        let comments = format!("/pullrequests/{}/comments", report.pull);
        let Some(known) = there else {
            let made = self.ask(Method::POST, &comments, Some(&body)).await?.taken(COMMENTS)?;
            let nameless = || ForgeError::Passing("the forge made a comment without an id".to_owned());
            return id(&made.body).ok_or_else(nameless);
        };
        let answer = self.ask(Method::PUT, &format!("{comments}/{}", part(&known)), Some(&body)).await?;
        if answer.is_gone() {
            return Err(ForgeError::Gone);
        }
        answer.taken(COMMENTS)?;
        Ok(known)
    }
}
