//! `[log]`: what the daemon tells on standard error.

use super::reader::Section;

/// `[log]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Text,
    Json,
}

/// The least that is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let format = section.read("format", |value| match value.as_str() {
            Some("auto") => Ok(LogFormat::Auto),
            Some("text") => Ok(LogFormat::Text),
            Some("json") => Ok(LogFormat::Json),
            Some(_) | None => Err("must be auto, text or json".to_owned()),
        });
        let level = section.read("level", |value| match value.as_str() {
            Some("error") => Ok(LogLevel::Error),
            Some("warn") => Ok(LogLevel::Warn),
            Some("info") => Ok(LogLevel::Info),
            Some("debug") => Ok(LogLevel::Debug),
            Some("trace") => Ok(LogLevel::Trace),
            Some(_) | None => Err("must be error, warn, info, debug or trace".to_owned()),
        });
        section.finish();
        Self { format: format.unwrap_or_default(), level: level.unwrap_or_default() }
    }
}
