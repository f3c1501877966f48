//! Compose reads the document that it has resolved once more; so every `$` in it stands doubled.

/// A text as it must stand in a document.
pub fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

/// What a text of a document means: a path of the disk, a value of a container.
pub fn unescaped(text: &str) -> String {
    text.replace("$$", "$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dollar_is_two() {
        for text in ["", "a", "$", "a$b", "$$", "$$$x"] {
            assert_eq!(unescaped(&escaped(text)), text);
        }
        assert_eq!(escaped("a$$b"), "a$$$$b");
    }
}
