//! Accounts at forges: one request at a time to each, and none while it wants to be left alone. In memory only: a start
//! tries once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::time::Timestamp;

/// All accounts that were spoken to.
#[derive(Default)]
pub(super) struct Accounts {
    known: Mutex<BTreeMap<String, Account>>,
}

#[derive(Default)]
struct Account {
    is_busy: bool,
    /// Nothing is sent before.
    silent_until: Option<Timestamp>,
    /// Failures in a row.
    failures: u32,
    /// Kind of report → what was told of it in the log last, and not taken back since: a token may be good for one only.
    told: BTreeMap<&'static str, String>,
}

impl Accounts {
    /// Takes the account for the caller; false where somebody has it, or it wants to be left alone.
    pub(super) fn take(&self, name: &str, now: Timestamp) -> bool {
        let mut all = self.known();
        let account = all.entry(name.to_owned()).or_default();
        let is_free = !account.is_busy && account.silent_until.is_none_or(|until| until <= now);
        account.is_busy |= is_free;
        is_free
    }

    /// Gives it back.
    pub(super) fn give_back(&self, name: &str) {
        if let Some(account) = self.known().get_mut(name) {
            account.is_busy = false;
        }
    }

    /// It took something of a kind. Says whether that had been in trouble before.
    pub(super) fn took(&self, name: &str, kind: &'static str) -> bool {
        let mut all = self.known();
        let Some(account) = all.get_mut(name) else { return false };
        account.failures = 0;
        account.silent_until = None;
        account.told.remove(kind).is_some()
    }

    /// It is in trouble once more: how often in a row.
    pub(super) fn failed(&self, name: &str) -> u32 {
        let mut all = self.known();
        let account = all.entry(name.to_owned()).or_default();
        account.failures = account.failures.saturating_add(1);
        account.failures
    }

    /// Nothing more is sent before then.
    pub(super) fn silence(&self, name: &str, until: Timestamp) {
        self.known().entry(name.to_owned()).or_default().silent_until = Some(until);
    }

    /// Whether this is news for the log.
    pub(super) fn is_news(&self, name: &str, kind: &'static str, what: &str) -> bool {
        let mut all = self.known();
        let account = all.entry(name.to_owned()).or_default();
        account.told.insert(kind, what.to_owned()).as_deref() != Some(what)
    }

    /// Somebody may have put it right.
    pub(super) fn try_again(&self) {
        for account in self.known().values_mut() {
            account.silent_until = None;
            account.failures = 0;
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn an_account_has_one_sender_and_is_left_alone_when_it_wants_to_be() {
        let accounts = Accounts::default();
        assert!(accounts.take("a", at(1)) && !accounts.take("a", at(1)) && accounts.take("b", at(1)));
        accounts.give_back("a");
        accounts.silence("a", at(10));
        assert!(!accounts.take("a", at(9)) && accounts.take("a", at(10)));
        accounts.give_back("a");
        accounts.silence("a", at(100));
        accounts.try_again();
        assert!(accounts.take("a", at(11)));
    }

    #[test]
    fn trouble_is_told_once_and_its_end_too() {
        let accounts = Accounts::default();
        assert!(accounts.take("a", at(1)));
        assert_eq!((accounts.failed("a"), accounts.failed("a")), (1, 2));
        let is_news = |kind, what| accounts.is_news("a", kind, what);
        assert!(is_news("comment", "403") && !is_news("comment", "403") && is_news("comment", "500"));
        assert!(!accounts.took("a", "status"), "that was fine all the time");
        assert!(accounts.took("a", "comment") && !accounts.took("a", "comment"));
        assert_eq!(accounts.failed("a"), 1);
    }
}
