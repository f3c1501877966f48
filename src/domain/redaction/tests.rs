use data_encoding::{BASE64, BASE64URL_NOPAD};
use proptest::prelude::*;

use super::*;

fn filtered(patterns: &Arc<Patterns>, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut filter = Filter::new(patterns.clone());
    let (mut out, mut rest) = (Vec::new(), text);
    for cut in cuts {
        let (chunk, later) = rest.split_at((*cut).min(rest.len()));
        out.extend(filter.push(chunk));
        rest = later;
    }
    out.extend(filter.push(rest));
    out.extend(filter.finish());
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn patterns(values: &[&str]) -> Arc<Patterns> {
    Arc::new(Patterns::of(values.iter().map(|value| value.as_bytes())))
}

#[test]
fn a_secret_goes_and_the_rest_stays() {
    let patterns = patterns(&["hunter22", "hunter22x", "s3cr/t&<\"q\"> ü"]);
    for (text, expected) in [
        ("nothing here", "nothing here"),
        ("password=hunter22;", "password=***;"),
        ("hunter22x", "***"),
        ("hunter2hunter22", "hunter2***"),
        ("hunter22hunter22", "***"),
        ("hunter2", "hunter2"),
        ("aHVudGVyMjI=", "***"),
        ("q=s3cr%2Ft%26%3C%22q%22%3E%20%C3%BC&", "q=***&"),
        ("q=s3cr%2ft%26%3c%22q%22%3e+%c3%bc&", "q=***&"),
        (r#"{"a":"s3cr/t&<\"q\"> ü"}"#, r#"{"a":"***"}"#),
        (r#"{"a":"s3cr\/t\u0026\u003c\"q\"\u003e \u00fc"}"#, r#"{"a":"***"}"#),
        ("<p>s3cr&#x2F;t&amp;&lt;&quot;q&quot;&gt; ü</p>", "<p>***</p>"),
        ("68756e7465723232", "***"),
    ] {
        assert_eq!(patterns.redact(text), expected);
    }
}

#[test]
fn each_line_of_a_long_secret_is_one() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhk\nshort\n-----END KEY-----\n";
    let patterns = patterns(&[key]);
    assert_eq!(patterns.redact("12:00 web | MIIEvQIBADANBgkqhk"), "12:00 web | ***");
    assert_eq!(patterns.redact("a short word"), "a short word");
}

#[test]
fn the_longest_secret_is_found_and_needs_little() {
    let secret: Vec<u8> =
        (0..16 * 1024_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let patterns = Arc::new(Patterns::of([secret.as_slice()]));
    assert!(patterns.nodes.len() < 1_000_000, "{} nodes", patterns.nodes.len());
    let text = BASE64.encode(&[b"ab", secret.as_slice(), b"cd"].concat());
    let left = filtered(&patterns, text.as_bytes(), &[7, 10_000]);
    assert!(left.len() < 20, "{}", left.len());
}

#[test]
fn nothing_is_looked_for_where_there_is_no_secret_and_short_ones_do_not_count() {
    let patterns = patterns(&["", "12345"]);
    assert_eq!(patterns.redact("12345 and so on"), "12345 and so on");
}

#[test]
fn only_what_may_be_a_beginning_is_held_back() {
    let mut filter = Filter::new(patterns(&["hunter22"]));
    assert_eq!(filter.push(b"a line\n"), b"a line\n");
    assert_eq!(filter.push(b"hunt"), b"");
    assert_eq!(filter.push(b"ing\n"), b"hunting\n");
    assert_eq!(filter.push(b"hunter2"), b"");
    assert_eq!(filter.finish(), b"hunter2");
}

/// What of the base64 of all depends on the bytes from `start` to `end` alone.
fn core(encoded: &str, start: usize, end: usize) -> Vec<u8> {
    encoded.as_bytes()[(start * 8).div_ceil(6)..end * 8 / 6].to_vec()
}

fn percent_encoded(secret: &[u8]) -> String {
    secret
        .iter()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_form_survives_whatever_the_chunks(
        secret in proptest::collection::vec(any::<u8>(), 6..40)
            .prop_filter("a value of white space is refused", |it| it.trim_ascii().len() >= 6),
        before in proptest::collection::vec(any::<u8>(), 0..8),
        after in proptest::collection::vec(any::<u8>(), 0..8),
        cuts in proptest::collection::vec(0_usize..9, 0..60),
    ) {
        let patterns = Arc::new(Patterns::of([secret.as_slice()]));
        let (start, end) = (before.len(), before.len() + secret.len());
        let whole = [before.as_slice(), &secret, &after].concat();
        let (standard, url) = (BASE64.encode(&whole), BASE64URL_NOPAD.encode(&whole));
        let forms = [
            (whole.clone(), secret.clone()),
            (standard.clone().into_bytes(), core(&standard, start, end)),
            (url.clone().into_bytes(), core(&url, start, end)),
            (percent_encoded(&whole).into_bytes(), percent_encoded(&secret).into_bytes()),
        ];
        for (text, form) in forms {
            prop_assert!(contains(&text, &form));
            prop_assert!(!contains(&filtered(&patterns, &text, &cuts), &form));
        }
    }

    #[test]
    fn no_json_survives_and_other_text_is_as_it_was(
        secret in "[ -~äöü€😀]{6,30}", other in "[a-z ]{0,40}", cuts in proptest::collection::vec(0_usize..9, 0..60),
    ) {
        prop_assume!(secret.trim_ascii().len() >= 6 && !secret.trim_ascii().is_empty());
        let patterns = Arc::new(Patterns::of([secret.as_bytes()]));
        let text = serde_json::json!({ "value": secret, "other": 1 }).to_string();
        let form = serde_json::to_string(&secret).unwrap();
        let form = &form.as_bytes()[1..form.len() - 1];
        prop_assert!(!contains(&filtered(&patterns, text.as_bytes(), &cuts), form));
        let upper = patterns.redact(&other);
        prop_assert!(secret.chars().any(|c| other.contains(c)) || upper == other.as_str());
    }
}
