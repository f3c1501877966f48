//! The round that a link makes through the hosts of its branch: each gives its own cookie and sends on to the next, the last one
//! to where the link led. So a page may ask the other hosts of its branch as soon as it is open.

use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, Uri};

use super::host;

/// Where a host that is on the way gives its cookie.
const PATH: &str = "/.well-known/drey/enter";
/// Parameter with where the link led, so that nothing of it can be taken for another parameter.
const GOAL: &str = "to=";
/// Longer ways back are forgotten: the beginning of the host is where they lead then.
const GOAL_LIMIT: usize = 2000;
/// Browsers follow some twenty redirects. A host that is left out asks for the link once more.
const MOST_HOSTS: usize = 12;

/// Somebody with a good link, at one host of its branch.
pub(super) struct Round<'a> {
    /// `http` or `https`.
    pub(super) proto: &'a str,
    /// As the browser wrote it.
    pub(super) authority: &'a str,
    /// Canonical.
    pub(super) host: &'a str,
    /// All of the branch.
    pub(super) hosts: Vec<String>,
}

impl Round<'_> {
    /// Where the browser goes from here. `here` is the address without its link.
    pub(super) fn next(mut self, uri: &Uri, link: &str, here: &HeaderValue) -> HeaderValue {
        self.hosts.sort_unstable();
        self.hosts.truncate(MOST_HOSTS);
        let on_the_way = uri.path() == PATH;
        let goal = if on_the_way { self.goal(uri) } else { self.address(self.authority, here) };
        let Some(goal) = goal.filter(|goal| goal.len() <= GOAL_LIMIT) else {
            return if on_the_way { HeaderValue::from_static("/") } else { here.clone() };
        };
        let aim = host_of(&goal).unwrap_or_default();
        let mut others = self.hosts.iter().filter(|host| **host != aim);
        let next = others.find(|host| !on_the_way || host.as_str() > self.host);
        let location = match next {
            Some(next) => {
                let port = host::port(self.authority).map(|port| format!(":{port}")).unwrap_or_default();
                let goal = BASE64URL_NOPAD.encode(goal.as_bytes());
                format!("{}://{next}{port}{PATH}?drey={link}&{GOAL}{goal}", self.proto)
            }
            None if on_the_way => goal,
            None => return here.clone(),
        };
        HeaderValue::try_from(location).unwrap_or_else(|_odd| here.clone())
    }

    /// Where the link led, if that is a host of this branch: nobody is sent anywhere else.
    fn goal(&self, uri: &Uri) -> Option<String> {
        let goal = uri.query()?.split('&').find_map(|part| part.strip_prefix(GOAL))?;
        let goal = String::from_utf8(BASE64URL_NOPAD.decode(goal.as_bytes()).ok()?).ok()?;
        let is_ours =
            goal.starts_with(&format!("{}://", self.proto)) && self.hosts.contains(&host_of(&goal)?);
        is_ours.then_some(goal)
    }

    fn address(&self, authority: &str, path: &HeaderValue) -> Option<String> {
        Some(format!("{}://{authority}{}", self.proto, path.to_str().ok()?))
    }
}

/// The canonical host of an address that is whole.
fn host_of(address: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    host::canonical(uri.authority()?.as_str()).ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(at: &str, address: &str, here: &str) -> String {
        let hosts = ["x.qa.example", "x--api.qa.example", "x--docs.qa.example"].map(str::to_owned).to_vec();
        let authority = format!("{at}.qa.example:8443");
        let host = format!("{at}.qa.example");
        let round = Round { proto: "https", authority: &authority, host: &host, hosts };
        let next = round.next(&address.parse().unwrap(), "LINK", &HeaderValue::from_str(here).unwrap());
        next.to_str().unwrap().to_owned()
    }

    #[test]
    fn every_host_is_on_the_way_once_and_the_goal_is_the_end() {
        for start in ["x", "x--api", "x--docs"] {
            let mut seen = vec![start.to_owned()];
            let mut address = next(start, "/a?drey=LINK&b=1", "/a?b=1");
            while address.contains(PATH) {
                let at = address.strip_prefix("https://").unwrap().split('.').next().unwrap().to_owned();
                assert!(address.starts_with(&format!("https://{at}.qa.example:8443/")), "{address}");
                let path = address[address.find(PATH).unwrap()..].to_owned();
                address = next(&at, &path, PATH);
                seen.push(at);
            }
            assert_eq!(address, format!("https://{start}.qa.example:8443/a?b=1"));
            seen.sort();
            assert_eq!(seen, ["x", "x--api", "x--docs"]);
        }
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for goal in [
            "https://evil.example/",
            "https://y.qa.example/",
            "http://x.qa.example/",
            "https://x.qa.example@evil.example/",
            "//evil.example",
            "javascript:alert(1)",
            "",
        ] {
            let goal = BASE64URL_NOPAD.encode(goal.as_bytes());
            assert_eq!(next("x", &format!("{PATH}?drey=LINK&to={goal}"), PATH), "/", "{goal}");
        }
        assert_eq!(next("x", &format!("{PATH}?drey=LINK&to=%"), PATH), "/");
        assert_eq!(next("x", &format!("{PATH}?drey=LINK"), PATH), "/");
    }

    #[test]
    fn alone_there_is_no_round() {
        let hosts = vec!["x.qa.example".to_owned()];
        let round = Round { proto: "http", authority: "x.qa.example", host: "x.qa.example", hosts };
        let here = HeaderValue::from_static("/a");
        assert_eq!(round.next(&"/a?drey=LINK".parse().unwrap(), "LINK", &here), "/a");
    }
}
