//! Faults of a configuration, all at once.

use std::fmt;

use thiserror::Error;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// For instance `repo[0].url`; empty when it is about the whole file.
    pub key: String,
    /// File or environment variable that it came from, where known.
    pub origin: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All faults there are.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Fault>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.as_ref().map(|origin| format!("{origin}: ")).unwrap_or_default();
        let colon = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{origin}{}{colon}{}", self.key, self.message)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}
