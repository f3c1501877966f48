//! What is shown of configured repositories, and what signs their deliveries.

use serde_json::{Value, json};

use super::{traefik, webhooks};
use crate::config::{ForgeCredential, Repository, Settings};
use crate::ports::Redactor;
use crate::web::{BorderRules, Served, look_token};

/// What the API needs to know of all of them.
pub(super) fn served(settings: &Settings) -> Served {
    let secret = |repository: &Repository| {
        let secret = repository.secret.as_ref()?;
        Some((repository.name.clone(), secret.reveal().as_bytes().to_vec()))
    };
    let project = |repository: &Repository| {
        let forge = repository.forge.as_ref()?;
        Some((repository.name.clone(), forge.project.clone()))
    };
    let shown = |repository: &Repository| (repository.name.clone(), view(settings, repository));
    Served {
        secrets: settings.repositories.iter().filter_map(secret).collect(),
        projects: settings.repositories.iter().filter_map(project).collect(),
        repositories: settings.repositories.iter().map(shown).collect(),
        traefik: traefik::frame(settings),
        border: BorderRules {
            trusted_proxies: settings.http.trusted_proxies.clone(),
            rate_per_address: settings.http.rate_per_address,
            rate_per_repository: settings.http.rate_per_repository,
        },
        public_url: settings.http.public_url.clone(),
    }
}

/// From now on nothing that drey tells has a secret of its configuration, nor what is made of one.
pub(super) fn hide_secrets(settings: &Settings, redactor: &Redactor) {
    let mut secrets: Vec<String> =
        settings.registries.iter().map(|registry| registry.password.reveal().to_owned()).collect();
    for repository in &settings.repositories {
        secrets.extend(login(&repository.url));
        match repository.forge.as_ref().and_then(|account| account.credential.as_ref()) {
            Some(ForgeCredential::Token(token) | ForgeCredential::User { password: token, .. }) => {
                secrets.push(token.reveal().to_owned());
            }
            Some(ForgeCredential::App { key, .. }) => {
                // Nobody prints a key in one line.
                secrets.extend(
                    key.reveal().lines().filter(|line| !line.starts_with("-----")).map(str::to_owned),
                );
            }
            None => {}
        }
        let users = &repository.defaults.visitors.users;
        secrets.extend(users.iter().map(|user| user.password.reveal().to_owned()));
        if let Some(secret) = &repository.secret {
            secrets.push(secret.reveal().to_owned());
            secrets.push(look_token(secret.reveal().as_bytes(), &repository.name));
        }
    }
    redactor.learn(secrets.iter().map(String::as_bytes));
}

/// `https://user:token@host/x` → `token`; a login without a colon is the token itself.
fn login(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, _) = rest.split('/').next()?.rsplit_once('@')?;
    let is_web = matches!(scheme, "https" | "http");
    is_web.then(|| login.split_once(':').map_or(login, |(_, token)| token).to_owned())
}

/// Name, address, rules; nothing secret.
pub fn view(settings: &Settings, repository: &Repository) -> Value {
    json!({
        "name": repository.name,
        "url": without_credentials(&repository.url),
        "main": repository.main,
        "branches": repository.branches.patterns(),
        "ignore": repository.ignore.patterns(),
        "keep": repository.defaults.keep.patterns(),
        "compose": repository.compose,
        "stack": repository.stack,
        "profiles": repository.profiles,
        "merge_grace_seconds": repository.defaults.merge_grace.as_secs(),
        "poll_every_seconds": repository.defaults.poll_every.as_secs(),
        // The daemon alone knows.
        "last_polled_at": null,
        "poll_error": null,
        "reports_waiting": null,
        "report_error": null,
        "superseded": repository.defaults.superseded.word(),
        "allow": repository.allow,
        "has_secret": repository.secret.is_some(),
        "deploy": repository.pulls.deploy.word(),
        "label": repository.pulls.label,
        "drafts": repository.pulls.drafts,
        "paths": repository.paths,
        "subject": repository.subject.word(),
        "forge": repository.forge.as_ref().map(|account| json!({
            "kind": account.kind,
            "project": account.project,
            "api": account.api,
            "has_token": account.credential.is_some(),
        })),
        "webhooks": webhooks::of(settings, repository),
        "hook_url": format!("{}/hooks/git/{}", settings.http.address(), repository.name),
    })
}

/// `https://user:token@host/x` → `https://host/x`.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme @ ("https" | "http"), rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        Some(_) | None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn repositories_are_as_described() {
        let document: Value = serde_json::from_str(include_str!("../web/openapi.json")).unwrap();
        let properties = document["components"]["schemas"]["Repository"]["properties"].as_object().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = "[proxy]\ndomain = \"qa.example\"\nhttps = \"0.0.0.0:443\"\n[[repo]]\nname = \"shop\"\n\
                    url = \"/srv/git/shop.git\"\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::from_parts(Some(&file), &[]).unwrap();
        for repository in served(&settings).repositories.values() {
            let keys: BTreeSet<&String> = repository.as_object().unwrap().keys().collect();
            assert_eq!(keys, properties.keys().collect());
        }
    }

    #[test]
    fn a_login_is_a_secret() {
        assert_eq!(login("https://u:t0ken-x@git.example/a/b").as_deref(), Some("t0ken-x"));
        assert_eq!(login("https://t0ken-x@git.example/a").as_deref(), Some("t0ken-x"));
        assert_eq!(login("https://git.example/a@b"), None);
        assert_eq!(login("ssh://git@host/x"), None);
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(without_credentials("https://u:t@git.example/a/b"), "https://git.example/a/b");
        assert_eq!(without_credentials("ssh://git@host/x"), "ssh://git@host/x");
    }
}
