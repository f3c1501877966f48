//! What a person has to tell a forge so that it tells drey: address, secret, events, in the words of its pages.

use serde_json::{Value, json};

use crate::config::{Repository, Settings};
use crate::domain::forge::Forge;

/// One for the forge of the repository; where none is configured, one for each.
pub(super) fn of(settings: &Settings, repository: &Repository) -> Vec<Value> {
    let configured = repository.forge.as_ref().map(|account| account.kind);
    let forges: Vec<Forge> = configured.map_or(Forge::ALL.to_vec(), |forge| vec![forge]);
    forges.into_iter().map(|forge| webhook(settings, repository, forge)).collect()
}

fn webhook(settings: &Settings, repository: &Repository, forge: Forge) -> Value {
    let Page { place, secret, events } = page(forge);
    let name = &repository.name;
    let secret = match &repository.secret {
        Some(given) if forge == Forge::Gitlab && given.reveal().starts_with("whsec_") => {
            format!("leave it empty, and use `secret` of [[repo]] {name} as the signing token")
        }
        Some(_) => format!("{secret}: what `secret` of [[repo]] {name} says"),
        None => format!(
            "there is none, so every delivery is refused: make one (`openssl rand -hex 32`), give it to [[repo]] {name} \
             as `secret_file`, and to {} as \"{secret}\"",
            forge.name()
        ),
    };
    json!({
        "forge": forge.word(),
        "where": place,
        "url": format!("{}/hooks/{}/{name}", settings.http.address(), forge.word()),
        "content_type": "application/json",
        "secret": secret,
        "events": events,
    })
}

/// As the forge's own pages call it.
struct Page {
    place: &'static str,
    secret: &'static str,
    events: &'static [&'static str],
}

fn page(forge: Forge) -> Page {
    match forge {
        Forge::Github => Page {
            place: "Settings > Webhooks > Add webhook",
            secret: "Secret",
            events: &["Branch or tag creation", "Branch or tag deletion", "Pull requests", "Pushes"],
        },
        Forge::Gitlab => Page {
            place: "Settings > Webhooks > Add new webhook",
            secret: "Secret token",
            events: &["Push events (all branches)", "Merge request events"],
        },
        Forge::Gitea => Page {
            place: "Settings > Webhooks > Add Webhook > Gitea",
            secret: "Secret",
            events: &[
                "Create",
                "Delete",
                "Push",
                "Pull Request",
                "Pull Request Synchronized",
                "Pull Request Label",
            ],
        },
        Forge::Forgejo => Page {
            place: "Settings > Webhooks > Add webhook > Forgejo",
            secret: "Secret",
            events: &["Create", "Delete", "Push", "Pull request: Modification, Synchronized, Label"],
        },
        Forge::Bitbucket => Page {
            place: "Repository settings > Webhooks > Add webhook",
            secret: "Secret",
            events: &[
                "Repository: Push",
                "Pull request: Created",
                "Pull request: Updated",
                "Pull request: Merged",
                "Pull request: Declined",
            ],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drey.toml");
        let text = format!(
            "[http]\npublic_url = \"https://drey.example/\"\n[proxy]\ndomain = \"qa.example\"\nhttps = \"0.0.0.0:443\"\n\
             [[repo]]\nname = \"shop\"\nurl = \"/srv/git/shop.git\"\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        Settings::from_parts(Some(&file), &[]).unwrap()
    }

    fn told(more: &str) -> Vec<Value> {
        let settings = settings(more);
        of(&settings, &settings.repositories[0])
    }

    #[test]
    fn the_address_is_that_of_the_forge_and_the_secret_is_named_and_not_shown() {
        let all = told("secret = \"hidden-value\"\n");
        assert_eq!(all.len(), 5);
        for webhook in &all {
            let forge = webhook["forge"].as_str().unwrap();
            assert_eq!(webhook["url"], format!("https://drey.example/hooks/{forge}/shop"));
            assert!(!webhook.to_string().contains("hidden-value"));
        }
        let one = told("[repo.forge]\nkind = \"gitlab\"\nproject = \"team/shop\"\n");
        assert_eq!((one.len(), one[0]["forge"].as_str()), (1, Some("gitlab")));
        assert!(one[0]["secret"].as_str().unwrap().contains("secret_file"));
        let signed =
            told("secret = \"whsec_MDEy\"\n[repo.forge]\nkind = \"gitlab\"\nproject = \"team/shop\"\n");
        assert!(signed[0]["secret"].as_str().unwrap().contains("signing token"));
    }
}
