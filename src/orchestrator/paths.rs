//! Services that share a host: one of them answers for all of it, the others for their paths.

use crate::domain::route::{PathRoute, Route};
use crate::store::StoredRoute;

/// One route for each host, in the order of their first mention. The service at `/` answers for the whole host; where there
/// is none the first does.
pub(super) fn joined(routes: Vec<(StoredRoute, Route)>) -> Vec<(String, Route)> {
    let mut hosts: Vec<(String, Vec<(StoredRoute, Route)>)> = Vec::new();
    for (stored, route) in routes {
        match hosts.iter_mut().find(|(host, _)| *host == stored.host) {
            Some((_, members)) => members.push((stored, route)),
            None => hosts.push((stored.host.clone(), vec![(stored, route)])),
        }
    }
    hosts.into_iter().filter_map(|(host, members)| Some((host, one(members)?))).collect()
}

fn one(members: Vec<(StoredRoute, Route)>) -> Option<Route> {
    let whole = members.iter().position(|(stored, _)| stored.route.path.is_root()).unwrap_or(0);
    let mut route = members.get(whole)?.1.clone();
    let below = members.into_iter().filter(|(stored, _)| !stored.route.path.is_root());
    route.paths = below
        .map(|(stored, route)| PathRoute {
            prefix: stored.route.path,
            strip: stored.route.strip_path,
            service: route.service,
            answer: route.answer,
        })
        .collect();
    route.paths.sort_by_key(|path| std::cmp::Reverse(path.prefix.as_str().len()));
    Some(route)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::environment::Phase;
    use crate::domain::names::{EnvironmentId, Generation};
    use crate::domain::path::PathPrefix;
    use crate::domain::route::{Answer, Page, Scheme};
    use crate::domain::stack::RouteSpec;

    fn member(host: &str, service: &str, path: &str) -> (StoredRoute, Route) {
        let spec = RouteSpec {
            service: service.to_owned(),
            port: 80,
            scheme: Scheme::Http,
            label: String::new(),
            path: PathPrefix::parse(path).unwrap(),
            strip_path: service == "api",
            network: String::new(),
            host_service: None,
            manner: Default::default(),
        };
        let page = Page { phase: Phase::Ready, reason: None, outcome: None, is_tired: false };
        let route = Route {
            environment: EnvironmentId(1),
            generation: Generation(1),
            name: "shop/x".to_owned(),
            service: service.to_owned(),
            access: Default::default(),
            answer: Answer::Page(page),
            paths: Vec::new(),
        };
        (StoredRoute { host: host.to_owned(), route: spec }, route)
    }

    fn told(routes: Vec<(StoredRoute, Route)>) -> Vec<String> {
        let path = |path: &PathRoute| {
            format!(" {}={}{}", path.prefix, path.service, if path.strip { "!" } else { "" })
        };
        let line = |(host, route): (String, Route)| {
            format!("{host} {}{}", route.service, route.paths.iter().map(path).collect::<String>())
        };
        joined(routes).into_iter().map(line).collect()
    }

    #[test]
    fn the_longest_path_comes_first_and_the_root_answers_for_the_rest() {
        let routes = vec![
            member("a", "docs", "/docs"),
            member("a", "api", "/docs/api"),
            member("a", "web", "/"),
            member("b", "web", "/"),
        ];
        assert_eq!(told(routes), ["a web /docs/api=api! /docs=docs", "b web"]);
    }

    #[test]
    fn without_a_root_the_first_answers() {
        let routes = vec![member("a", "web", "/app"), member("a", "api", "/api")];
        assert_eq!(told(routes), ["a web /app=web /api=api!"]);
    }
}
