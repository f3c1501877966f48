//! `[proxy]`, as far as a proxy of the team's own stands in front: which one, where, and how drey reaches it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::reader::Section;

/// Where the gate listens when another proxy stands in front of it.
const GATE_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8421);
/// Where nginx tells which configuration it serves by.
const CONFIRM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8422);

/// Where Caddy takes configurations, as it comes.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2019);

/// Who takes the visitors' connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    pub kind: ProviderKind,
    /// Where drey itself listens for what the proxy does not send straight to containers.
    pub gate_listen: SocketAddr,
    /// Ready environments lead straight to their containers.
    pub direct: bool,
    pub nginx: OwnProxy,
    pub haproxy: OwnProxy,
    pub caddy: OwnProxy,
}

/// `proxy.provider`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderKind {
    /// drey.
    #[default]
    Embedded,
    Nginx,
    Haproxy,
    Caddy,
    Traefik,
}

impl ProviderKind {
    /// As the configuration writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
        }
    }
}

/// `[proxy.nginx]` and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnProxy {
    /// Where drey writes; none: beside the data directory.
    pub directory: Option<PathBuf>,
    pub binary: Option<String>,
    /// The container that it runs in; none: it is a process of this machine.
    pub container: Option<String>,
    /// The user of its workers.
    pub user: Option<String>,
    /// Where it tells which configuration it serves by.
    pub confirm: SocketAddr,
    /// Where Caddy takes configurations.
    pub admin: SocketAddr,
    /// The operator's templates.
    pub templates: Option<PathBuf>,
    /// The team's own nginx includes what drey writes.
    pub include: Option<NginxInclude>,
}

/// `include = true` under `[proxy.nginx]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NginxInclude {
    /// The team's whole configuration.
    pub main: PathBuf,
    /// Where that nginx writes the number of its first process.
    pub pid_file: PathBuf,
}

impl Provider {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let kind = section.read("provider", |value| match value.as_str() {
            Some("embedded") => Ok(ProviderKind::Embedded),
            Some("nginx") => Ok(ProviderKind::Nginx),
            Some("haproxy") => Ok(ProviderKind::Haproxy),
            Some("caddy") => Ok(ProviderKind::Caddy),
            Some("traefik") => Ok(ProviderKind::Traefik),
            Some(_) | None => {
                Err("must be \"embedded\", \"nginx\", \"haproxy\", \"caddy\" or \"traefik\"".to_owned())
            }
        });
        let gate_listen = section.address("gate_listen").unwrap_or(GATE_LISTEN);
        let direct = section.flag("direct").unwrap_or(true);
        let nginx = OwnProxy::read(&mut section.section("nginx"), ProviderKind::Nginx);
        let haproxy = OwnProxy::read(&mut section.section("haproxy"), ProviderKind::Haproxy);
        let caddy = OwnProxy::read(&mut section.section("caddy"), ProviderKind::Caddy);
        Self { kind: kind.unwrap_or_default(), gate_listen, direct, nginx, haproxy, caddy }
    }

    /// The container of the proxy in front, where it is in one.
    pub fn container(&self) -> Option<&str> {
        self.own()?.container.as_deref()
    }

    /// That container has a network of its own, from which it does not reach this machine's loopback.
    pub fn is_apart(&self) -> bool {
        self.container().is_some() && !self.gate_listen.ip().is_loopback()
    }

    /// What of it does not go together with where it listens: key and reason.
    pub(super) fn unreachable(
        &self,
        listeners: [(&'static str, Option<SocketAddr>); 2],
    ) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.container().is_some() && self.gate_listen.ip().is_unspecified() {
            faults.push((
                "gate_listen",
                "must be the one address of this machine that the proxy's container reaches, for \
                                         instance the gateway of its network"
                    .to_owned(),
            ));
        }
        for (key, listen) in listeners.into_iter().filter(|_| self.is_apart()) {
            if let Some(listen) = listen.filter(|listen| listen.ip().is_loopback()) {
                let port = listen.port();
                faults.push((key, format!(
                    "nobody reaches {listen} inside of the proxy's container: make it 0.0.0.0:{port} and publish that port"
                )));
            }
        }
        faults
    }

    /// What is configured of the proxy in front, where that reads files and is told to.
    pub fn own(&self) -> Option<&OwnProxy> {
        match self.kind {
            ProviderKind::Embedded | ProviderKind::Traefik => None,
            ProviderKind::Nginx => Some(&self.nginx),
            ProviderKind::Haproxy => Some(&self.haproxy),
            ProviderKind::Caddy => Some(&self.caddy),
        }
    }

    /// Another proxy stands in front of drey's.
    pub fn is_outside(&self) -> bool {
        self.kind != ProviderKind::Embedded
    }
}

impl OwnProxy {
    fn read(section: &mut Section<'_>, kind: ProviderKind) -> Self {
        // `HAProxy` tells by its socket, and Caddy has no workers of another user.
        let (confirms, is_caddy) = (kind != ProviderKind::Haproxy, kind == ProviderKind::Caddy);
        let confirm = if confirms { section.address("confirm") } else { None };
        let admin = if is_caddy { section.address("admin") } else { None };
        let user = if is_caddy { None } else { user(section) };
        let container = container(section);
        let read = Self {
            directory: absolute(section, "directory"),
            binary: section.text("binary"),
            container,
            user,
            confirm: confirm.unwrap_or(CONFIRM),
            admin: admin.unwrap_or(ADMIN),
            templates: absolute(section, "templates"),
            include: if kind == ProviderKind::Nginx { NginxInclude::read(section) } else { None },
        };
        if read.container.is_some() && read.binary.is_some() {
            section.fault("binary", "is for a proxy that is no container: leave it out, or `container`");
        }
        if !read.confirm.ip().is_loopback() {
            section.fault("confirm", "must be an address of loopback, for instance 127.0.0.1:8422");
        }
        section.finish();
        read
    }
}

