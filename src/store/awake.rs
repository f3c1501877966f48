//! A wish to sleep that is taken back before anything was done for it.

use crate::domain::environment::{Environment, Intent};
use crate::domain::time::Timestamp;

use super::codec::word;
use super::{Store, StoreResult, environment};

impl Store {
    /// It stands as it stood when it was read, awake and with nothing to do; `None`, and nothing is written, when a newer
    /// wish is there.
    pub async fn stay_awake(&self, stood: &Environment, now: Timestamp) -> StoreResult<Option<Environment>> {
        let (phase, intent) = (word(&stood.phase)?, serde_json::to_string(&Intent::Wake)?);
        let now = now.as_millis();
        let mut transaction = self.write().await?;
        let done = sqlx::query!(
            "UPDATE environment SET intent = ?, phase = ?, reason = ?, serving = 1, settled_generation = generation,
                 updated_at = ?, version = version + 1
             WHERE id = ? AND generation = ?",
            intent,
            phase,
            stood.reason,
            now,
            stood.id.0,
            stood.generation.0
        )
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let awake = environment::require(&mut transaction, stood.id).await?;
        transaction.commit().await?;
        Ok(Some(awake))
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateChange;
    use super::super::testing::{home, moment, new_environment, run};
    use crate::domain::environment::{Intent, Phase};

    #[tokio::test]
    async fn it_stands_as_it_stood_unless_something_newer_is_wanted() {
        let (_folder, store) = home().await;
        let made = store.create_environment(new_environment("a", 1)).await.unwrap();
        let ready = StateChange { serving: Some(true), settled: true, ..StateChange::to(Phase::Ready) };
        store.update_state(made.id, made.generation, &ready, moment(2)).await.unwrap();
        let sleep = Intent::Sleep { why: "quiet".to_owned(), gives_way: true };
        let stood = store.set_intent(made.id, &sleep, None, moment(3)).await.unwrap();
        let down = StateChange { serving: Some(false), ..StateChange::to(Phase::Asleep) };
        store.update_state(made.id, stood.generation, &down, moment(4)).await.unwrap();
        let awake = store.stay_awake(&stood, moment(5)).await.unwrap().unwrap();
        assert_eq!((awake.phase, awake.serving, awake.has_work()), (Phase::Ready, true, false));
        assert!(awake.intent.runs());
        store.set_intent(made.id, &run(), None, moment(6)).await.unwrap();
        assert_eq!(store.stay_awake(&stood, moment(7)).await.unwrap(), None);
    }
}
