//! A small forge over real HTTP: five kinds of API, as their documentation has them. What it is asked wrongly it refuses and
//! remembers as a fault.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::{Router, extract::State};
use drey::domain::forge::Forge;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "t0ken-of-the-forge";
/// What an App's installation is given the so-manieth time.
pub(crate) fn installation_token(number: usize) -> String {
    format!("{INSTALLATION_TOKEN}{number}-0f-many")
}
const INSTALLATION_TOKEN: &str = "ghs_";

/// What it does instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// 401
    Unauthorized,
    /// 403 or 429, with the second of the reset.
    Limited(i64),
    /// 403, without a limit.
    Forbidden,
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 422
    Unprocessable,
    /// 500
    Broken,
    /// Never answers.
    Hang,
    /// Does what it is asked, and the answer gets lost.
    Lost,
}

#[derive(Default)]
pub(crate) struct Inside {
    /// Commit → what was said of it, the newest last.
    pub statuses: BTreeMap<String, Vec<Value>>,
    /// Id → as it was made, and what was said of it.
    pub deployments: BTreeMap<u64, (Value, Vec<Value>)>,
    /// Number of the pull request → id and text.
    pub comments: BTreeMap<u64, Vec<(u64, String)>>,
    /// Those of the next requests.
    pub troubles: VecDeque<Option<Trouble>>,
    /// Until it is taken back.
    pub trouble: Option<Trouble>,
    /// Method and path of each request.
    pub asked: Vec<String>,
    /// What it was asked wrongly.
    pub faults: Vec<String>,
    /// Signatures of an App that it saw.
    pub signed: Vec<String>,
    pub at_once: usize,
    pub most_at_once: usize,
    ids: u64,
}

/// One forge. Clones share it.
#[derive(Clone)]
pub(crate) struct FakeForge {
    pub kind: Forge,
    pub api: String,
    inside: Arc<Mutex<Inside>>,
}

type Reply = (u16, Value);