impl NginxInclude {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let is_included = section.flag("include").unwrap_or(false);
        for key in ["main", "pid_file"] {
            let counts = is_included || !section.gives(key);
            section.needed(key, counts, "is for `include = true`");
        }
        let (main, pid_file) = (absolute(section, "main"), absolute(section, "pid_file"));
        is_included.then(|| Self {
            main: main.unwrap_or_else(|| PathBuf::from("/etc/nginx/nginx.conf")),
            pid_file: pid_file.unwrap_or_else(|| PathBuf::from("/run/nginx.pid")),
        })
    }
}

fn container(section: &mut Section<'_>) -> Option<String> {
    section.read("container", |value| {
        let name = value.as_str().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        match begins && name.bytes().all(plain) {
            true => Ok(name.to_owned()),
            false => Err("must be the name of the proxy's container, as `docker ps` shows it".to_owned()),
        }
    })
}

fn user(section: &mut Section<'_>) -> Option<String> {
    section.read("user", |value| {
        let name = value.as_str().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(plain);
        is_name.then(|| name.to_owned()).ok_or_else(|| "must be the name of a user".to_owned())
    })
}

/// Programs read it that were started elsewhere. It is written into configurations as it is.
pub(super) fn absolute(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    section.read(key, |value| {
        let text = value.as_str().unwrap_or_default();
        let plain = |c: char| c.is_alphanumeric() || "/-_.+@".contains(c);
        match text.starts_with('/') && text.chars().all(plain) {
            true => Ok(PathBuf::from(text)),
            false => Err("must be an absolute path of letters, digits and - _ . + @".to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn provider(text: &str) -> Result<Provider, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let proxy = "[proxy]\ndomain = \"qa.example\"\nhttps = \"127.0.0.1:8443\"\n";
        std::io::Write::write_all(&mut file, format!("{proxy}{text}").as_bytes()).unwrap();
        let read = Settings::from_parts(Some(file.path()), &[]);
        read.map(|read| read.proxy.provider).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_proxy_in_front_is_named_with_what_it_takes() {
        let usual = provider("").unwrap();
        assert!(!usual.is_outside() && usual.direct);
        let text = "provider = \"nginx\"\ndirect = false\ngate_listen = \"127.0.0.1:9000\"\n[proxy.nginx]\n\
                    directory = \"/srv/nginx\"\nuser = \"www-data\"\nconfirm = \"127.0.0.1:9001\"";
        let read = provider(text).unwrap();
        assert!(read.is_outside() && !read.direct && read.gate_listen.port() == 9000);
        assert_eq!(read.nginx.directory, Some(PathBuf::from("/srv/nginx")));
        let included = provider("[proxy.nginx]\ninclude = true\nmain = \"/srv/nginx.conf\"").unwrap();
        let included = included.nginx.include.unwrap();
        assert_eq!(included.main, PathBuf::from("/srv/nginx.conf"));
        assert_eq!(included.pid_file, PathBuf::from("/run/nginx.pid"));
        for (text, fault) in [
            ("provider = \"apache\"", "proxy.provider: must be"),
            ("provider = \"nginx\"\n[proxy.nginx]\ndirectory = \"x\"", "proxy.nginx.directory: must be"),
            ("provider = \"nginx\"\n[proxy.nginx]\ndirectory = \"/a;b\"", "proxy.nginx.directory: must be"),
            ("[proxy.nginx]\nconfirm = \"0.0.0.0:1\"", "proxy.nginx.confirm: must be"),
            ("[proxy.nginx]\nmain = \"/x\"", "proxy.nginx.main: is for `include = true`"),
            ("[proxy.haproxy]\ninclude = true", "proxy.haproxy.include: is not known"),
            ("[proxy.haproxy]\nconfirm = \"127.0.0.1:1\"", "proxy.haproxy.confirm: is not known"),
            ("[proxy.nginx]\nuser = \"a;b\"", "proxy.nginx.user: must be"),
            ("[proxy.nginx]\ncontainer = \"/edge\"", "proxy.nginx.container: must be"),
            ("[proxy.nginx]\ncontainer = \"edge\"\nbinary = \"x\"", "proxy.nginx.binary: is for"),
            (
                "provider = \"nginx\"\ngate_listen = \"0.0.0.0:8421\"\n[proxy.nginx]\ncontainer = \"edge\"",
                "proxy.gate_listen: must be the one",
            ),
            (
                "provider = \"nginx\"\ngate_listen = \"172.30.0.1:8421\"\n[proxy.nginx]\ncontainer = \"edge\"",
                "proxy.https: nobody reaches 127.0.0.1:8443",
            ),
            ("[proxy.nginx]\nworkers = 2", "proxy.nginx.workers: is not known"),
            (
                "provider = \"nginx\"\n[proxy.tls]\nmode = \"acme\"\n[proxy.tls.acme]\nchallenge = \"tls-alpn-01\"",
                "proxy.tls.mode",
            ),
        ] {
            let error = provider(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
