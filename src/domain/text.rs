//! Text of others made harmless for whoever reads it: at a terminal, in a log line, in a plain answer.
//!
//! HTML is not its business: pages escape what they show.

/// Drops what would steer a terminal or the direction of reading: escape sequences, control characters (line
/// breaks and tabs stay), bidirectional controls, invisible characters.
pub fn clean(text: &str) -> String {
    cleaned(text, false)
}

/// As [`clean`], but colours stay (SGR, `ESC [ … m`): for the log of a program that is shown to somebody who asked for it.
pub fn clean_but_colours(text: &str) -> String {
    cleaned(text, true)
}

/// As [`clean`], with at most `limit` characters: the last ones, since a log says at its end why it ended.
pub fn clean_end(text: &str, limit: usize) -> String {
    let kept = clean(text);
    let too_many = kept.chars().count().saturating_sub(limit);
    if too_many == 0 {
        return kept;
    }
    let tail: String = kept.chars().skip(too_many).collect();
    format!("…{tail}")
}

/// As [`clean`], on one line: what is a break or a tab becomes a space.
pub fn clean_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One word of a shell, whatever is in it: somebody may copy it into one.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The same document of JSON, in which what is not harmless is spelled as an escape: JSON has one for each character, but its writer
/// uses it below U+0020 only. Nothing of the kind stands outside of texts.
pub fn escape_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmless(c) {
            text.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

/// Whether a character shows itself and nothing else. A character that does not would steer the terminal, break the line
/// or turn the direction in which it is read.
pub fn is_harmless(c: char) -> bool {
    match c {
        // Marks of direction, joiners, separators of lines, isolates, the mark of byte order.
        '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => false,
        // Annotations, and tags that nobody sees.
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => false,
        other => !other.is_control(),
    }
}

/// ECMA-48: control sequences (`ESC [ … final`), strings (`ESC ] … BEL` or `ESC \`), and other two-byte escapes.
/// The one-byte forms (U+0080 to U+009F) lose only their introducer; the rest of them is plain text.
fn cleaned(text: &str, keeps_colours: bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\u{1b}' {
            if matches!(c, '\n' | '\t') || is_harmless(c) {
                plain.push(c);
            }
            continue;
        }
        match characters.peek() {
            Some('[') => {
                characters.next();
                let sequence = control_sequence(&mut characters);
                if keeps_colours && is_colour(&sequence) {
                    plain.push_str("\u{1b}[");
                    plain.push_str(&sequence);
                }
            }
            Some(']' | 'P' | 'X' | '^' | '_') => {
                characters.next();
                skip_string(&mut characters);
            }
            // Another escape begins: it is looked at by itself. A break ends the line whatever is before it.
            Some('\u{1b}' | '\n') | None => {}
            Some(_) => {
                characters.next();
            }
        }
    }
    plain
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Parameters and final of a control sequence. What cannot be part of one ends it and stays.
fn control_sequence(characters: &mut Characters<'_>) -> String {
    let mut sequence = String::new();
    while let Some(c) = characters.next_if(|c| ('\u{20}'..='\u{7e}').contains(c)) {
        sequence.push(c);
        if c >= '\u{40}' {
            break;
        }
    }
    sequence
}

/// Up to the terminator of a string; a line break ends it too, so that one broken string does not hide all that follows.
fn skip_string(characters: &mut Characters<'_>) {
    while let Some(c) = characters.next_if(|c| *c != '\n') {
        if c == '\u{7}' || c == '\u{9c}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
            return;
        }
    }
}

fn is_colour(sequence: &str) -> bool {
    sequence
        .strip_suffix('m')
        .is_some_and(|numbers| numbers.chars().all(|c| c.is_ascii_digit() || matches!(c, ';' | ':')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_is_one_word_for_any_shell() {
        assert_eq!(shell_word("shop/feature/x"), "shop/feature/x");
        assert_eq!(shell_word("shop/$(rm -rf ~)"), "'shop/$(rm -rf ~)'");
        assert_eq!(shell_word("shop/it's"), "'shop/it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn what_steers_a_terminal_or_the_direction_of_reading_is_dropped() {
        assert_eq!(clean("a\u{1b}[31;1mred\u{1b}[0m\r\nb\tc\0"), "ared\nb\tc");
        assert_eq!(clean("x\u{1b}]8;;http://evil\u{7}link\u{1b}]8;;\u{1b}\\y"), "xlinky");
        assert_eq!(clean("x\u{1b}]52;c;aWQ=\u{9c}y\u{1b}P1$r\u{1b}\\z"), "xyz");
        assert_eq!(clean("safe\u{202e}gnp.exe\u{2066}\u{feff}\u{9b}31m"), "safegnp.exe31m");
        assert_eq!(clean("\u{1b}"), "");
        assert_eq!(clean("\u{1b}\u{1b}[2Ja\u{1b}[\u{1b}[2Jb"), "ab");
        assert_eq!(clean("\u{1b}]0;title without an end\nnext"), "\nnext");
        assert_eq!(clean("größe 日本 🦀"), "größe 日本 🦀");
    }

    #[test]
    fn colours_stay_where_they_are_asked_for() {
        let text = "\u{1b}[31mred\u{1b}[0m\u{1b}[2J\u{1b}[38;2;1;2;3mx\u{1b}[?25l\u{1b}]0;t\u{7}";
        assert_eq!(clean_but_colours(text), "\u{1b}[31mred\u{1b}[0m\u{1b}[38;2;1;2;3mx");
    }

    #[test]
    fn json_is_the_same_document_and_steers_nothing() {
        let hostile = serde_json::json!({"a\u{202e}b": "\u{9b}31m\u{1b}[2J\u{7f}\u{e0041}ü\n\t"});
        let escaped = escape_json(&hostile.to_string());
        assert!(escaped.chars().all(is_harmless), "{escaped:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), hostile);
    }

    #[test]
    fn the_end_is_kept() {
        assert_eq!(clean_end("0123456789", 3), "…789");
        assert_eq!(clean_line("a\n  b\u{2028}c"), "a bc");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left_of_anything(text in "(\\PC|\\x1b|[\\[\\]PX^_;m0-9\\\\]|\\x07|\\x9b|\\x9c|\\n|\u{202e}){0,40}") {
            let cleaned = clean(&text);
            prop_assert!(cleaned.chars().all(|c| matches!(c, '\n' | '\t') || is_harmless(c)), "{cleaned:?}");
            prop_assert_eq!(clean(&cleaned), cleaned.clone());
            let coloured = clean_but_colours(&text);
            prop_assert_eq!(clean(&coloured), cleaned);
        }
    }
}
