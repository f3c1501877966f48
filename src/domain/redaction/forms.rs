//! The forms in which a value may appear: as it is, each of its lines, and these in base64, hexadecimal, percent
//! encoding, JSON and HTML.

use std::collections::BTreeSet;
use std::fmt::Write;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};

use crate::domain::secrets::SHORTEST_VALUE;

/// Bytes besides letters and digits that percent encoders leave as they are: RFC 3986, the same for paths, HTML forms,
/// and the two functions of JavaScript.
const UNTOUCHED: [&[u8]; 5] = [b"-_.~", b"-_.~/", b"*-._", b"-_.!~*'()", b"-_.!~*'();/?:@&=+$,#"];
/// Longer values would have too many bytes in all their forms.
const LONG: usize = 1024;
/// For each position of a value in groups of three bytes: how many characters of its base64 depend on what is before it.
const BEFORE: [usize; 3] = [0, 2, 3];

/// All forms of a value; none of one that is too short.
pub fn forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let parts: BTreeSet<&[u8]> = [value, value.trim_ascii()]
        .into_iter()
        .chain(lines)
        .filter(|it| it.len() >= SHORTEST_VALUE)
        .collect();
    for part in parts {
        forms.insert(part.to_vec());
        if value.len() > LONG {
            forms.extend(few(part));
            continue;
        }
        for encoding in [&BASE64, &BASE64_NOPAD, &BASE64URL, &BASE64URL_NOPAD, &HEXLOWER, &HEXUPPER] {
            forms.insert(encoding.encode(part).into_bytes());
        }
        for encoding in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
            forms.extend(within_base64(part, encoding));
        }
        forms.extend(percent(part));
        if let Ok(text) = std::str::from_utf8(part) {
            forms.extend(json(text));
            forms.extend(html(text));
        }
    }
    forms
}

/// Of long values only the forms that nearly every program writes.
fn few(part: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = within_base64(part, &BASE64_NOPAD);
    forms.extend(within_base64(part, &BASE64URL_NOPAD));
    forms.extend(percent(part).into_iter().take(2));
    forms.extend(std::str::from_utf8(part).ok().and_then(|text| json(text).into_iter().next()));
    forms
}

/// What is sure of its base64 wherever it stands in what was encoded.
fn within_base64(part: &[u8], encoding: &Encoding) -> Vec<Vec<u8>> {
    let of = |before: usize| {
        let mut whole = vec![0; before];
        whole.extend_from_slice(part);
        let sure = whole.len() * 8 / 6;
        encoding.encode(&whole).as_bytes()[BEFORE[before]..sure].to_vec()
    };
    (0..BEFORE.len()).map(of).collect()
}

fn percent(part: &[u8]) -> Vec<Vec<u8>> {
    let escape = |byte: u8, upper: bool| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
    let mut forms = Vec::new();
    for upper in [true, false] {
        for untouched in UNTOUCHED {
            for plus in [true, false] {
                let encoded = part.iter().map(|byte| match byte {
                    b' ' if plus => "+".to_owned(),
                    byte if byte.is_ascii_alphanumeric() || untouched.contains(byte) => {
                        char::from(*byte).to_string()
                    }
                    byte => escape(*byte, upper),
                });
                forms.push(encoded.collect::<String>().into_bytes());
            }
        }
        forms.push(part.iter().map(|byte| escape(*byte, upper)).collect::<String>().into_bytes());
    }
    forms
}

/// As writers of JSON escape it: the slash or not, `< > &` or not, all beyond ASCII or not.
fn json(text: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for number in 0..16_u8 {
        let has = |bit: u8| number & (1 << bit) != 0;
        let (slash, tags, ascii, upper) = (has(0), has(1), has(2), has(3));
        let mut form = String::new();
        for c in text.chars() {
            match c {
                '"' => form.push_str("\\\""),
                '\\' => form.push_str("\\\\"),
                '\n' => form.push_str("\\n"),
                '\r' => form.push_str("\\r"),
                '\t' => form.push_str("\\t"),
                '\u{8}' => form.push_str("\\b"),
                '\u{c}' => form.push_str("\\f"),
                '/' if slash => form.push_str("\\/"),
                '<' | '>' | '&' | '\'' if tags => by_number(&mut form, c, upper),
                c if c < ' ' || (ascii && c > '~') => by_number(&mut form, c, upper),
                c => form.push(c),
            }
        }
        forms.push(form.into_bytes());
    }
    forms
}

fn by_number(form: &mut String, c: char, upper: bool) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing into a string does not fail.
        let written = if upper { write!(form, "\\u{unit:04X}") } else { write!(form, "\\u{unit:04x}") };
        written.unwrap_or_default();
    }
}

fn html(text: &str) -> Vec<Vec<u8>> {
    let replaced = |quote: &str, slash: &str| {
        let basic =
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        basic.replace('\'', quote).replace('/', slash).into_bytes()
    };
    vec![replaced("&#x27;", "&#x2F;"), replaced("&#x27;", "/"), replaced("&#39;", "/"), replaced("'", "/")]
}
