//! Pull requests (GitLab: merge requests) as forges tell of them, and which of them make environments.

use serde::{Deserialize, Serialize};

use super::forge::Forge;
use super::names::{BranchName, CommitSha, NameError};
use super::time::Timestamp;

/// Most characters of a title or a name that are kept.
pub const TEXT_LIMIT: usize = 200;

/// Where a pull request's branch is, as far as the forge says: a full object id, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Head(String);

impl Head {
    /// Bitbucket cuts object ids to twelve digits; others give them whole.
    ///
    /// # Errors
    /// When it is not 7 to 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && (7..=64).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        let reason = "must be 7 to 64 lower-case hexadecimal digits";
        Err(NameError { what: "commit", value: text.to_owned(), reason })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole id, where the forge gave it.
    pub fn full(&self) -> Option<CommitSha> {
        CommitSha::parse(&self.0).ok()
    }

    /// Whether it is this commit.
    pub fn is(&self, commit: &CommitSha) -> bool {
        commit.as_str().starts_with(&self.0)
    }
}

impl From<CommitSha> for Head {
    fn from(commit: CommitSha) -> Self {
        Self(commit.as_str().to_owned())
    }
}

/// How far a pull request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullState {
    Open,
    /// Without a merge.
    Closed,
    Merged,
}

/// What the newest delivery about a pull request said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    pub forge: Forge,
    /// As people name it: unique in its repository.
    pub number: u64,
    pub title: String,
    /// Login name.
    pub author: String,
    /// The branch it comes from, as its own repository calls it.
    pub source: String,
    /// The branch that has its environment: the source, or `pull:N` where that is a fork's.
    pub branch: BranchName,
    /// The branch it goes to.
    pub target: BranchName,
    /// Its page.
    pub url: Option<String>,
    pub state: PullState,
    pub draft: bool,
    pub labels: Vec<String>,
    pub head: Option<Head>,
    /// Whose repository the source is in, where that is not this one.
    pub fork: Option<String>,
    pub merge_commit: Option<Head>,
    /// By the forge's clock.
    pub changed_at: Option<Timestamp>,
}

impl PullRequest {
    fn has_merged(&self, commit: &CommitSha) -> bool {
        self.state == PullState::Merged && self.head.as_ref().is_some_and(|head| head.is(commit))
    }
}

/// The forge merged this commit, and nobody proposes the branch for anything else.
pub fn is_merged(pulls: &[PullRequest], commit: &CommitSha) -> bool {
    pulls.iter().any(|pull| pull.has_merged(commit))
        && !pulls.iter().any(|pull| pull.state == PullState::Open)
}

/// Which branches get an environment by themselves: `[[repo]] deploy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeployMode {
    /// Those that are pushed.
    #[default]
    Branches,
    /// Those with an open pull request.
    PullRequests,
    /// Those with an open pull request that has the label.
    Labelled,
}

impl DeployMode {
    pub const ALL: [Self; 3] = [Self::Branches, Self::PullRequests, Self::Labelled];

    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Branches => "branches",
            Self::PullRequests => "pull-requests",
            Self::Labelled => "labelled",
        }
    }
}

/// What of a branch is deployed: `[[repo]] subject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// The branch as it is.
    #[default]
    Head,
    /// The branch merged into its target.
    Merge,
}

impl Subject {
    pub const ALL: [Self; 2] = [Self::Head, Self::Merge];

    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Merge => "merge",
        }
    }
}

/// Which pull requests make environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRules {
    pub deploy: DeployMode,
    /// What `labelled` looks for.
    pub label: String,
    /// Drafts count like others.
    pub drafts: bool,
}

impl Default for PullRules {
    fn default() -> Self {
        Self { deploy: DeployMode::default(), label: "preview".to_owned(), drafts: true }
    }
}

