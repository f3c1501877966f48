//! What Compose itself does not take, in the form of a remark: which key it is about, and what to do.

/// Sections of a compose file: what a complaint names begins with one of them.
const SECTIONS: [&str; 7] = ["services", "networks", "volumes", "configs", "secrets", "models", "include"];

/// The key that a complaint is about: `services.web additional properties 'x' not allowed` is about `services.web.x`.
pub(super) fn key_in(reason: &str) -> Option<String> {
    let is_key = |word: &&str| word.split(['.', '[']).next().is_some_and(|first| SECTIONS.contains(&first));
    let plain =
        |word: &str| word.trim_matches(|c: char| matches!(c, ':' | ',' | '\'' | '"' | '`')).to_owned();
    let named =
        reason.split_whitespace().map(plain).find(|word| is_key(&word.as_str()) && word.contains('.'));
    let Some((_, rest)) = reason.split_once("additional properties '") else { return named };
    let unknown = rest.split('\'').next()?;
    Some(named.map_or_else(|| unknown.to_owned(), |above| format!("{above}.{unknown}")))
}

/// The complaint with what to do about it, where Compose only says what is wrong.
pub(super) fn with_way_out(reason: String) -> String {
    if reason.contains("additional properties") {
        return format!("{reason}; Compose does not know this key here: remove it, or correct its name");
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_the_complaint() {
        for (reason, key) in [
            (
                "compose: validating compose.yaml: services.web additional properties 'x' not allowed",
                Some("services.web.x"),
            ),
            ("compose: validating compose.yaml: additional properties 'top' not allowed", Some("top")),
            ("compose: services.web.ports.0 must be a string", Some("services.web.ports.0")),
            ("compose: service \"web\" depends on undefined service \"db\"", None),
        ] {
            assert_eq!(key_in(reason).as_deref(), key, "{reason}");
        }
        assert!(with_way_out("additional properties 'x' not allowed".to_owned()).contains("remove it"));
    }
}
