//! The service directory: which containers run for which branch, and where others on the host reach them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use serde_json::{Value, json};

use super::environment::Environment;
use super::names::{BranchName, RepoName, Slug};
use super::observed::{Container, ContainerState, Health};
use super::route::Scheme;
use super::stack::RouteSpec;
use super::time::Timestamp;

/// Label of a service: the port whose metrics are gathered.
pub const METRICS_PORT: &str = "drey.metrics.port";
/// Label of a service: the path of its metrics.
pub const METRICS_PATH: &str = "drey.metrics.path";
/// Where metrics are when no label says otherwise.
const USUAL_PATH: &str = "/metrics";

/// A container as the engine tells of it, with what only the directory asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub container: Container,
    /// What the engine says that it exposes, in rising order.
    pub ports: Vec<Port>,
    /// When its state began: its start, or its end.
    pub since: Option<Timestamp>,
    /// Those that begin with `drey.metrics.`.
    pub labels: BTreeMap<String, String>,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Port {
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl Port {
    /// Reads the engine's `8080/tcp`.
    pub fn parse(text: &str) -> Option<Self> {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        Some(Self { port: port.parse().ok()?, protocol: protocol.to_owned() })
    }
}

/// One container of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub repo: RepoName,
    pub branch: BranchName,
    pub slug: Slug,
    pub service: String,
    /// Its name on the engine.
    pub container: String,
    pub container_id: String,
    pub image: String,
    /// `created`, `running`, `paused`, `restarting`, `exited` or `dead`.
    pub state: &'static str,
    /// `none` (it has no check), `starting`, `healthy` or `unhealthy`.
    pub health: &'static str,
    /// Network on the engine → address in it; empty unless it runs.
    pub addresses: BTreeMap<String, IpAddr>,
    pub ports: Vec<Port>,
    /// Where visitors reach the service; none where it has no hostname.
    pub url: Option<String>,
    /// Where its metrics are gathered; none where nothing says that it has some, or it does not run.
    pub metrics: Option<Metrics>,
    /// When its state began.
    pub since: Option<Timestamp>,
}

/// Where the metrics of a container are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metrics {
    pub address: SocketAddr,
    pub path: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// A label says so; else it is a guess by the service's route.
    pub labelled: bool,
}

impl Entry {
    /// By what the list is in order, and what a page goes on after.
    pub fn place(&self) -> String {
        format!("{}/{}/{}/{}", self.repo, self.branch, self.service, self.container)
    }

    fn of(environment: &Environment, listed: &Listed, metrics: Option<Metrics>, url: Option<String>) -> Self {
        let container = &listed.container;
        Self {
            repo: environment.repo.clone(),
            branch: environment.branch.clone(),
            slug: environment.slug.clone(),
            service: container.service.clone(),
            container: container.name.clone(),
            container_id: container.id.clone(),
            image: container.image.clone(),
            state: state_word(container.state),
            health: health_word(container.health),
            addresses: container.addresses.clone(),
            ports: listed.ports.clone(),
            url,
            metrics,
            since: listed.since,
        }
    }
}

/// What the directory says of one environment. `urls`: service → address for visitors.
pub fn entries(
    environment: &Environment,
    listed: &[Listed],
    routes: &[RouteSpec],
    urls: &BTreeMap<String, String>,
) -> Vec<Entry> {
    let services = listed.iter().filter(|it| !it.container.oneoff && !it.container.service.is_empty());
    services
        .map(|it| {
            let route = routes.iter().find(|route| route.service == it.container.service);
            let metrics = metrics(it, listed, route);
            let url = urls.get(&it.container.service).cloned();
            Entry { ports: ports(it, route), ..Entry::of(environment, it, metrics, url) }
        })
        .collect()
}

/// What the engine says is exposed, and what is routed: a compose file may say it to drey alone.
fn ports(listed: &Listed, route: Option<&RouteSpec>) -> Vec<Port> {
    let routed = route.map(|route| Port { port: route.port, protocol: "tcp".to_owned() });
    let mut ports: Vec<Port> = listed.ports.iter().cloned().chain(routed).collect();
    ports.sort();
    ports.dedup();
    ports
}

