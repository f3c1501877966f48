//! Where a configuration comes from: a file, the text in a variable, a store elsewhere.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Dict;

use super::Fault;

/// Names the configuration where no flag does: a file, a store, or its whole text.
pub(super) const VARIABLE: &str = "DREY_CONFIG";
/// What a store's address begins with.
const STORES: [&str; 2] = ["etcd://", "etcds://"];

/// What was read from a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `etcd://host:port/key`.
    pub address: String,
    pub text: String,
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    /// Of the variable itself.
    Text(String),
    Store(String),
}

impl Source {
    /// The flag's, else the variable's; none where neither says anything.
    pub(super) fn named(flag: Option<&Path>, environment: &[(String, String)]) -> Option<Self> {
        if let Some(flag) = flag {
            let store = flag.to_str().filter(|text| is_store(text));
            return Some(
                store.map_or_else(|| Self::File(flag.to_owned()), |text| Self::Store(text.to_owned())),
            );
        }
        let value = environment.iter().find(|(name, value)| name == VARIABLE && !value.trim().is_empty());
        Some(match value?.1.as_str() {
            text if is_store(text) => Self::Store(text.to_owned()),
            // No path has one of them, and no configuration is without both.
            text if text.contains(['\n', '=']) => Self::Text(text.to_owned()),
            path => Self::File(PathBuf::from(path)),
        })
    }

    /// As faults name it.
    pub(super) fn origin(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Text(_) => VARIABLE.to_owned(),
            Self::Store(address) => address.clone(),
        }
    }
}

fn is_store(text: &str) -> bool {
    STORES.iter().any(|scheme| text.starts_with(scheme))
}

pub(super) fn read_file(file: &Path) -> Result<Dict, Fault> {
    let origin = file.display().to_string();
    if !file.is_file() {
        return Err(fault(&origin, "is not there; name another with --config"));
    }
    let read = Figment::new().merge(Toml::file_exact(file)).extract();
    read.map_err(|error| fault(&origin, error.to_string().trim_end()))
}

pub(super) fn read_text(origin: &str, text: &str) -> Result<Dict, Fault> {
    let read = Figment::new().merge(Toml::string(text)).extract();
    read.map_err(|error| fault(origin, error.to_string().trim_end()))
}

/// The values of another program's configuration, sorted by name.
///
/// # Errors
/// When it is no TOML; says where.
pub fn foreign(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

pub(super) fn fault(origin: &str, message: &str) -> Fault {
    Fault { key: String::new(), origin: Some(origin.to_owned()), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(flag: Option<&str>, variable: &str) -> Option<Source> {
        let environment = [(VARIABLE.to_owned(), variable.to_owned())];
        Source::named(flag.map(Path::new), &environment)
    }

    #[test]
    fn the_flag_counts_before_the_variable_which_may_be_the_text_itself() {
        let file = |path: &str| Some(Source::File(path.into()));
        let store = "etcds://a:2379,b:2379/drey/config?ca=/ca.pem";
        assert_eq!(named(Some("/a.toml"), "data_dir = \"/x\""), file("/a.toml"));
        assert_eq!(named(Some(store), "/b.toml"), Some(Source::Store(store.to_owned())));
        assert_eq!(named(None, store), Some(Source::Store(store.to_owned())));
        assert_eq!(named(None, "/b.toml"), file("/b.toml"));
        for text in ["data_dir = \"/x\"", "[proxy]\n"] {
            assert_eq!(named(None, text), Some(Source::Text(text.to_owned())));
        }
        assert_eq!(named(None, " "), None);
    }

    #[test]
    fn what_is_no_toml_is_told_with_where_it_came_from() {
        let told = read_text(VARIABLE, "a = ").unwrap_err().to_string();
        assert!(told.starts_with("DREY_CONFIG: "), "{told}");
        assert_eq!(read_text(VARIABLE, "a = 1").unwrap().len(), 1);
    }
}