impl FakeForge {
    pub(crate) async fn open(kind: Forge) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let prefix = match kind {
            Forge::Github => "",
            Forge::Gitlab => "/api/v4",
            Forge::Gitea | Forge::Forgejo => "/api/v1",
            Forge::Bitbucket => "/2.0",
        };
        let api = format!("http://{}{prefix}", listener.local_addr().unwrap());
        let forge = Self { kind, api, inside: Arc::default() };
        let router = Router::new().fallback(answer).with_state(forge.clone());
        #[expect(clippy::disallowed_methods, reason = "it lives as long as its test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        forge
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.inside.lock().unwrap())
    }

    /// State, description and address that a commit has now, in the forge's words.
    pub(crate) fn status(&self, commit: &str) -> Option<(String, String, String)> {
        let said = self.with(|inside| inside.statuses.get(commit)?.last().cloned())?;
        let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
        let url = if self.kind == Forge::Bitbucket { "url" } else { "target_url" };
        Some((text("state"), text("description"), text(url)))
    }

    /// Texts of all comments on a pull request.
    pub(crate) fn comments(&self, pull: u64) -> Vec<String> {
        self.with(|inside| {
            inside.comments.get(&pull).into_iter().flatten().map(|(_, text)| text.clone()).collect()
        })
    }

    pub(crate) fn asked(&self) -> usize {
        self.with(|inside| inside.asked.len())
    }

    fn authorized(&self, headers: &HeaderMap) -> bool {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match self.kind {
            Forge::Github => {
                let given = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
                given == TOKEN || given.starts_with(INSTALLATION_TOKEN) || given.matches('.').count() == 2
            }
            Forge::Gitlab => header("private-token") == TOKEN,
            Forge::Gitea | Forge::Forgejo => header("authorization") == format!("token {TOKEN}"),
            Forge::Bitbucket => header("authorization") == format!("Bearer {TOKEN}"),
        }
    }

    /// What every request must have.
    fn complaint(&self, method: &Method, headers: &HeaderMap) -> Option<String> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !header("user-agent").starts_with("drey/") {
            return Some("no user agent".to_owned());
        }
        if self.kind == Forge::Github
            && (header("accept") != "application/vnd.github+json"
                || header("x-github-api-version").is_empty())
        {
            return Some("accept or version of the API is missing".to_owned());
        }
        let has_body =
            method != Method::GET && header("content-length") != "0" && !header("content-length").is_empty();
        (has_body && header("content-type") != "application/json").then(|| "the body is no JSON".to_owned())
    }

    fn reply(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Value) -> Reply {
        if let Some(complaint) = self.complaint(method, headers) {
            self.with(|inside| inside.faults.push(complaint));
        }
        let prefix = match self.kind {
            Forge::Github => "/repos/team/shop/",
            Forge::Gitlab => "/api/v4/projects/team%2Fshop/",
            Forge::Gitea | Forge::Forgejo => "/api/v1/repos/team/shop/",
            Forge::Bitbucket => "/2.0/repositories/team/shop/",
        };
        let path = uri.path().strip_prefix(prefix).unwrap_or(uri.path()).to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let query = uri.query().unwrap_or_default();
        self.with(|inside| match (self.kind, method.as_str(), parts.as_slice()) {
            (Forge::Github, "GET", ["installation"]) => {
                inside.signed.push(headers["authorization"].to_str().unwrap().to_owned());
                (200, json!({"id": 5}))
            }
            (Forge::Github, "POST", ["app", "installations", "5", "access_tokens"]) => {
                let token = installation_token(inside.signed.len());
                (201, json!({"token": token, "expires_at": "2023-11-14T23:13:20Z"}))
            }
            (Forge::Github | Forge::Gitlab | Forge::Gitea | Forge::Forgejo, "POST", ["statuses", sha])
            | (Forge::Bitbucket, "POST", ["commit", sha, "statuses", "build"]) => {
                inside.status(self.kind, sha, body)
            }
            (Forge::Github, "GET", ["deployments"]) => (200, inside.find_deployments(query)),
            (Forge::Github, "POST", ["deployments"]) => inside.deploy(body),
            (Forge::Github, "POST", ["deployments", id, "statuses"]) => inside.deployed(id, body),
            (Forge::Github | Forge::Gitea | Forge::Forgejo, verb, ["issues", pull, "comments"])
            | (Forge::Gitlab, verb, ["merge_requests", pull, "notes"])
            | (Forge::Bitbucket, verb, ["pullrequests", pull, "comments"])
                if matches!(verb, "GET" | "POST") =>
            {
                let pull = pull.parse().unwrap();
                if verb == "GET" {
                    (200, inside.list(self.kind, pull, query))
                } else {
                    inside.write(self.kind, pull, body)
                }
            }
            (Forge::Github | Forge::Gitea | Forge::Forgejo, "PATCH", ["issues", "comments", id])
            | (Forge::Gitlab, "PUT", ["merge_requests", _, "notes", id])
            | (Forge::Bitbucket, "PUT", ["pullrequests", _, "comments", id]) => {
                inside.edit(self.kind, id, body)
            }
            (_, verb, _) => {
                inside.faults.push(format!("{verb} {uri} is nothing"));
                (404, json!({"message": "Not Found"}))
            }
        })
    }
}

impl Inside {
    fn id(&mut self) -> u64 {
        self.ids += 1;
        1000 + self.ids
    }

    /// Refuses what has other keys than these.
    fn check(&mut self, body: &Value, keys: &[&str]) -> Option<Reply> {
        let given: Vec<&String> = body.as_object().map(|it| it.keys().collect()).unwrap_or_default();
        let is_right = given.len() == keys.len() && keys.iter().all(|key| given.iter().any(|it| it == key));
        if is_right {
            return None;
        }
        self.faults.push(format!("the body has {given:?} and should have {keys:?}"));
        Some((422, json!({"message": "Validation Failed"})))
    }

