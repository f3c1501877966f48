//! Who wakes what sleeps: somebody who wants to see it, not a machine that only looks.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, Request};

/// Parts of what robots call themselves: search engines, and those that show where a link in a chat leads.
const ROBOTS: [&str; 14] = [
    "bot/",
    "bot;",
    "bot ",
    "bot-",
    "robot",
    "crawler",
    "spider",
    "slurp",
    "facebookexternalhit",
    "whatsapp/",
    "embedly",
    "slack-imgproxy",
    "skypeuripreview",
    "linkpreview",
];
/// Where a browser says that it only looks ahead.
const AHEAD: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];

/// All of them in one go, in any case: each request is asked.
static ROBOT: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(ROBOTS).ok());

/// Neither a look whether it is there, nor a certificate's challenge, nor a robot, nor a browser that looks ahead. Only a
/// visit wakes what sleeps and keeps awake what runs.
pub(super) fn is_visit<B>(request: &Request<B>) -> bool {
    request.method() != Method::HEAD
        && !request.uri().path().starts_with("/.well-known/acme-challenge")
        && !is_robot(request.headers())
        && !looks_ahead(request.headers())
}

fn is_robot(headers: &HeaderMap) -> bool {
    let Some(agent) = headers.get(USER_AGENT).map(HeaderValue::as_bytes) else { return false };
    let ends = agent.len().checked_sub(3).and_then(|start| agent.get(start..));
    ends.is_some_and(|end| end.eq_ignore_ascii_case(b"bot"))
        || ROBOT.as_ref().is_some_and(|robot| robot.is_match(agent))
}

fn looks_ahead(headers: &HeaderMap) -> bool {
    let values = AHEAD.iter().filter_map(|name| headers.get(*name));
    let mut values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    values.any(|value| value.contains("prefetch") || value.contains("prerender"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn people_and_their_programs_are_visitors() {
        for agent in [
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0 Safari/537.36",
            "curl/8.14.1",
            "python-requests/2.32",
            "Botany viewer",
            "",
        ] {
            assert!(is_visit(&request("GET", "/", &[("user-agent", agent)])), "{agent}");
            assert!(is_visit(&request("POST", "/x", &[("user-agent", agent)])), "{agent}");
        }
        assert!(is_visit(&request("GET", "/", &[])));
    }

    #[test]
    fn robots_and_looks_are_not() {
        for agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Twitterbot/1.0",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "TelegramBot (like TwitterBot)",
            "WhatsApp/2.23.20.0",
            "Mozilla/5.0 (compatible; YandexBot/3.0)",
            "Baiduspider",
            "Mattermost-Bot/1.1",
        ] {
            assert!(!is_visit(&request("GET", "/", &[("user-agent", agent)])), "{agent}");
        }
        assert!(!is_visit(&request("HEAD", "/", &[])));
        assert!(!is_visit(&request("GET", "/.well-known/acme-challenge/x", &[])));
        assert!(!is_visit(&request("GET", "/", &[("sec-purpose", "prefetch;prerender")])));
        assert!(!is_visit(&request("GET", "/", &[("purpose", "prefetch")])));
        assert!(!is_visit(&request("GET", "/", &[("x-moz", "prefetch")])));
    }
}
