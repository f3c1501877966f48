//! `[repo.forge]`: where a repository's pull requests are, and with what drey may speak there.

use figment::value::Value;

use super::reader::Section;
use super::secret::Secret;
use crate::domain::forge::Forge;

/// A repository at its forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeAccount {
    pub kind: Forge,
    /// As in the address of its page: `team/shop`, at GitLab with all its groups.
    pub project: String,
    /// Address of the API, without a slash at the end.
    pub api: String,
    /// None: drey listens, and says nothing.
    pub credential: Option<ForgeCredential>,
}

/// With what drey speaks to a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForgeCredential {
    Token(Secret),
    /// Bitbucket's app passwords and API tokens.
    User {
        user: String,
        password: Secret,
    },
    /// A GitHub App that is installed at the repository.
    App {
        id: String,
        /// PEM.
        key: Secret,
    },
}

impl ForgeAccount {
    /// None where the table is not there, or is wrong.
    pub(super) fn read(repository: &mut Section<'_>) -> Option<Self> {
        if !repository.gives("forge") {
            return None;
        }
        let section = &mut repository.section("forge");
        let kind = section.read("kind", |value| {
            let known = value.as_str().and_then(Forge::from_word);
            known.ok_or_else(|| "must be github, gitlab, gitea, forgejo or bitbucket".to_owned())
        });
        section.needed("kind", kind.is_some(), "is needed");
        let project = section.read("project", project);
        section.needed(
            "project",
            project.is_some(),
            "is needed: as in the address of its page, for instance team/shop",
        );
        let api = section.read("api", api);
        let credential = credential(section, kind);
        let api = api.or_else(|| kind?.public_api().map(ToOwned::to_owned));
        section.needed("api", api.is_some(), "is needed: https://git.example.org");
        section.finish();
        Some(Self { kind: kind?, project: project?, api: api?, credential })
    }
}

fn credential(section: &mut Section<'_>, kind: Option<Forge>) -> Option<ForgeCredential> {
    let token = section.secret(["token", "token_file", "token_env"]);
    let user = section.text("user");
    let app = section.text("app_id");
    let key = section.secret(["app_key", "app_key_file", "app_key_env"]);
    if user.is_some() && kind != Some(Forge::Bitbucket) {
        section.fault("user", "is for bitbucket only");
    }
    if app.is_some() && kind != Some(Forge::Github) {
        section.fault("app_id", "is for github only");
    }
    match (token, user, app, key) {
        (None, None, None, None) => None,
        (Some(token), None, None, None) => Some(ForgeCredential::Token(token)),
        (Some(password), Some(user), None, None) => Some(ForgeCredential::User { user, password }),
        (None, None, Some(id), Some(key)) => Some(ForgeCredential::App { id, key }),
        (None, None, _, _) => {
            section.fault("app_id", "goes together with app_key_file");
            None
        }
        (None, Some(_), _, _) => {
            section.fault("user", "goes together with token");
            None
        }
        (Some(_), _, _, _) => {
            section.fault("token", "goes without app_id: one of the two");
            None
        }
    }
}

fn project(value: &Value) -> Result<String, String> {
    let text = value.as_str().unwrap_or_default();
    let is_part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-~".contains(c))
    };
    let is_path = text.contains('/') && text.split('/').all(is_part);
    is_path
        .then(|| text.to_owned())
        .ok_or_else(|| "must be a path as in the address of its page, for instance team/shop".to_owned())
}

/// Plain HTTP is for a forge on this machine only: a token must not go over the network in the clear.
fn api(value: &Value) -> Result<String, String> {
    let text = value.as_str().unwrap_or_default().trim_end_matches('/');
    let wrong = || "must be https://host[:port][/path], or http:// for a loopback address".to_owned();
    let uri: http::Uri = text.parse().map_err(|_unreadable: http::uri::InvalidUri| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    let host = authority.host().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback());
    let is_plain = !authority.as_str().contains('@') && uri.query().is_none();
    let is_fine = is_plain && (scheme == "https" || (scheme == "http" && is_here));
    is_fine.then(|| text.to_owned()).ok_or_else(wrong)
}
