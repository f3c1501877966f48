//! What of a changed configuration a running daemon takes up.

use super::proxy_bounds::ProxyLimits;
use super::{Archive, Engine, Http, Limits, Log, Proxy, Settings};

impl Settings {
    /// These settings as far as a daemon that runs by `old` can take them up; and the keys of what is different and counts
    /// from the next start on. Every setting is named here: a new one has to say which of the two it is.
    #[must_use]
    pub fn taken_up(self, old: &Self) -> (Self, Vec<&'static str>) {
        let mut later = Later::default();
        let Self {
            data_dir,
            http,
            proxy,
            engine,
            registries,
            limits,
            disk,
            gc,
            discovery,
            archive,
            templates,
            secrets,
            log,
            repositories,
            file,
            store,
        } = self;
        let taken = Self {
            data_dir: later.keep("data_dir", &old.data_dir, &data_dir),
            http: Http {
                listen: later.keep("http.listen", &old.http.listen, &http.listen),
                public_url: http.public_url,
                trusted_proxies: http.trusted_proxies,
                rate_per_address: http.rate_per_address,
                rate_per_repository: http.rate_per_repository,
            },
            proxy: Proxy {
                provider: later.keep("proxy.provider", &old.proxy.provider, &proxy.provider),
                domain: later.keep("proxy.domain", &old.proxy.domain, &proxy.domain),
                https: later.keep("proxy.https", &old.proxy.https, &proxy.https),
                http: later.keep("proxy.http", &old.proxy.http, &proxy.http),
                tls: later.keep("proxy.tls", &old.proxy.tls, &proxy.tls),
                access_log: later.keep("proxy.access_log", &old.proxy.access_log, &proxy.access_log),
                hsts: proxy.hsts,
                gate: later.keep("proxy.gate", &old.proxy.gate, &proxy.gate),
                robots_by_app: later.keep("proxy.robots", &old.proxy.robots_by_app, &proxy.robots_by_app),
                trusted_proxies: proxy.trusted_proxies,
                traefik: later.keep("proxy.traefik", &old.proxy.traefik, &proxy.traefik),
                timeouts: proxy.timeouts,
                limits: ProxyLimits {
                    connections: later.keep(
                        "proxy.limits.connections",
                        &old.proxy.limits.connections,
                        &proxy.limits.connections,
                    ),
                    ..proxy.limits
                },
            },
            engine: engine_taken(&mut later, &old.engine, engine),
            registries: later.keep("registry", &old.registries, &registries),
            limits: Limits {
                fetch_bytes: later.keep("limits.fetch_bytes", &old.limits.fetch_bytes, &limits.fetch_bytes),
                git_memory: later.keep("limits.git_memory", &old.limits.git_memory, &limits.git_memory),
                ..limits
            },
            disk,
            gc,
            discovery: later.keep("discovery", &old.discovery, &discovery),
            archive: Archive {
                keep: archive.keep,
                max_size: archive.max_size,
                max_volume: later.keep("archive.max_volume", &old.archive.max_volume, &archive.max_volume),
                direct: later.keep("archive.direct", &old.archive.direct, &archive.direct),
                images: archive.images,
                image_budget: archive.image_budget,
            },
            templates: later.keep("templates", &old.templates, &templates),
            secrets: later.keep("secrets", &old.secrets, &secrets),
            log: Log { format: later.keep("log.format", &old.log.format, &log.format), level: log.level },
            repositories,
            file,
            store,
        };
        (taken, later.keys)
    }
}

/// Where the engine is counts from the next start on.
fn engine_taken(later: &mut Later, old: &Engine, new: Engine) -> Engine {
    Engine {
        host: later.keep("engine.host", &old.host, &new.host),
        tls: later.keep("engine.ca", &old.tls, &new.tls),
        ssh: later.keep("engine.ssh", &old.ssh, &new.ssh),
        subnets: new.subnets,
        registries: new.registries,
        firewall: new.firewall,
        deny: new.deny,
        wall_in: new.wall_in,
        host_ports: new.host_ports,
    }
}

/// Keys that differ and stay as they were.
#[derive(Default)]
struct Later {
    keys: Vec<&'static str>,
}

impl Later {
    fn keep<T: Clone + PartialEq>(&mut self, key: &'static str, old: &T, new: &T) -> T {
        if old != new {
            self.keys.push(key);
        }
        old.clone()
    }
}
