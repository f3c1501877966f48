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
    /// File → key → line.
    lines: BTreeMap<String, BTreeMap<String, usize>>,
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

    /// Remembers on which lines the keys of a file stand; of several the first counts.
    pub fn add_lines(&mut self, file: &str, lines: Vec<(String, usize)>) {
        let known = self.lines.entry(file.to_owned()).or_default();
        for (key, line) in lines.into_iter().filter(|(key, _)| key.len() <= KEY_LIMIT).take(COUNT_LIMIT) {
            known.entry(key).or_insert(line);
        }
    }

    /// The line of the key in the file, or of what it stands in.
    pub fn line(&self, file: &str, key: &str) -> Option<usize> {
        let lines = self.lines.get(file)?;
        let mut part = key;
        loop {
            if let Some(line) = lines.get(part) {
                return Some(*line);
            }
            part = &part[..part.rfind(['.', '['])?];
        }
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
        sources.add_lines("a", vec![("services.web".to_owned(), 2), ("services.web".to_owned(), 9)]);
        assert_eq!(sources.line("a", "services.web.ports[0].target"), Some(2));
        assert_eq!((sources.line("a", "services"), sources.line("b", "services.web")), (None, None));
    }
}
