//! The daemon's log: lines on standard error, each a line whatever is in it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as lines, reload};

use crate::config::{Log, LogFormat, LogLevel};
use crate::ports::Redactor;

/// Says what is told from now on.
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
    /// `DREY_LOG` was given: it stays.
    is_fixed: bool,
    redactor: Arc<Redactor>,
}

impl LogControl {
    /// What it learns no line has any more.
    pub(super) fn redactor(&self) -> Arc<Redactor> {
        self.redactor.clone()
    }

    pub(super) fn set(&self, level: LogLevel) {
        if !self.is_fixed {
            // It fails only when there is no log any more.
            self.filter.reload(filter(level)).unwrap_or_default();
        }
    }
}

/// Begins to log. `DREY_LOG`, where it is set, wins over the configured level, for instance `drey::proxy=trace`.
pub fn start_logging(log: &Log) -> LogControl {
    let given = EnvFilter::try_from_env("DREY_LOG");
    let is_fixed = given.is_ok();
    let (filter, handle) = reload::Layer::new(given.unwrap_or_else(|_unset| filter(log.level)));
    let is_terminal = io::stderr().is_terminal();
    let is_json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !is_terminal,
    };
    let redactor = Arc::new(Redactor::default());
    let known = redactor.clone();
    let writer = move || Redacted { inner: io::stderr(), redactor: known.clone() };
    let told = if is_json { json(writer).boxed() } else { text(writer, is_terminal).boxed() };
    tracing_subscriber::registry().with(filter).with(told).init();
    LogControl { filter: handle, is_fixed, redactor }
}

/// drey's own words at this level; those of libraries at `info` at most.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "info,drey=debug",
        LogLevel::Trace => "info,drey=trace",
    })
}

/// One object a line, its fields at the top.
fn json<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> lines::MakeWriter<'a> + Send + Sync + 'static,
{
    lines::layer().json().flatten_event(true).with_writer(EscapedJson(writer))
}

/// `message name=value name=value`.
fn text<S, W>(writer: W, with_colours: bool) -> impl Layer<S> + Send + Sync
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> lines::MakeWriter<'a> + Send + Sync + 'static,
{
    let fields = debug_fn(|writer: &mut Writer<'_>, field, value| {
        if field.name() == "message" {
            write!(writer, "{}", Escaped(&format!("{value:?}")))
        } else {
            write!(writer, "{field}={}", Escaped(&format!("{value:?}")))
        }
    });
    lines::layer().fmt_fields(fields.delimited(" ")).with_ansi(with_colours).with_writer(writer)
}

/// Would break a line, or steer the terminal that shows it.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of others, on one line.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(is_unfit) {
            let mut characters = part.chars();
            match characters.next_back().filter(|last| is_unfit(*last)) {
                Some(last) => write!(f, "{}{}", characters.as_str(), last.escape_default())?,
                None => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// Lines without secrets.
struct Redacted<W> {
    inner: W,
    redactor: Arc<Redactor>,
}

impl<W: Write> Write for Redacted<W> {
    /// A whole line at a time, as the layer gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.inner.write_all(self.redactor.text(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// JSON has an escape for each character, but its writers use it below U+0020 only.
struct EscapedJson<W>(W);

impl<'a, W: lines::MakeWriter<'a>> lines::MakeWriter<'a> for EscapedJson<W> {
    type Writer = EscapedJson<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapedJson(self.0.make_writer())
    }
}

impl<W: Write> Write for EscapedJson<W> {
    /// A whole line at a time, as the layer gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            if is_unfit(c) && c != '\n' {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                escaped.push(c);
            }
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "feature/\n{\"level\":\"ERROR\"}\r\u{1b}[31m\u{7f}\u{9b}2J\u{202e}ü";

    fn told(layer: impl FnOnce(Kept) -> Box<dyn Layer<Registry> + Send + Sync>) -> String {
        let kept = Kept::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer(kept.clone())), || {
            tracing::warn!(environment.branch = %HOSTILE, reason = HOSTILE, plain = "a b", "{HOSTILE}");
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn is_one_clean_line(text: &str) -> bool {
        text.strip_suffix('\n').is_some_and(|line| !line.contains(is_unfit))
    }

    #[test]
    fn json_is_one_flat_line_whatever_is_in_it() {
        let text = told(|kept| json(move || kept.clone()).boxed());
        assert!(is_one_clean_line(&text), "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &HOSTILE.into()));
        assert_eq!((&line["environment.branch"], &line["reason"]), (&HOSTILE.into(), &HOSTILE.into()));
        assert!(line["timestamp"].is_string(), "{line}");
    }

    #[test]
    fn no_line_has_a_secret() {
        let redactor = Arc::new(Redactor::default());
        redactor.learn([&b"feature/"[..]]);
        for is_json in [true, false] {
            let redactor = redactor.clone();
            let lines = told(move |kept| {
                let writer = move || Redacted { inner: kept.clone(), redactor: redactor.clone() };
                if is_json { json(writer).boxed() } else { text(writer, false).boxed() }
            });
            assert!(lines.contains("***") && !lines.contains("feature/"), "{lines}");
        }
    }

    #[test]
    fn text_is_one_line_whatever_is_in_it() {
        let text = told(|kept| text(move || kept.clone(), false).boxed());
        assert!(is_one_clean_line(&text), "{text:?}");
        assert!(text.contains("environment.branch=feature/\\n{"), "{text}");
        assert!(text.contains("plain=\"a b\"") && text.contains('ü'), "{text}");
    }
}