    fn status(&mut self, kind: Forge, sha: &str, body: &Value) -> Reply {
        let (keys, name, states): (&[&str], &str, &[&str]) = match kind {
            Forge::Github | Forge::Gitea | Forge::Forgejo => (
                &["state", "context", "description", "target_url"],
                "context",
                &["pending", "success", "failure", "error"],
            ),
            Forge::Gitlab => (
                &["state", "name", "description", "target_url"],
                "name",
                &["pending", "running", "success", "failed", "canceled"],
            ),
            Forge::Bitbucket => (
                &["key", "name", "state", "description", "url"],
                "key",
                &["INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"],
            ),
        };
        if let Some(refused) = self.check(body, keys) {
            return refused;
        }
        let state = body["state"].as_str().unwrap_or_default().to_owned();
        let is_short = body["description"].as_str().is_some_and(|it| it.chars().count() <= 140);
        if sha.len() != 40
            || body[name] != "drey/environment"
            || !states.contains(&state.as_str())
            || !is_short
        {
            self.faults.push(format!("a wrong status of {sha}: {body}"));
            return (422, json!({"message": "Validation Failed"}));
        }
        let all = self.statuses.entry(sha.to_owned()).or_default();
        let is_same = all.last().is_some_and(|last| last["state"] == state);
        if kind == Forge::Gitlab && is_same && matches!(state.as_str(), "pending" | "running") {
            let event = if state == "pending" { "enqueue" } else { "run" };
            let said = format!(
                "Cannot transition status via :{event} from :{state} (Reason(s): Status cannot transition via \"{event}\")"
            );
            return (400, json!({ "message": said }));
        }
        all.push(body.clone());
        (201, json!({"id": 1}))
    }

    fn find_deployments(&self, query: &str) -> Value {
        let asked = |deployment: &Value| {
            let environment = deployment["environment"].as_str().unwrap().replace('/', "%2F");
            query.contains(&format!("sha={}&", deployment["ref"].as_str().unwrap()))
                && query.contains(&format!("environment={environment}&"))
        };
        let found = self.deployments.iter().filter(|(_, (made, _))| asked(made));
        found.map(|(id, _)| json!({ "id": id })).collect()
    }

    fn deploy(&mut self, body: &Value) -> Reply {
        const KEYS: &[&str] = &[
            "ref",
            "environment",
            "description",
            "auto_merge",
            "required_contexts",
            "transient_environment",
            "production_environment",
        ];
        if let Some(refused) = self.check(body, KEYS) {
            return refused;
        }
        let id = self.id();
        self.deployments.insert(id, (body.clone(), Vec::new()));
        (201, json!({ "id": id }))
    }

    fn deployed(&mut self, id: &str, body: &Value) -> Reply {
        if let Some(refused) =
            self.check(body, &["state", "description", "environment_url", "log_url", "auto_inactive"])
        {
            return refused;
        }
        match self.deployments.get_mut(&id.parse().unwrap()) {
            Some((_, said)) => {
                said.push(body.clone());
                (201, json!({"id": 1}))
            }
            None => (404, json!({"message": "Not Found"})),
        }
    }

    fn list(&self, kind: Forge, pull: u64, query: &str) -> Value {
        let all = self.comments.get(&pull).cloned().unwrap_or_default();
        let number = |name: &str| {
            query.split('&').find_map(|it| it.strip_prefix(&format!("{name}="))?.parse::<usize>().ok())
        };
        let size = number("per_page").or(number("pagelen")).unwrap_or(usize::MAX);
        let from = (number("page").unwrap_or(1) - 1).saturating_mul(size);
        let page: Vec<Value> =
            all.iter().skip(from).take(size).map(|(id, text)| shown(kind, *id, text)).collect();
        let has_more = all.len() > from.saturating_add(size);
        match kind {
            Forge::Bitbucket if has_more => json!({"values": page, "next": "https://elsewhere.example/"}),
            Forge::Bitbucket => json!({ "values": page }),
            Forge::Github | Forge::Gitlab | Forge::Gitea | Forge::Forgejo => json!(page),
        }
    }

