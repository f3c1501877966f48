//! How a path in a compose file may be read.

use std::path::{Component, Path, PathBuf};

/// Compose takes `..` off the text, the system goes up from where the links before it lead: both must hold.
pub(super) fn both_readings(path: PathBuf) -> Vec<PathBuf> {
    let mut text = PathBuf::new();
    for part in path.components() {
        let after_a_name = matches!(text.components().next_back(), Some(Component::Normal(_)));
        if part == Component::ParentDir && after_a_name {
            text.pop();
        } else {
            text.push(part);
        }
    }
    if text == path { vec![path] } else { vec![path, text] }
}

/// The folders that a relative path may count from.
pub(super) struct Folders {
    pub(super) declared: PathBuf,
    pub(super) own: PathBuf,
}

impl Folders {
    pub(super) fn both(&self) -> Vec<&Path> {
        if self.declared == self.own { vec![&self.own] } else { vec![&self.declared, &self.own] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_by_its_text_and_by_its_links() {
        let read = |path: &str| both_readings(PathBuf::from(path));
        assert_eq!(read("a/b"), [PathBuf::from("a/b")]);
        assert_eq!(read("link/../../secret")[1], PathBuf::from("../secret"));
        assert_eq!(read("a/../../../x")[1], PathBuf::from("../../x"));
    }
}
