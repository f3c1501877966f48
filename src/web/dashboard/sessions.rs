//! Who is signed in. In memory, so a restart signs everybody out; of each id only its hash is kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use crate::domain::time::Timestamp;

/// How long a session lasts, used or not.
pub(in crate::web) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions of one token; another one ends the oldest.
const OF_ONE_TOKEN: usize = 20;
/// Random bytes of an id: 256 bits.
const ID_BYTES: usize = 32;
/// Characters of an id.
const ID_LENGTH: usize = 43;

/// The sessions that are open. Only a good token opens one, so there are never more than tokens allow.
#[derive(Default)]
pub(in crate::web) struct Sessions {
    open: Mutex<BTreeMap<[u8; 32], Session>>,
}

struct Session {
    /// The hash of the token that it hangs on.
    token: [u8; 32],
    /// None after it.
    until: Timestamp,
}

/// What a browser shows: random, and known to it alone.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::web) struct SessionId(String);

impl SessionId {
    fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(BASE64URL_NOPAD.encode(&bytes)))
    }

    /// What has the form of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (text.len() == ID_LENGTH && text.bytes().all(fine)).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// What each form of the session has in it: another page can neither read nor guess it.
    pub(super) fn form_key(&self) -> String {
        BASE64URL_NOPAD.encode(&Sha256::digest(format!("drey-form\n{}", self.0)))
    }

    /// Whether a form has it; compared in a time that tells nothing.
    pub(super) fn is_form_key(&self, given: &str) -> bool {
        let (ours, given) = (Sha256::digest(self.form_key()), Sha256::digest(given));
        ours.iter().zip(given).fold(0, |all, (one, other)| all | (one ^ other)) == 0
    }
}

impl Sessions {
    /// Opens one for the token with this hash, with an id that nobody had before.
    pub(super) fn begin(&self, token: [u8; 32], now: Timestamp) -> Result<SessionId, getrandom::Error> {
        let id = SessionId::draw()?;
        let mut open = self.lock();
        open.retain(|_, session| now < session.until);
        let of_token = open.iter().filter(|(_, session)| session.token == token);
        let of_token: Vec<_> = of_token.map(|(hash, session)| (session.until, *hash)).collect();
        if of_token.len() >= OF_ONE_TOKEN
            && let Some((_, oldest)) = of_token.into_iter().min()
        {
            open.remove(&oldest);
        }
        open.insert(id.hash(), Session { token, until: now.plus(LIFETIME) });
        Ok(id)
    }

    /// The hash of the token whose session it is. Looked for by its own hash: how long that takes tells nothing.
    pub(super) fn token_of(&self, id: &SessionId, now: Timestamp) -> Option<[u8; 32]> {
        self.lock().get(&id.hash()).filter(|session| now < session.until).map(|session| session.token)
    }

    pub(super) fn end(&self, id: &SessionId) {
        self.lock().remove(&id.hash());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_session_lasts_until_its_end_and_hangs_on_its_token() {
        let sessions = Sessions::default();
        let (one, other) = (sessions.begin([1; 32], at(0)).unwrap(), sessions.begin([2; 32], at(0)).unwrap());
        assert!(one != other);
        let end = i64::try_from(LIFETIME.as_secs()).unwrap();
        assert_eq!(sessions.token_of(&one, at(end - 1)), Some([1; 32]));
        assert_eq!(sessions.token_of(&one, at(end)), None);
        assert_eq!(sessions.token_of(&other, at(5)), Some([2; 32]));
        sessions.end(&other);
        assert_eq!(sessions.token_of(&other, at(5)), None);
        sessions.begin([3; 32], at(end)).unwrap();
        assert_eq!(sessions.lock().len(), 1, "what is over is forgotten");
    }

    #[test]
    fn one_token_ends_only_sessions_of_its_own() {
        let sessions = Sessions::default();
        let others = sessions.begin([9; 32], at(0)).unwrap();
        let ids: Vec<SessionId> =
            (1..=21).map(|second| sessions.begin([1; 32], at(second)).unwrap()).collect();
        assert_eq!(sessions.token_of(&ids[0], at(30)), None, "the oldest made room");
        assert!(ids[1..].iter().all(|id| sessions.token_of(id, at(30)) == Some([1; 32])));
        assert_eq!(sessions.token_of(&others, at(30)), Some([9; 32]));
    }

    #[test]
    fn only_hashes_are_kept() {
        let sessions = Sessions::default();
        let id = sessions.begin([1; 32], at(0)).unwrap();
        assert_eq!(SessionId::parse(id.as_str()).as_ref().map(SessionId::as_str), Some(id.as_str()));
        assert!(!sessions.lock().keys().any(|key| BASE64URL_NOPAD.encode(key) == id.as_str()));
        for bad in [
            "",
            "x",
            &format!("{}a", id.as_str()),
            &id.as_str().replace(|c: char| c.is_ascii_digit(), ";")[..42],
        ] {
            assert!(SessionId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_form_is_of_its_session() {
        let sessions = Sessions::default();
        let (one, other) = (sessions.begin([1; 32], at(0)).unwrap(), sessions.begin([1; 32], at(0)).unwrap());
        assert!(one.is_form_key(&one.form_key()));
        for wrong in
            [other.form_key(), String::new(), one.as_str().to_owned(), format!("{}=", one.form_key())]
        {
            assert!(!one.is_form_key(&wrong), "{wrong}");
        }
    }
}
