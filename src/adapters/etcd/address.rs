//! `etcd://host:port/key`, read.

use std::path::PathBuf;

use super::super::tls::TlsFiles;

/// Port of an etcd server when none is given.
const USUAL_PORT: u16 = 2379;
const FORM: &str = "must be etcd://HOST:PORT[,HOST:PORT…]/KEY, or etcds://…/KEY?ca=FILE&cert=FILE&key=FILE";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) servers: Vec<(String, u16)>,
    /// With the slash that it begins with.
    pub(super) key: String,
    pub(super) tls: Option<TlsFiles>,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{why}: {FORM}");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("no address"))?;
        let is_tls = match scheme {
            "etcds" => true,
            "etcd" => false,
            _other => return Err(wrong("no address of etcd")),
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (servers, key) = rest.split_once('/').ok_or_else(|| wrong("no key"))?;
        if key.is_empty() || servers.contains('@') {
            return Err(wrong(if key.is_empty() { "no key" } else { "a password has no place in it" }));
        }
        let servers: Option<Vec<_>> = servers.split(',').map(server).collect();
        let servers = servers.ok_or_else(|| wrong("a server that is none"))?;
        let tls = files(query.unwrap_or_default()).ok_or_else(|| wrong("unknown words after the key"))?;
        if !is_tls && query.is_some() {
            return Err(wrong("certificates without TLS"));
        }
        if tls.1.is_some() != tls.2.is_some() {
            return Err(wrong("cert and key go together"));
        }
        let identity = tls.1.zip(tls.2);
        let tls = is_tls.then_some(TlsFiles { ca: tls.0, identity, called: "" });
        Ok(Self { servers, key: format!("/{key}"), tls })
    }
}

fn server(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        Some(_) | None => (text, USUAL_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty() && !host.contains([' ', '#'])).then(|| (host.to_owned(), port))
}

type Files = (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>);

fn files(query: &str) -> Option<Files> {
    let mut files = (None, None, None);
    for (word, file) in query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('='))
        .collect::<Option<Vec<_>>>()?
    {
        let place = match word {
            "ca" => &mut files.0,
            "cert" => &mut files.1,
            "key" => &mut files.2,
            _unknown => return None,
        };
        *place = Some(PathBuf::from(file));
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_key_and_certificates_are_read() {
        let plain = Address::parse("etcd://a,b:1,[::1]:2/drey/config").unwrap();
        let servers = [("a", 2379), ("b", 1), ("::1", 2)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!((plain.servers, plain.key.as_str(), plain.tls), (servers.to_vec(), "/drey/config", None));
        let tls = Address::parse("etcds://a/k?ca=/ca.pem&cert=/c.pem&key=/k.pem").unwrap().tls.unwrap();
        assert_eq!(tls.ca, Some("/ca.pem".into()));
        assert_eq!(tls.identity, Some(("/c.pem".into(), "/k.pem".into())));
        for (bad, why) in [
            ("consul://a/k", "no address of etcd"),
            ("etcd://a", "no key"),
            ("etcd://a/", "no key"),
            ("etcd://user:password@a/k", "password"),
            ("etcd:///k", "server"),
            ("etcd://a:http/k", "server"),
            ("etcd://a/k?ca=/x", "without TLS"),
            ("etcds://a/k?cert=/x", "go together"),
            ("etcds://a/k?verify=no", "unknown words"),
        ] {
            let told = Address::parse(bad).unwrap_err();
            assert!(told.contains(why) && told.contains("must be etcd://"), "{bad}: {told}");
        }
    }
}
