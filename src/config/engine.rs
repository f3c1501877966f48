//! Where the engine is, and by what it is known: keys of `[engine]`, else the variables of Docker's own client.

use std::path::PathBuf;

use super::reader::Section;

/// Certificates for an engine behind TLS, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineTls {
    /// Who signs the engine's certificate; none: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Certificate chain and key that the engine is shown.
    pub identity: Option<(PathBuf, PathBuf)>,
}

const USUAL: &str = "unix:///var/run/docker.sock";

/// `host`, and what `ca`, `cert` and `key` say of it.
pub(super) fn read(section: &mut Section<'_>) -> (String, Option<EngineTls>) {
    let host = section.read("host", |value| checked(value.as_str().unwrap_or_default()));
    let ambient = section.variable("DOCKER_HOST").and_then(|host| match checked(&host) {
        Ok(host) => Some(host),
        Err(why) if host.is_empty() || section.has_fault("host") => {
            tracing::trace!(why, "DOCKER_HOST says nothing");
            None
        }
        Err(why) => {
            section.fault("host", format!("DOCKER_HOST: {why}"));
            None
        }
    });
    let host = host.or(ambient).unwrap_or_else(|| USUAL.to_owned());
    let tls = tls(section, &host);
    (host, tls)
}

fn tls(section: &mut Section<'_>, host: &str) -> Option<EngineTls> {
    let mut files = ["ca", "cert", "key"].map(|key| section.path(key));
    let is_given = files.iter().any(Option::is_some);
    if !host.starts_with("tcp://") {
        if is_given {
            section
                .fault("ca", "certificates are for an engine at tcp://HOST:PORT; leave ca, cert and key out");
        }
        return None;
    }
    let is_wanted = section.variable("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty());
    if !is_given && is_wanted {
        let folder = section.variable("DOCKER_CERT_PATH").filter(|folder| !folder.is_empty());
        let home = || section.variable("HOME").map(|home| PathBuf::from(home).join(".docker"));
        let Some(folder) = folder.map(PathBuf::from).or_else(home) else {
            section.fault(
                "ca",
                "DOCKER_TLS_VERIFY wants certificates: set DOCKER_CERT_PATH, or ca, cert and key",
            );
            return None;
        };
        files = ["ca.pem", "cert.pem", "key.pem"].map(|name| Some(folder.join(name)));
    }
    let [ca, cert, key] = files;
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            section.fault("key", "is missing: cert and key go together");
            None
        }
        (None, Some(_)) => {
            section.fault("cert", "is missing: cert and key go together");
            None
        }
    };
    (is_given || is_wanted).then_some(EngineTls { ca, identity })
}

fn checked(host: &str) -> Result<String, String> {
    let wrong = || "must be unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]".to_owned();
    let (scheme, rest) = host.split_once("://").ok_or_else(wrong)?;
    let is_plain = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains([' ', '/']);
    let is_good = match scheme {
        "unix" => rest.starts_with('/'),
        "tcp" => is_plain(rest.trim_end_matches('/')),
        // What a shell or ssh itself could take for more than a name is none.
        "ssh" => {
            let (user, place) = rest.split_once('@').unwrap_or(("root", rest));
            let (name, port) = place.rsplit_once(':').unwrap_or((place, "22"));
            let is_name = |text: &str| {
                is_plain(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            };
            is_name(user) && is_name(name) && port.parse::<u16>().is_ok()
        }
        _other => false,
    };
    if is_good { Ok(host.trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}
