//! The one table of paths: what is served, by which method, and who may ask for it.
//!
//! The router is made from it, so that no route can be without a least role. What only looks is asked for with GET,
//! everything else with POST: there is no other way to put a line here.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};

use crate::domain::access::Role::{Admin, Developer, Qa};

use super::access::{self, Admission, Least};
use super::{
    Web, approval, archives, dashboard, discovery, environments, error, events, figures, health, hooks,
    keeping, link, log, openapi, provider, restore, secrets, services, tokens, traefik,
};

/// A line of the table.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) least: Least,
    answered: MethodRouter<Web>,
}

/// The routes that this daemon has, each behind its guard.
pub(super) fn router(web: Web) -> Router {
    let mut router = Router::new();
    for Route { method, path, least, answered } in table() {
        let admission = Admission { web: web.clone(), least, method };
        router = router
            .route(path, answered.route_layer(middleware::from_fn_with_state(admission, access::admit)));
    }
    for Route { method, path, least, answered } in pages() {
        let admission = Admission { web: web.clone(), least, method };
        let guard = middleware::from_fn_with_state(admission, dashboard::admit);
        let limit = DefaultBodyLimit::max(dashboard::FORM_LIMIT);
        router = router.route(path, answered.layer(limit).route_layer(guard));
    }
    router.fallback(error::not_found).method_not_allowed_fallback(error::method_not_allowed).with_state(web)
}

/// Every route, as `openapi.json` describes them.
pub(super) fn table() -> Vec<Route> {
    let mut table = open();
    table.extend(of_environments());
    table.extend(of_archives());
    table.extend(of_the_house());
    table
}

/// For whoever reaches the port; hooks look at signatures of their own.
fn open() -> Vec<Route> {
    let git = post(hooks::git).layer(middleware::from_fn(figures::hook));
    let forge = post(hooks::forge).layer(middleware::from_fn(figures::hook));
    vec![
        Route { method: Method::POST, path: "/hooks/git/{repo}", least: Least::Anyone, answered: git },
        Route { method: Method::POST, path: "/hooks/{forge}/{repo}", least: Least::Anyone, answered: forge },
        looks("/healthz", Least::Anyone, health::alive),
        looks("/readyz", Least::Anyone, health::ready),
        looks("/metrics", Least::Anyone, figures::metrics),
    ]
}

fn of_environments() -> Vec<Route> {
    let (qa, developer) = (Least::Role(Qa), Least::Role(Developer));
    vec![
        looks("/api/v1/environments", qa, environments::list),
        looks("/api/v1/environments/{repo}/{branch}", qa, environments::show),
        looks("/api/v1/environments/{repo}/{branch}/deployments", qa, environments::deployments),
        looks("/api/v1/environments/{repo}/{branch}/log", qa, log::log),
        looks("/api/v1/environments/{repo}/{branch}/link", qa, link::show),
        acts("/api/v1/environments/{repo}/{branch}/wake", qa, environments::wake),
        acts("/api/v1/environments/{repo}/{branch}/deploy", developer, environments::deploy),
        acts("/api/v1/environments/{repo}/{branch}/approve", developer, approval::approve),
        acts("/api/v1/environments/{repo}/{branch}/archive", developer, environments::archive),
        acts("/api/v1/environments/{repo}/{branch}/destroy", developer, environments::destroy),
        acts("/api/v1/environments/{repo}/{branch}/sleep", developer, environments::sleep),
        acts("/api/v1/environments/{repo}/{branch}/pin", developer, environments::pin),
        acts("/api/v1/environments/{repo}/{branch}/unpin", developer, environments::unpin),
    ]
}

fn of_archives() -> Vec<Route> {
    let (qa, developer) = (Least::Role(Qa), Least::Role(Developer));
    vec![
        looks("/api/v1/archives", qa, archives::list),
        looks("/api/v1/archives/{id}", qa, archives::show),
        // Whole volumes: more than what the application shows of them.
        looks("/api/v1/archives/{id}/files", developer, restore::files),
        acts("/api/v1/archives/{id}/restore", developer, restore::restore),
        acts("/api/v1/archives/{id}/verify", developer, keeping::verify),
        acts("/api/v1/archives/{id}/pin", developer, keeping::pin),
        acts("/api/v1/archives/{id}/unpin", developer, keeping::unpin),
        acts("/api/v1/archives/{id}/remove", Least::Role(Admin), keeping::remove),
    ]
}

