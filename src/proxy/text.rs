//! Hostile text made harmless: for pages, and for plain answers.

/// Text for HTML, as content or inside a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Drops what would steer a terminal or the direction of reading: escape sequences, control characters (line
/// breaks and tabs stay), bidirectional controls, invisible characters. At most `limit` characters are kept, the
/// last ones: a log says at its end why it ended.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let kept: String = without_escapes(text).chars().filter(|c| is_visible(*c)).collect();
    let too_many = kept.chars().count().saturating_sub(limit);
    if too_many == 0 {
        return kept;
    }
    let tail: String = kept.chars().skip(too_many).collect();
    format!("…{tail}")
}

/// As [`clean`], on one line.
pub(super) fn clean_line(text: &str, limit: usize) -> String {
    clean(text, limit).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_visible(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => false,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => false,
        other => !other.is_control(),
    }
}

/// ECMA-48: control sequences (`ESC [ … final`), strings (`ESC ] … BEL` or `ESC \`), and other two-byte escapes.
/// The one-byte forms (U+0080 to U+009F) lose only their introducer; the rest of them is plain text.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        match characters.next() {
            Some('[') => while characters.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
            Some(']' | 'P' | 'X' | '^' | '_') => {
                while let Some(c) = characters.next() {
                    let ends = c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some());
                    if ends || c == '\n' {
                        break;
                    }
                }
            }
            Some(_) | None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_shown_not_followed() {
        assert_eq!(escape(r#"<b a="x" b='y'>&"#), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
        assert_eq!(escape("größe"), "größe");
    }

    #[test]
    fn what_steers_a_terminal_or_the_direction_of_reading_is_dropped() {
        assert_eq!(clean("a\u{1b}[31;1mred\u{1b}[0m\r\nb\tc\0", 99), "ared\nb\tc");
        assert_eq!(clean("x\u{1b}]8;;http://evil\u{7}link\u{1b}]8;;\u{1b}\\y", 99), "xlinky");
        assert_eq!(clean("safe\u{202e}gnp.exe\u{2066}\u{feff}\u{9b}31m", 99), "safegnp.exe31m");
        assert_eq!(clean("\u{1b}", 99), "");
    }

    #[test]
    fn the_end_is_kept() {
        assert_eq!(clean("0123456789", 3), "…789");
        assert_eq!(clean_line("a\n  b\u{2028}c", 99), "a bc");
    }
}