fn metrics(listed: &Listed, all: &[Listed], route: Option<&RouteSpec>) -> Option<Metrics> {
    if listed.container.state != ContainerState::Running {
        return None;
    }
    let labelled: Option<u16> = listed.labels.get(METRICS_PORT).and_then(|port| port.parse().ok());
    let routed = route.filter(|route| matches!(route.scheme, Scheme::Http | Scheme::Https));
    let port = labelled.filter(|port| *port > 0).or(routed.map(|route| route.port))?;
    // Another port than the routed one says nothing of TLS.
    let scheme = match routed.filter(|route| route.port == port) {
        Some(RouteSpec { scheme: Scheme::Https, .. }) => "https",
        Some(_) | None => "http",
    };
    let path = listed.labels.get(METRICS_PATH).filter(|path| is_path(path));
    Some(Metrics {
        address: SocketAddr::new(address(&listed.container, all, route)?, port),
        path: path.cloned().unwrap_or_else(|| USUAL_PATH.to_owned()),
        scheme,
        labelled: labelled.is_some() || path.is_some(),
    })
}

/// In the network that the proxy uses, else in the first by name; of the container whose network it shares, where it does.
fn address(container: &Container, all: &[Listed], route: Option<&RouteSpec>) -> Option<IpAddr> {
    let of = |container: &Container| {
        let routed = route.and_then(|route| container.addresses.get(&route.network));
        routed.or_else(|| container.addresses.values().next()).copied()
    };
    let host = route.and_then(|route| route.host_service.as_ref());
    let shared = || all.iter().map(|it| &it.container).filter(|it| Some(&it.service) == host).find_map(of);
    of(container).or_else(shared)
}

/// Whether text may be the path of metrics.
pub fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 1024 && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// The list that Prometheus' HTTP service discovery reads: one group for each container that has metrics.
/// See <https://prometheus.io/docs/prometheus/latest/http_sd/>.
pub fn prometheus(entries: &[Entry]) -> Value {
    let group = |entry: &Entry| {
        let metrics = entry.metrics.as_ref()?;
        let labels = json!({
            "__scheme__": metrics.scheme,
            "__metrics_path__": metrics.path,
            "__meta_drey_repo": entry.repo,
            "__meta_drey_branch": entry.branch,
            "__meta_drey_environment": format!("{}/{}", entry.repo, entry.branch),
            "__meta_drey_slug": entry.slug,
            "__meta_drey_service": entry.service,
            "__meta_drey_container_name": entry.container,
            "__meta_drey_container_id": entry.container_id,
            "__meta_drey_image": entry.image,
            "__meta_drey_health": entry.health,
            "__meta_drey_url": entry.url.as_deref().unwrap_or_default(),
            "__meta_drey_metrics_labelled": if metrics.labelled { "true" } else { "false" },
        });
        Some(json!({"targets": [metrics.address.to_string()], "labels": labels}))
    };
    entries.iter().filter_map(group).collect()
}

const fn state_word(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "created",
        ContainerState::Running => "running",
        ContainerState::Paused => "paused",
        ContainerState::Restarting => "restarting",
        ContainerState::Exited(_) => "exited",
        ContainerState::Dead => "dead",
    }
}

