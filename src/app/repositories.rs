//! What is shown of a configured repository.

use serde_json::{Value, json};

use crate::config::{Repository, Settings};

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
        "superseded": repository.defaults.superseded.word(),
        "allow": repository.allow,
        "has_secret": repository.secret.is_some(),
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
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(without_credentials("https://u:t@git.example/a/b"), "https://git.example/a/b");
        assert_eq!(without_credentials("ssh://git@host/x"), "ssh://git@host/x");
    }
}
