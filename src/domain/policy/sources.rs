//! Which compose file says what: the resolved document does not tell any more.

use std::collections::BTreeMap;

/// Longest key that is remembered; what is longer is known by the beginning of it.
const KEY_LIMIT: usize = 200;
/// Most keys that are remembered.
const COUNT_LIMIT: usize = 20_000;

/// Keys of compose files, and the files that say them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<String>,
    /// Key → places in `files`.
    keys: BTreeMap<String, Vec<usize>>,
}

impl Sources {
    /// Keys are added for the file that was named last.
    pub fn begin_file(&mut self, name: &str) {
        self.files.push(name.to_owned());
    }

    /// Whether it is worth going deeper: the key is remembered.
    pub fn add(&mut self, key: &str) -> bool {
        let Some(file) = self.files.len().checked_sub(1) else { return false };
        if key.len() > KEY_LIMIT || (self.keys.len() >= COUNT_LIMIT && !self.keys.contains_key(key)) {
            return false;
        }
        let files = self.keys.entry(key.to_owned()).or_default();
        if files.last() != Some(&file) {
            files.push(file);
        }
        true
    }

    /// The files that say the key, or as much of its beginning as any file says; all of them where none does.
    pub fn of(&self, key: &str) -> Option<String> {
        let mut part = key;
        loop {
            if let Some(files) = self.keys.get(part) {
                let names: Vec<&str> =
                    files.iter().filter_map(|file| self.files.get(*file)).map(String::as_str).collect();
                return joined(names);
            }
            match part.rfind(['.', '[']) {
                Some(end) => part = &part[..end],
                None => return joined(self.files.iter().map(String::as_str).collect()),
            }
        }
    }
}

fn joined(mut names: Vec<&str>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_the_files_that_say_most_of_it() {
        let mut sources = Sources::default();
        assert_eq!(sources.of("services"), None);
        for (file, keys) in [
            ("compose.yaml", vec!["services", "services.web.1", "services.web.1.image", "services.db"]),
            ("more.yaml", vec!["services", "services.web.1", "services.web.1.ports"]),
        ] {
            sources.begin_file(file);
            assert!(keys.into_iter().all(|key| sources.add(key)));
        }
        let of = |key: &str| sources.of(key).unwrap();
        assert_eq!(of("services.web.1.ports[0].published"), "more.yaml");
        assert_eq!(of("services.web.1.image"), "compose.yaml");
        assert_eq!(of("services.db.image"), "compose.yaml");
        assert_eq!(of("services.web.1.networks.default"), "compose.yaml, more.yaml");
        assert_eq!(of("networks.default"), "compose.yaml, more.yaml");
        assert!(!sources.add(&"x".repeat(KEY_LIMIT + 1)));
    }
}