const fn health_word(health: Health) -> &'static str {
    match health {
        Health::None => "none",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(service: &str, state: ContainerState, labels: &[(&str, &str)]) -> Listed {
        let addresses = [("p_back", [10, 0, 1, 2]), ("p_default", [10, 0, 0, 2])];
        let container = Container {
            id: format!("id-{service}"),
            name: format!("drey-a-1-x-{service}-1"),
            service: service.to_owned(),
            image: "app:1".to_owned(),
            state,
            health: Health::Healthy,
            addresses: addresses.map(|(name, address)| (name.to_owned(), IpAddr::from(address))).into(),
            restarts: 0,
            last_exit: None,
            oneoff: false,
        };
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let ports = vec![Port { port: 80, protocol: "tcp".to_owned() }];
        Listed { container, ports, since: Some(Timestamp::from_millis(0)), labels }
    }

    fn route(service: &str, port: u16, scheme: Scheme) -> RouteSpec {
        RouteSpec {
            service: service.to_owned(),
            port,
            scheme,
            label: String::new(),
            path: Default::default(),
            strip_path: false,
            network: "p_default".to_owned(),
            host_service: None,
            manner: Default::default(),
        }
    }

    fn metrics_of(listed: &Listed, route: Option<&RouteSpec>) -> Option<(String, String, bool)> {
        let found = metrics(listed, std::slice::from_ref(listed), route)?;
        Some((format!("{}://{}", found.scheme, found.address), found.path, found.labelled))
    }

    #[test]
    fn metrics_are_at_the_services_port_unless_a_label_says_otherwise() {
        let told =
            |address: &str, path: &str, labelled| Some((address.to_owned(), path.to_owned(), labelled));
        let running = |labels: &[(&str, &str)]| listed("web", ContainerState::Running, labels);
        let web = route("web", 8443, Scheme::Https);
        assert_eq!(
            metrics_of(&running(&[]), Some(&web)),
            told("https://10.0.0.2:8443", "/metrics", false),
            "by the route, in its network"
        );
        let labels = [(METRICS_PORT, "9100"), (METRICS_PATH, "/stats")];
        assert_eq!(metrics_of(&running(&labels), Some(&web)), told("http://10.0.0.2:9100", "/stats", true));
        assert_eq!(metrics_of(&running(&labels), None), told("http://10.0.1.2:9100", "/stats", true));
        assert_eq!(metrics_of(&running(&[]), None), None, "a database has none");
        assert_eq!(metrics_of(&running(&[]), Some(&route("web", 80, Scheme::H2c))), None);
        let bad = [(METRICS_PORT, "0"), (METRICS_PATH, "stats")];
        assert_eq!(metrics_of(&running(&bad), None), None, "of an image, which nobody checked");
        let exited = listed("web", ContainerState::Exited(137), &labels);
        assert_eq!(metrics_of(&exited, Some(&web)), None);
    }

    #[test]
    fn who_shares_a_network_is_at_the_address_of_its_host() {
        let host = listed("web", ContainerState::Running, &[]);
        let mut beside = listed("exporter", ContainerState::Running, &[(METRICS_PORT, "9113")]);
        beside.container.addresses.clear();
        let mut spec = route("exporter", 80, Scheme::Http);
        let all = [host, beside.clone()];
        assert_eq!(metrics(&beside, &all, Some(&spec)), None);
        spec.host_service = Some("web".to_owned());
        let found = metrics(&beside, &all, Some(&spec)).unwrap();
        assert_eq!(found.address.to_string(), "10.0.0.2:9113");
    }

    #[test]
    fn the_routed_port_is_among_the_ports_once() {
        let web = listed("web", ContainerState::Running, &[]);
        let numbers = |route: Option<&RouteSpec>| -> Vec<u16> {
            ports(&web, route).iter().map(|port| port.port).collect()
        };
        assert_eq!(numbers(None), [80]);
        assert_eq!(numbers(Some(&route("web", 8080, Scheme::Http))), [80, 8080]);
        assert_eq!(numbers(Some(&route("web", 80, Scheme::Http))), [80]);
    }

    #[test]
    fn the_engines_ports_are_read() {
        assert_eq!(Port::parse("53/udp"), Some(Port { port: 53, protocol: "udp".to_owned() }));
        assert_eq!(Port::parse("80"), Some(Port { port: 80, protocol: "tcp".to_owned() }));
        assert_eq!(Port::parse("http/tcp"), None);
    }

    #[test]
    fn prometheus_gets_a_group_for_each_container_with_metrics() {
        let entry = |service: &str, metrics: Option<Metrics>| Entry {
            repo: RepoName::parse("shop").unwrap(),
            branch: BranchName::parse("feature/x").unwrap(),
            slug: Slug::parse("feature-x").unwrap(),
            service: service.to_owned(),
            container: "c".to_owned(),
            container_id: "ff".to_owned(),
            image: "app:1".to_owned(),
            state: "running",
            health: "none",
            addresses: BTreeMap::new(),
            ports: Vec::new(),
            url: None,
            metrics,
            since: None,
        };
        let metrics = Metrics {
            address: SocketAddr::from(([10, 0, 0, 2], 80)),
            path: "/metrics".to_owned(),
            scheme: "http",
            labelled: false,
        };
        let groups = prometheus(&[entry("web", Some(metrics)), entry("db", None)]);
        assert_eq!(groups.as_array().unwrap().len(), 1);
        assert_eq!(groups[0]["targets"], json!(["10.0.0.2:80"]));
        let labels = groups[0]["labels"].as_object().unwrap();
        assert!(labels.values().all(Value::is_string), "as the schema wants them: {labels:?}");
        assert!(labels.keys().all(|label| label.starts_with("__")), "relabelling decides what stays");
        assert_eq!(labels["__meta_drey_environment"], "shop/feature/x");
        assert_eq!(prometheus(&[]), json!([]), "none is a list too");
    }
}
