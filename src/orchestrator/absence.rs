//! Whether the engine is away: one truth for all who would otherwise find out each for themselves.

use tokio::sync::watch;

/// What is known of the engine's absence. Whoever watches the engine writes it.
pub(super) struct Absence(watch::Sender<Option<String>>);

impl Default for Absence {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Absence {
    /// Why the engine is taken to be away; none while it answers.
    pub(super) fn why(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Returns when the engine answers; at once where it does.
    pub(super) async fn is_over(&self) {
        // The sender lives as long as this, so that there is no other end of it.
        self.0.subscribe().wait_for(Option::is_none).await.map(drop).unwrap_or_default();
    }

    /// Says whether that is news.
    pub(super) fn begin(&self, why: String) -> bool {
        self.0.send_replace(Some(why)).is_none()
    }

    /// Says whether that is news.
    pub(super) fn end(&self) -> bool {
        self.0.send_if_modified(|why| why.take().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_when_it_is_back() {
        let absence = Absence::default();
        absence.is_over().await;
        assert!(absence.begin("refused".to_owned()));
        assert!(!absence.begin("still refused".to_owned()));
        assert_eq!(absence.why().as_deref(), Some("still refused"));
        let back = async {
            tokio::task::yield_now().await;
            assert!(absence.end());
            assert!(!absence.end());
        };
        tokio::join!(absence.is_over(), back);
        assert_eq!(absence.why(), None);
    }
}
