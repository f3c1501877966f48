//! File names of containers' logs: no two containers share one.

use sha2::{Digest, Sha256};

/// So much of an id tells containers apart.
const ID_LENGTH: usize = 12;
/// Longest name that goes into a file name as it is; a folder's entries have 255 bytes.
const LONGEST: usize = 200;

/// Names are the engine's, but a path takes no chances: what is not plain is written `%XX`.
pub(super) fn file_name(name: &str, id: &str) -> String {
    let mut plain = plain(name);
    if plain.len() > LONGEST {
        let digest = hex::encode(Sha256::digest(name));
        plain.truncate(LONGEST - digest.len());
        // No name that is written whole has this character.
        plain = format!("{plain}~{digest}");
    }
    let id: String = id.chars().take(ID_LENGTH).collect();
    format!("{plain}.{}.log", self::plain(&id))
}

fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        let is_plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && index > 0);
        if is_plain {
            plain.push(char::from(byte));
        } else {
            plain.push_str(&format!("%{byte:02X}"));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_stay_apart_and_inside_the_folder() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let names = ["a.b", "a_b", "a-b", "a/b", "a%2Fb", ".", "..", "", "a b", "ü", "%", &long, &longer];
        let files: BTreeSet<String> = names.iter().map(|name| file_name(name, "c0ffee")).collect();
        assert_eq!(files.len(), names.len(), "{files:?}");
        for file in &files {
            assert!(!file.contains('/') && !file.starts_with('.') || file.starts_with(".c0ffee"), "{file}");
            assert!(file.len() <= 255 && file.ends_with(".c0ffee.log"), "{file}");
        }
        assert_eq!(file_name("p-web_x.y-1", "0123456789abcdef"), "p-web_x.y-1.0123456789ab.log");
        assert_ne!(file_name("a", "b/c"), file_name("a", "b_c"));
    }
}
