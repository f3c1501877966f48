//! Forges over HTTP: what drey tells them.

mod answer;
mod bitbucket;
mod client;
mod comments;
mod gitea;
mod github;
mod github_app;
mod gitlab;
mod statuses;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::forge::Forge;
use crate::ports::{Clock, ForgeApi, Redactor};

/// Where and as whom drey speaks to a forge.
pub struct ForgeSettings {
    pub kind: Forge,
    /// Address of its API: `https://api.github.com`, `https://gitlab.com/api/v4`, `https://api.bitbucket.org/2.0`; of Gitea
    /// and Forgejo with or without `/api/v1`.
    pub api: String,
    /// `team/shop`.
    pub project: String,
    pub login: ForgeLogin,
    /// How long an answer may take, usually [`PATIENCE`].
    pub patience: Duration,
}

/// How long an answer of a forge may take, the connection included.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// As whom drey speaks.
pub enum ForgeLogin {
    Token(String),
    /// Of an account: Bitbucket only.
    User {
        user: String,
        token: String,
    },
    /// A GitHub App with its key in PEM.
    App {
        id: String,
        key: String,
    },
}

/// The project at its forge; nothing is asked yet.
///
/// # Errors
/// When the address is none, the key cannot be read, or the login is not one of this forge.
pub fn connect(
    settings: ForgeSettings,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
) -> Result<Arc<dyn ForgeApi>, String> {
    let ForgeSettings { kind, api, project, login, patience } = settings;
    let client = client::Client::new(&whole(kind, &api), patience)?;
    if let ForgeLogin::Token(token) | ForgeLogin::User { token, .. } = &login {
        redactor.learn([token.as_bytes()]);
    }
    Ok(match (kind, login) {
        (Forge::Github, ForgeLogin::Token(token)) => {
            Arc::new(github::GitHub::new(client, &project, github::Login::Token(token)))
        }
        (Forge::Github, ForgeLogin::App { id, key }) => {
            let app = github_app::GitHubApp::new(id, &key, clock, redactor)?;
            Arc::new(github::GitHub::new(client, &project, github::Login::App(Box::new(app))))
        }
        (Forge::Gitlab, ForgeLogin::Token(token)) => Arc::new(gitlab::GitLab::new(client, &project, token)),
        (Forge::Gitea | Forge::Forgejo, ForgeLogin::Token(token)) => {
            Arc::new(gitea::Gitea::new(client, &project, token))
        }
        (Forge::Bitbucket, ForgeLogin::Token(token)) => {
            Arc::new(bitbucket::Bitbucket::new(client, &project, &token, None))
        }
        (Forge::Bitbucket, ForgeLogin::User { user, token }) => {
            Arc::new(bitbucket::Bitbucket::new(client, &project, &token, Some(&user)))
        }
        (Forge::Github | Forge::Gitlab | Forge::Gitea | Forge::Forgejo, ForgeLogin::User { .. }) => {
            return Err("user: is for Bitbucket only".to_owned());
        }
        (Forge::Gitlab | Forge::Gitea | Forge::Forgejo | Forge::Bitbucket, ForgeLogin::App { .. }) => {
            return Err("app_id: is for GitHub only".to_owned());
        }
    })
}

/// Gitea's API is always at the same place below the server.
fn whole(kind: Forge, api: &str) -> String {
    let below = "/api/v1";
    match kind {
        Forge::Gitea | Forge::Forgejo if !api.trim_end_matches('/').ends_with(below) => {
            format!("{}{below}", api.trim_end_matches('/'))
        }
        Forge::Github | Forge::Gitlab | Forge::Gitea | Forge::Forgejo | Forge::Bitbucket => api.to_owned(),
    }
}
