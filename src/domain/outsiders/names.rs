//! Which hosts containers may take.

use super::super::interlock::is_host;

/// The names under which containers of others may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// `*.apps.example` for all names below, or one name.
    pub patterns: Vec<String>,
    /// What a name without a dot is completed with.
    pub domain: String,
}

impl Allowed {
    /// Whether the text is a pattern.
    pub fn is_pattern(text: &str) -> bool {
        is_host(text.strip_prefix("*.").unwrap_or(text)) && text == text.to_ascii_lowercase()
    }

    /// The full name; why it is none that may be taken.
    pub(super) fn host(&self, text: &str) -> Result<String, String> {
        let text = text.trim().to_ascii_lowercase();
        let host = if text.contains('.') { text } else { format!("{text}.{}", self.domain) };
        if !is_host(&host) || host.contains('_') {
            return Err(format!("{host:?} must be a host name: letters, digits, dots and dashes"));
        }
        if self.patterns.iter().any(|pattern| matches(pattern, &host)) {
            return Ok(host);
        }
        Err(format!(
            "{host} is none of the names that discovery.domains allows ({}); add it there, or choose another",
            self.patterns.join(", ")
        ))
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_allowed_are_taken() {
        let patterns = vec!["*.apps.example".to_owned(), "shop.example".to_owned()];
        let allowed = Allowed { patterns, domain: "apps.example".to_owned() };
        for (text, host) in [
            ("A", "a.apps.example"),
            ("a.b.apps.example", "a.b.apps.example"),
            ("shop.example", "shop.example"),
        ] {
            assert_eq!(allowed.host(text).as_deref(), Ok(host));
        }
        for other in [
            "apps.example",
            "x.shop.example",
            "xapps.example",
            "evil.example",
            "a b",
            "a_b",
            ".apps.example",
            "x;y.apps.example",
        ] {
            assert!(allowed.host(other).is_err(), "{other}");
        }
        assert!(allowed.host("evil.example").unwrap_err().contains("*.apps.example, shop.example"));
        assert!(Allowed::is_pattern("*.a.b") && Allowed::is_pattern("a.b") && !Allowed::is_pattern("*a.b"));
    }
}
