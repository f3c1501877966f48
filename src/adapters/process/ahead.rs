//! Programs that are started before it is known what they shall do: they wait for their standard input.
//!
//! The large tools take up to a tenth of a second before they read anything, and others work meanwhile.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::running::{self, Running};
use super::{Command, Output};
use crate::ports::{Expectation, LogSink, PortResult};

/// A program that runs and waits for its input. Dropping it ends it.
pub struct Started {
    command: Command,
    running: Running,
}

impl Command {
    /// Starts it now; what it shall read is given to [`Started::stream`].
    pub fn start(self) -> PortResult<Started> {
        let running = running::spawn(&self, true)?;
        Ok(Started { command: self, running })
    }
}

impl Started {
    /// Gives it its whole input and follows it to its end, as [`Command::stream`] does; the time limit begins now.
    pub async fn stream(self, input: Vec<u8>, source: &str, log: &dyn LogSink) -> PortResult<Output> {
        let command = self.command.stdin(input);
        running::follow(&command, self.running, Some((source, log))).await
    }
}

/// What was started ahead, each for a key, until it is taken or nobody expects it any more.
#[derive(Debug)]
pub struct Ahead<K, T> {
    waiting: Mutex<Vec<(K, Weak<Place<T>>)>>,
}

/// Holds a thing until it is taken; belongs to its expectation.
type Place<T> = Mutex<Option<T>>;

impl<K, T> Default for Ahead<K, T> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<K: PartialEq, T: Send + 'static> Ahead<K, T> {
    /// Keeps `thing` for as long as the expectation lives.
    pub fn put(&self, key: K, thing: T) -> Expectation {
        let place = Arc::new(Mutex::new(Some(thing)));
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(_, place)| place.strong_count() > 0);
        waiting.push((key, Arc::downgrade(&place)));
        Expectation::of(place)
    }

    /// Takes one out that waits for `key`.
    pub fn take(&self, key: &K) -> Option<T> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(index) = waiting.iter().position(|(kept, _)| kept == key) {
            let (_, place) = waiting.swap_remove(index);
            let thing = place.upgrade().and_then(|place| place.lock().ok()?.take());
            if thing.is_some() {
                return thing;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::process::tests::Kept;

    #[tokio::test]
    async fn a_started_program_waits_for_its_input() {
        let lines = Kept::default();
        let started = Command::new("cat").start().unwrap();
        let output = started.stream(b"late\nbut whole\n".to_vec(), "cat", &lines).await.unwrap();
        assert!(output.succeeded());
        assert_eq!(lines.texts(), ["late", "but whole"]);
    }

    #[tokio::test]
    async fn what_nobody_expects_any_more_is_ended_and_cannot_be_taken() {
        let ahead = Ahead::default();
        let started = Command::new("cat").start().unwrap();
        let process = format!("/proc/{}", started.running.id().unwrap());
        let expectation = ahead.put("a", started);
        assert!(ahead.take(&"b").is_none());
        drop(expectation);
        assert!(ahead.take(&"a").is_none());
        let is_gone =
            || std::fs::read_to_string(format!("{process}/stat")).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..200 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{process} lives on");
    }

    #[tokio::test]
    async fn each_is_taken_once() {
        let ahead = Ahead::default();
        let _first = ahead.put(1, "first");
        let _second = ahead.put(1, "second");
        let mut taken = [ahead.take(&1), ahead.take(&1)];
        taken.sort();
        assert_eq!(taken, [Some("first"), Some("second")]);
        assert_eq!(ahead.take(&1), None);
    }
}