impl PullRules {
    /// Whether the branch gets an environment, given its pull requests, else why not. A fork's needs an open one always.
    ///
    /// # Errors
    /// The reason, for the one who pushed.
    pub fn wants(&self, branch: &BranchName, pulls: &[PullRequest]) -> Result<(), String> {
        let is_fork = branch.pull_number().is_some();
        if self.deploy == DeployMode::Branches && !is_fork {
            return Ok(());
        }
        let mut open = pulls.iter().filter(|pull| pull.state == PullState::Open).peekable();
        if open.peek().is_none() {
            return Err(format!(
                "the branch has no open pull request (`deploy` is {:?})",
                self.deploy.word()
            ));
        }
        let mut ready = open.filter(|pull| self.drafts || !pull.draft).peekable();
        if ready.peek().is_none() {
            return Err("its pull request is a draft (`drafts` is false)".to_owned());
        }
        let has_label = |pull: &PullRequest| pull.labels.contains(&self.label);
        if self.deploy == DeployMode::Labelled && !ready.any(has_label) {
            return Err(format!("its pull request has no label {:?} (`deploy` is \"labelled\")", self.label));
        }
        Ok(())
    }

    /// A label or the end of a draft may decide about an environment.
    pub fn read_descriptions(&self) -> bool {
        self.deploy != DeployMode::Branches || !self.drafts
    }
}

/// One to try things with.
#[cfg(test)]
pub(crate) fn sample(number: u64, source: &str, head: char) -> PullRequest {
    let branch = BranchName::parse(source).unwrap();
    PullRequest {
        forge: Forge::Github,
        number,
        title: "a change".to_owned(),
        author: "anna".to_owned(),
        source: source.to_owned(),
        branch,
        target: BranchName::parse("main").unwrap(),
        url: Some(format!("https://forge.example/team/shop/pull/{number}")),
        state: PullState::Open,
        draft: false,
        labels: Vec::new(),
        head: Head::parse(&head.to_string().repeat(40)).ok(),
        fork: None,
        merge_commit: None,
        changed_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(deploy: DeployMode) -> PullRules {
        PullRules { deploy, ..PullRules::default() }
    }

    #[test]
    fn what_is_wanted_depends_on_open_pull_requests() {
        let branch = BranchName::parse("x").unwrap();
        let open = sample(1, "x", 'a');
        let closed = PullRequest { state: PullState::Closed, ..open.clone() };
        assert_eq!(rules(DeployMode::Branches).wants(&branch, &[]), Ok(()));
        let by_pulls = rules(DeployMode::PullRequests);
        assert!(by_pulls.wants(&branch, &[]).unwrap_err().contains("no open pull request"));
        assert!(by_pulls.wants(&branch, std::slice::from_ref(&closed)).is_err());
        assert_eq!(by_pulls.wants(&branch, &[closed, open.clone()]), Ok(()));
        let draft = PullRequest { draft: true, ..open.clone() };
        assert_eq!(by_pulls.wants(&branch, std::slice::from_ref(&draft)), Ok(()));
        let no_drafts = PullRules { drafts: false, ..by_pulls };
        assert!(no_drafts.wants(&branch, std::slice::from_ref(&draft)).unwrap_err().contains("draft"));
        let labelled = rules(DeployMode::Labelled);
        assert!(labelled.wants(&branch, std::slice::from_ref(&open)).unwrap_err().contains("\"preview\""));
        let with_label = PullRequest { labels: vec!["preview".to_owned()], ..open };
        assert_eq!(labelled.wants(&branch, &[with_label]), Ok(()));
    }

    #[test]
    fn a_fork_needs_an_open_pull_request_always() {
        let rules = rules(DeployMode::Branches);
        let fork = BranchName::pull(7);
        assert!(rules.wants(&fork, &[]).is_err());
        assert_eq!(
            rules.wants(&fork, &[PullRequest { branch: fork.clone(), ..sample(7, "x", 'a') }]),
            Ok(())
        );
    }

    #[test]
    fn a_cut_id_is_known_again() {
        let commit = CommitSha::parse(&"0704fc5beccc".repeat(4)[..40]).unwrap();
        let head = Head::parse("0704fc5beccc").unwrap();
        assert!(head.is(&commit) && head.full().is_none());
        assert_eq!(Head::from(commit.clone()).full(), Some(commit));
        assert!(Head::parse("0704FC5BECCC").is_err() && Head::parse("0704fc").is_err());
    }
}
