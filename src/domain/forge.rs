//! The forges that drey knows: places that host repositories and their pull requests.

use serde::{Deserialize, Serialize};

/// A kind of forge. Each has its own deliveries, signatures and API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forge {
    Github,
    Gitlab,
    Gitea,
    Forgejo,
    /// Bitbucket Cloud.
    Bitbucket,
}

impl Forge {
    pub const ALL: [Self; 5] = [Self::Github, Self::Gitlab, Self::Gitea, Self::Forgejo, Self::Bitbucket];

    /// The word used in paths, the configuration, the table and the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::Bitbucket => "bitbucket",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|forge| forge.word() == word)
    }

    /// The name that its makers give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
            Self::Gitea => "Gitea",
            Self::Forgejo => "Forgejo",
            Self::Bitbucket => "Bitbucket",
        }
    }

    /// Where the repository itself has the head of a pull request; Bitbucket has it nowhere.
    pub fn pull_reference(self, number: u64) -> Option<String> {
        match self {
            Self::Github | Self::Gitea | Self::Forgejo => Some(format!("refs/pull/{number}/head")),
            Self::Gitlab => Some(format!("refs/merge-requests/{number}/head")),
            Self::Bitbucket => None,
        }
    }

    /// Its public API; none where everybody runs a server of their own.
    pub const fn public_api(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("https://api.github.com"),
            Self::Gitlab => Some("https://gitlab.com/api/v4"),
            Self::Bitbucket => Some("https://api.bitbucket.org/2.0"),
            Self::Gitea | Self::Forgejo => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_word_and_its_place_for_pull_requests() {
        for forge in Forge::ALL {
            assert_eq!(Forge::from_word(forge.word()), Some(forge));
        }
        assert_eq!(Forge::from_word("git"), None);
        assert_eq!(Forge::Gitea.pull_reference(7).as_deref(), Some("refs/pull/7/head"));
        assert_eq!(Forge::Gitlab.pull_reference(7).as_deref(), Some("refs/merge-requests/7/head"));
        assert_eq!(Forge::Bitbucket.pull_reference(7), None);
    }
}
