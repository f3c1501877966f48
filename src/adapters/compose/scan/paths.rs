//! How a path in a compose file may be read.

use std::path::{Component, Path, PathBuf};

/// The path as Compose reads it: `..` is taken off the text. The system goes up from where the links before it lead; so
/// both must hold.
pub(super) fn by_text(path: &Path) -> PathBuf {
    let mut text = PathBuf::new();
    for part in path.components() {
        let after_a_name = matches!(text.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if after_a_name => {
                text.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::ParentDir | Component::Normal(_) => {
                text.push(part);
            }
        }
    }
    text
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

/// A path of the file's choice, as it can be told.
pub(super) fn shown(path: &str) -> String {
    path.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_by_its_text() {
        for (path, text) in [
            ("a/b", "a/b"),
            ("./a/./b", "a/b"),
            ("./a/../compose.yaml", "compose.yaml"),
            ("link/../../secret", "../secret"),
            ("a/../../../x", "../../x"),
        ] {
            assert_eq!(by_text(Path::new(path)), PathBuf::from(text), "{path}");
        }
    }
}