    fn text(&mut self, kind: Forge, body: &Value) -> Result<String, Reply> {
        let key = if kind == Forge::Bitbucket { "content" } else { "body" };
        if let Some(refused) = self.check(body, &[key]) {
            return Err(refused);
        }
        let text = if kind == Forge::Bitbucket { &body["content"]["raw"] } else { &body["body"] };
        Ok(text.as_str().unwrap().to_owned())
    }

    fn write(&mut self, kind: Forge, pull: u64, body: &Value) -> Reply {
        let text = match self.text(kind, body) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let id = self.id();
        self.comments.entry(pull).or_default().push((id, text.clone()));
        (201, shown(kind, id, &text))
    }

    fn edit(&mut self, kind: Forge, id: &str, body: &Value) -> Reply {
        let text = match self.text(kind, body) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let id: u64 = id.parse().unwrap();
        match self.comments.values_mut().flatten().find(|(it, _)| *it == id) {
            Some(comment) => {
                comment.1.clone_from(&text);
                (200, shown(kind, id, &text))
            }
            None => (404, json!({"message": "Not Found"})),
        }
    }
}

fn shown(kind: Forge, id: u64, text: &str) -> Value {
    match kind {
        Forge::Bitbucket => json!({"id": id, "content": {"raw": text}, "deleted": false}),
        Forge::Github | Forge::Gitlab | Forge::Gitea | Forge::Forgejo => json!({"id": id, "body": text}),
    }
}

async fn answer(
    State(forge): State<FakeForge>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let trouble = forge.with(|inside| {
        inside.asked.push(format!("{method} {}", uri.path()));
        inside.at_once += 1;
        inside.most_at_once = inside.most_at_once.max(inside.at_once);
        inside.troubles.pop_front().unwrap_or(inside.trouble)
    });
    let reply = replied(&forge, trouble, &method, &uri, &headers, &body).await;
    forge.with(|inside| inside.at_once -= 1);
    reply
}

async fn replied(
    forge: &FakeForge,
    trouble: Option<Trouble>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response<Body> {
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let said = |status: u16, message: &str| response(status, &[], &json!({ "message": message }));
    match trouble {
        Some(Trouble::Unauthorized) => said(401, "Bad credentials"),
        Some(Trouble::Limited(reset)) if forge.kind == Forge::Github => {
            let reset = reset.to_string();
            let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
            response(403, &headers, &json!({"message": "API rate limit exceeded"}))
        }
        Some(Trouble::Limited(reset)) => {
            response(429, &[("ratelimit-reset", reset.to_string().as_str())], &json!({"message": "Too many"}))
        }
        Some(Trouble::Forbidden) => said(403, "Resource not accessible by personal access token"),
        Some(Trouble::NotFound) => said(404, "Not Found"),
        Some(Trouble::Conflict) => said(409, "Conflict"),
        Some(Trouble::Unprocessable) => said(422, "No commit found for SHA"),
        Some(Trouble::Broken) => said(500, "Server Error"),
        Some(Trouble::Hang) => {
            forge.with(|inside| inside.at_once -= 1);
            std::future::pending::<()>().await;
            said(500, "never")
        }
        Some(Trouble::Lost) => {
            forge.reply(method, uri, headers, &body);
            let broken = futures_util::stream::once(async {
                Err::<Bytes, std::io::Error>(std::io::Error::other("the connection is gone"))
            });
            Response::new(Body::from_stream(broken))
        }
        None if !forge.authorized(headers) => said(401, "Bad credentials"),
        None => {
            let (status, body) = forge.reply(method, uri, headers, &body);
            response(status, &[], &body)
        }
    }
}

fn response(status: u16, headers: &[(&str, &str)], body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
