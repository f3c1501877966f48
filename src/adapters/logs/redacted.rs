//! Secrets out of log lines, before anything is kept or followed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::redaction::Filter;
use crate::ports::{LogLine, LogSink, Redactor};

/// Lines of this length were cut where they were too long, and go on in the next: so do secrets. Engines cut after 16 KiB,
/// drey's own readers after 8 KiB; a little less for line breaks and characters that were cut.
const CUT: usize = 8_000;

/// How lines begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Text,
    /// With the engine's time and a space.
    Time,
}

/// A sink that gets no secrets.
pub(super) struct Redacted<S> {
    sink: S,
    redactor: Arc<Redactor>,
    beginning: Beginning,
    /// Source → the stream of its line that goes on.
    going_on: Mutex<BTreeMap<String, Filter>>,
}

impl<S> Redacted<S> {
    pub(super) fn new(sink: S, redactor: Arc<Redactor>, beginning: Beginning) -> Self {
        Self { sink, redactor, beginning, going_on: Mutex::default() }
    }

    fn without_secrets(&self, source: &str, text: &str) -> String {
        let mut going_on = self.going_on.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = going_on.remove(source);
        if begun.is_none() && text.len() < CUT {
            return self.redactor.text(text).into_owned();
        }
        let mut filter = begun.unwrap_or_else(|| Filter::new(self.redactor.patterns()));
        let mut bytes = filter.push(text.as_bytes());
        if text.len() < CUT {
            bytes.extend(filter.finish());
        } else {
            going_on.insert(source.to_owned(), filter);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl<S: LogSink> LogSink for Redacted<S> {
    fn line(&self, line: LogLine) {
        let LogLine { source, text } = line;
        let text = match (self.beginning, text.split_once(' ')) {
            (Beginning::Time, Some((time, rest))) => {
                format!("{time} {}", self.without_secrets(&source, rest))
            }
            (Beginning::Time | Beginning::Text, _) => self.without_secrets(&source, &text),
        };
        self.sink.line(LogLine { source, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl LogSink for Kept {
        fn line(&self, line: LogLine) {
            self.0.lock().unwrap().push(line.text);
        }
    }

    #[test]
    fn a_secret_in_a_line_that_was_cut_goes_too() {
        for (beginning, time) in [(Beginning::Text, ""), (Beginning::Time, "12:00 ")] {
            let redactor = Arc::new(Redactor::default());
            redactor.learn([&b"hunter22"[..]]);
            let kept = Arc::<Mutex<Vec<String>>>::default();
            let sink = Redacted::new(Kept(kept.clone()), redactor, beginning);
            let tell = |source: &str, text: &str| {
                sink.line(LogLine { source: source.to_owned(), text: format!("{time}{text}") });
            };
            let long = "x".repeat(CUT);
            tell("web", &format!("{long}hunt"));
            tell("db", "er22 is of another source");
            tell("web", "er22 and the end, hunt");
            tell("web", "er22 in a new line");
            let told = kept.lock().unwrap().clone();
            let expected =
                [&long, "er22 is of another source", "*** and the end, hunt", "er22 in a new line"];
            assert_eq!(told, expected.map(|text| format!("{time}{text}")));
        }
    }
}
