//! Letting the code of a fork run: one commit at a time, by a person. Pure.

use serde::Serialize;

use super::forge::Forge;
use super::names::CommitSha;
use super::pull_request::{PullRequest, PullState};
use super::text::clean_line;
use super::time::Timestamp;

/// With these words begins the reason of a fork's environment that nobody has approved.
pub const WAITS_FOR_APPROVAL: &str = "waits for approval";

/// Somebody let a commit of a pull request run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    pub commit: CommitSha,
    /// Name of the token, or `socket`.
    pub by: String,
    pub at: Timestamp,
}

/// A fork's pull request, and what is known of where it is.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// `REPO/BRANCH` of its environment.
    pub name: &'a str,
    pub pull: &'a PullRequest,
    /// Where it was at the last fetch, or as an event said.
    pub commit: Option<&'a CommitSha>,
}

impl Held<'_> {
    /// Where it is now: what the forge told last, where that is a whole object id.
    pub fn head(&self) -> Option<CommitSha> {
        self.pull.head.as_ref().and_then(super::pull_request::Head::full)
    }

    /// The commit may run: it is approved itself; what was approved before says nothing of it.
    pub fn may_run(&self, commit: &CommitSha, approvals: &[Approval]) -> bool {
        approvals.iter().any(|approval| approval.commit == *commit)
    }

    /// Whether it is known to be at an approved commit. A delivery may have been lost: then the last fetch knows more.
    pub fn may_be_fetched(&self, approvals: &[Approval]) -> bool {
        let known = [self.head(), self.commit.cloned()];
        known.iter().flatten().any(|commit| self.may_run(commit, approvals))
    }

    /// That it waits, and for what.
    pub fn waits(&self, commit: &CommitSha) -> String {
        let (name, number) = (self.name, self.pull.number);
        let author = clean_line(&self.pull.author);
        let commit_begins = commit.short();
        format!(
            "{WAITS_FOR_APPROVAL}: pull request #{number} of {author}, commit {commit_begins}… (drey env approve {name} \
             --commit {commit})"
        )
    }

    /// Why nothing of it can be fetched, and what to do.
    pub fn unreachable(&self) -> String {
        let (number, forge) = (self.pull.number, self.pull.forge.name());
        match self.pull.forge {
            Forge::Bitbucket => format!(
                "{forge} keeps no ref of pull request #{number} in this repository, and drey fetches from no other: push \
                 its branch to this repository to see it run"
            ),
            Forge::Github | Forge::Gitlab | Forge::Gitea | Forge::Forgejo => format!(
                "{forge} does not say at which commit pull request #{number} is: send its newest delivery again"
            ),
        }
    }

    /// Why the commit cannot be approved.
    ///
    /// # Errors
    /// When it is not where the pull request is now: whoever approves it has not seen what would run.
    pub fn approvable(&self, commit: &CommitSha) -> Result<(), String> {
        let number = self.pull.number;
        if self.pull.state != PullState::Open {
            return Err(format!("pull request #{number} is not open any more"));
        }
        let known = [self.head(), self.commit.cloned()];
        if known.iter().flatten().any(|known| known == commit) {
            return Ok(());
        }
        match self.head() {
            Some(head) => Err(format!(
                "pull request #{number} is not at {commit} now, but at {head}: look at that, and approve it if it may run"
            )),
            None => Err(self.unreachable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::BranchName;
    use crate::domain::pull_request::Head;

    fn sha(digit: char) -> CommitSha {
        CommitSha::parse(&digit.to_string().repeat(40)).unwrap()
    }

    fn pull(forge: Forge, head: &str) -> PullRequest {
        PullRequest {
            forge,
            number: 7,
            title: "Title".to_owned(),
            author: "ali\u{1b}ce".to_owned(),
            source: "main".to_owned(),
            branch: BranchName::pull(7),
            target: BranchName::parse("main").unwrap(),
            url: None,
            state: PullState::Open,
            draft: false,
            labels: Vec::new(),
            head: Some(Head::parse(head).unwrap()),
            fork: Some("alice/shop".to_owned()),
            merge_commit: None,
            changed_at: None,
        }
    }

    fn approved(digit: char) -> Approval {
        Approval { commit: sha(digit), by: "ann".to_owned(), at: Timestamp::from_millis(1) }
    }

    #[test]
    fn only_the_commit_that_was_approved_may_run() {
        let pull = pull(Forge::Github, &"b".repeat(40));
        let held = Held { name: "shop/pull:7", pull: &pull, commit: None };
        assert!(!held.may_be_fetched(&[]) && !held.may_be_fetched(&[approved('a')]));
        assert!(held.may_be_fetched(&[approved('a'), approved('b')]));
        assert!(held.may_run(&sha('a'), &[approved('a')]) && !held.may_run(&sha('b'), &[approved('a')]));
        let seen = sha('c');
        assert!(Held { commit: Some(&seen), ..held }.may_be_fetched(&[approved('c')]));
    }

    #[test]
    fn what_waits_says_for_what_and_whoever_is_late_is_told_where_it_is() {
        let pull = pull(Forge::Github, &"b".repeat(40));
        let held = Held { name: "shop/pull:7", pull: &pull, commit: None };
        let b = "b".repeat(40);
        let told = held.waits(&sha('b'));
        assert!(told.starts_with("waits for approval: pull request #7 of ali"), "{told}");
        assert!(told.ends_with(&format!(", commit bbbbbbbb… (drey env approve shop/pull:7 --commit {b})")));
        assert!(!told.contains('\u{1b}'));
        assert_eq!(held.approvable(&sha('b')), Ok(()));
        let refused = held.approvable(&sha('a')).unwrap_err();
        assert!(refused.contains(&format!("at {b}:")), "{refused}");
        let seen = sha('c');
        assert_eq!(Held { commit: Some(&seen), ..held }.approvable(&seen), Ok(()));
        let closed = PullRequest { state: PullState::Closed, ..pull.clone() };
        assert!(Held { pull: &closed, ..held }.approvable(&sha('b')).is_err());
    }

    #[test]
    fn where_a_forge_gives_half_a_commit_there_is_another_way() {
        let pull = pull(Forge::Bitbucket, "bbbbbbbbbbbb");
        let held = Held { name: "shop/pull:7", pull: &pull, commit: None };
        assert!(!held.may_be_fetched(&[approved('b')]), "half of it is not it");
        assert!(held.approvable(&sha('b')).unwrap_err().contains("push its branch to this repository"));
    }
}
