//! Who wakes what sleeps: somebody who wants to see it, not a machine that only looks.

use http::header::USER_AGENT;
use http::{HeaderMap, Method, Request};

/// Parts of what robots call themselves, in lower case: search engines, and those that show where a link in a chat leads.
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

/// Neither a look whether it is there, nor a certificate's challenge, nor a robot, nor a browser that looks ahead.
pub(super) fn wakes<B>(request: &Request<B>) -> bool {
    request.method() != Method::HEAD
        && !request.uri().path().starts_with("/.well-known/acme-challenge")
        && !is_robot(request.headers())
        && !looks_ahead(request.headers())
}

fn is_robot(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map(|value| value.as_bytes()).unwrap_or_default();
    let agent = String::from_utf8_lossy(agent).to_ascii_lowercase();
    agent.ends_with("bot") || ROBOTS.iter().any(|robot| agent.contains(robot))
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
    fn people_and_their_programs_wake() {
        for agent in [
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0 Safari/537.36",
            "curl/8.14.1",
            "python-requests/2.32",
            "Botany viewer",
            "",
        ] {
            assert!(wakes(&request("GET", "/", &[("user-agent", agent)])), "{agent}");
            assert!(wakes(&request("POST", "/x", &[("user-agent", agent)])), "{agent}");
        }
        assert!(wakes(&request("GET", "/", &[])));
    }

    #[test]
    fn robots_and_looks_do_not() {
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
            assert!(!wakes(&request("GET", "/", &[("user-agent", agent)])), "{agent}");
        }
        assert!(!wakes(&request("HEAD", "/", &[])));
        assert!(!wakes(&request("GET", "/.well-known/acme-challenge/x", &[])));
        assert!(!wakes(&request("GET", "/", &[("sec-purpose", "prefetch;prerender")])));
        assert!(!wakes(&request("GET", "/", &[("purpose", "prefetch")])));
        assert!(!wakes(&request("GET", "/", &[("x-moz", "prefetch")])));
    }
}