fn of_the_house() -> Vec<Route> {
    let (qa, admin) = (Least::Role(Qa), Least::Role(Admin));
    vec![
        looks("/api/v1/openapi.json", qa, openapi::document),
        looks("/api/v1/events", qa, events::list),
        looks("/api/v1/events/{id}", qa, events::show),
        acts("/api/v1/events/{id}/replay", admin, events::replay),
        looks("/api/v1/repositories", qa, archives::repositories),
        looks("/api/v1/repositories/{name}", qa, archives::repository),
        looks("/api/v1/services", qa, services::list),
        looks("/api/v1/discovery/prometheus", qa, services::prometheus),
        looks("/api/v1/providers/traefik", qa, traefik::document),
        looks("/api/v1/discovery", qa, discovery::show),
        looks("/api/v1/proxy", qa, provider::status),
        // It names paths and containers of all branches.
        looks("/api/v1/proxy/files", admin, provider::files),
        looks("/api/v1/secrets", Least::Role(Developer), secrets::list),
        acts("/api/v1/secrets/set", admin, secrets::set),
        acts("/api/v1/secrets/remove", admin, secrets::remove),
        looks("/api/v1/tokens", admin, tokens::list),
        // A stolen token must not make others that outlive it.
        acts("/api/v1/tokens/create", Least::Socket, tokens::create),
        acts("/api/v1/tokens/revoke", admin, tokens::revoke),
        // It writes a file anywhere on this machine.
        acts("/api/v1/backup", Least::Socket, archives::backup),
    ]
}

/// Pages for people: their role is that of the token they signed in with, whatever header they send.
pub(super) fn pages() -> Vec<Route> {
    let (qa, developer) = (Least::Role(Qa), Least::Role(Developer));
    vec![
        looks("/", qa, dashboard::home),
        looks("/environments/{repo}/{branch}/log", qa, dashboard::log),
        looks("/environments/{repo}/{branch}/archive", qa, dashboard::newest_archive),
        looks("/archives/{id}", qa, dashboard::archive),
        acts("/archives/{id}/restore", developer, dashboard::restore),
        looks("/signin", Least::Anyone, dashboard::sign_in_page),
        acts("/signin", Least::Anyone, dashboard::sign_in),
        acts("/signout", qa, dashboard::sign_out),
        looks("/assets/drey.css", Least::Anyone, dashboard::style),
    ]
}

fn looks<H: Handler<T, Web>, T: 'static>(path: &'static str, least: Least, handler: H) -> Route {
    Route { method: Method::GET, path, least, answered: get(handler) }
}

fn acts<H: Handler<T, Web>, T: 'static>(path: &'static str, least: Least, handler: H) -> Route {
    Route { method: Method::POST, path, least, answered: post(handler) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_token_is_open_and_all_else_has_its_role() {
        for route in table() {
            let open = !route.path.starts_with("/api/");
            assert_eq!(route.least == Least::Anyone, open, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn of_the_pages_only_signing_in_is_open() {
        let of = |wanted: fn(&Route) -> bool| -> Vec<(String, &str)> {
            let found = pages().into_iter().filter(wanted);
            found.map(|route| (route.method.to_string(), route.path)).collect()
        };
        let open = [("GET", "/signin"), ("POST", "/signin"), ("GET", "/assets/drey.css")];
        assert_eq!(of(|route| route.least == Least::Anyone), open.map(|(it, path)| (it.to_owned(), path)));
        let acts = [
            ("/archives/{id}/restore", Least::Role(Developer)),
            ("/signin", Least::Anyone),
            ("/signout", Least::Role(Qa)),
        ];
        let found: Vec<_> = pages().into_iter().filter(|route| route.method != Method::GET).collect();
        assert_eq!(found.iter().map(|route| (route.path, route.least)).collect::<Vec<_>>(), acts);
    }

    #[test]
    fn what_a_tester_may_do_is_looking_and_waking() {
        let acts: Vec<&str> = table()
            .iter()
            .filter(|route| route.method == Method::POST && route.least == Least::Role(Qa))
            .map(|route| route.path)
            .collect();
        assert_eq!(acts, ["/api/v1/environments/{repo}/{branch}/wake"]);
    }
}
