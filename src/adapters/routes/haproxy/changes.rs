//! What `HAProxy` can be told while it runs: where a host leads, and where the containers of a backend are.

use std::collections::BTreeMap;

use crate::adapters::routes::model::{Backend, Model};

/// Commands that make `to` of `from`, in a process that read `read`; none: it has to read its files again. A new backend
/// needs that, and so does one with more containers.
pub(super) fn commands(map: &str, (read, from, to): (&Model, &Model, &Model)) -> Option<Vec<String>> {
    let direct = |model: &Model| -> BTreeMap<String, Backend> {
        model.direct().map(|(host, backend)| (host.clone(), backend.clone())).collect()
    };
    let (read, from, to) = (direct(read), direct(from), direct(to));
    let mut commands = Vec::new();
    for host in from.keys().filter(|host| !to.contains_key(*host)) {
        commands.push(format!("del map {map} {host}"));
    }
    for (host, backend) in &to {
        if from.get(host) == Some(backend) {
            continue;
        }
        if !is_same_but_for_addresses(read.get(host)?, backend) {
            return None;
        }
        for (number, server) in backend.servers.iter().enumerate() {
            let name = format!("{}/s{}", backend.name, number + 1);
            commands.push(format!("set server {name} addr {} port {}", server.ip(), server.port()));
            commands.push(format!("set server {name} health up"));
        }
        if !from.contains_key(host) {
            commands.push(format!("add map {map} {host} {}", backend.name));
        }
    }
    Some(commands)
}

fn is_same_but_for_addresses(one: &Backend, other: &Backend) -> bool {
    one.servers.len() == other.servers.len()
        && Backend { servers: Vec::new(), ..one.clone() } == Backend { servers: Vec::new(), ..other.clone() }
}

/// What `HAProxy` says when it did it.
pub(super) fn is_done(answer: &str) -> bool {
    let answer = answer.trim();
    answer.is_empty() || answer.contains("changed from") || answer.contains("no need to change")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::adapters::routes::model::{Environment, Policy};
    use crate::domain::backend::Balance;
    use crate::domain::route::Scheme;

    fn model(lines: &[(&str, &[&str])]) -> Model {
        let backend = |host: &str, servers: &[&str]| Backend {
            name: host.replace('.', "_"),
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            scheme: Scheme::Http,
            balance: Balance::RoundRobin,
            sticky: false,
            tls: None,
            timeout: None,
        };
        let direct = lines.iter().map(|(host, servers)| ((*host).to_owned(), backend(host, servers)));
        let environment = Environment {
            name: "shop/x".to_owned(),
            policy: Policy::default(),
            hosts: BTreeSet::new(),
            family: None,
            direct: direct.collect(),
        };
        Model { environments: BTreeMap::from([(1, environment)]) }
    }

    #[test]
    fn hosts_and_addresses_change_without_a_reading() {
        let read = model(&[("a.x", &["10.0.0.1:80"]), ("b.x", &["10.0.0.2:80"])]);
        let told = |from: &Model, to: &Model| commands("/m", (&read, from, to));
        assert_eq!(told(&read, &read), Some(Vec::new()));
        let moved = model(&[("a.x", &["10.0.0.9:81"]), ("b.x", &["10.0.0.2:80"])]);
        let set = ["set server a_x/s1 addr 10.0.0.9 port 81", "set server a_x/s1 health up"];
        assert_eq!(told(&read, &moved).unwrap(), set);
        let asleep = model(&[("b.x", &["10.0.0.2:80"])]);
        assert_eq!(told(&read, &asleep).unwrap(), ["del map /m a.x"]);
        let woken = told(&asleep, &moved).unwrap();
        assert_eq!(woken, [set[0], set[1], "add map /m a.x a_x"]);
        let new = model(&[("a.x", &["10.0.0.1:80"]), ("b.x", &["10.0.0.2:80"]), ("c.x", &["10.0.0.3:80"])]);
        assert_eq!(told(&read, &new), None);
        let more = model(&[("a.x", &["10.0.0.1:80", "10.0.0.4:80"]), ("b.x", &["10.0.0.2:80"])]);
        assert_eq!(told(&read, &more), None);
    }
}
