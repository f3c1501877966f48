//! HTTP: hooks, health, metrics on TCP; the API besides on the unix socket.
//!
//! Until there are tokens, TCP serves hooks, health and metrics and nothing else: whoever may open the socket is
//! admin. Nothing here changes an environment by itself; everything becomes an event.

mod archives;
mod body;
mod border;
mod drain;
mod environments;
mod error;
mod events;
mod extract;
mod figures;
mod follow;
mod health;
mod hooks;
mod keeping;
mod log;
mod openapi;
mod restore;
mod server;
mod signature;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::{TcpListener, UnixListener};

use crate::domain::names::RepoName;
use crate::orchestrator::Orchestrator;

use border::Border;
use server::Door;

pub use border::BorderRules;
pub use signature::look_token;
pub use view::EnvironmentView;

/// What a request is answered from.
#[derive(Clone)]
pub struct Web {
    inner: Arc<Inner>,
}

struct Inner {
    orchestrator: Orchestrator,
    served: ArcSwap<Served>,
    data_dir: PathBuf,
    render: Render,
    border: Border,
}

/// What is counted and measured, in Prometheus' text format.
pub type Render = Box<dyn Fn() -> String + Send + Sync>;

/// What the configuration says of repositories.
pub struct Served {
    /// Webhook secrets; a repository without one takes no delivery.
    pub secrets: BTreeMap<RepoName, Vec<u8>>,
    /// What the API shows of each.
    pub repositories: BTreeMap<RepoName, serde_json::Value>,
    /// What strangers may do.
    pub border: BorderRules,
}

impl Web {
    pub fn new(orchestrator: Orchestrator, served: Served, data_dir: PathBuf, render: Render) -> Self {
        let served = ArcSwap::from_pointee(served);
        let border = Border::new();
        Self { inner: Arc::new(Inner { orchestrator, served, data_dir, render, border }) }
    }

    /// From now on these.
    pub fn replace(&self, served: Served) {
        self.inner.served.store(Arc::new(served));
    }

    /// Serves hooks, health and metrics until the daemon has done its last step.
    pub fn serve_tcp(&self, listener: TcpListener) {
        let supervisor = self.inner.orchestrator.house().supervisor.faces();
        let router = self.guarded(public(self.clone()));
        supervisor.spawn("http", server::serve(listener, router, supervisor.clone(), self.door()));
    }

    /// Serves everything on the socket until the daemon has done its last step.
    pub fn serve_socket(&self, listener: UnixListener) {
        let supervisor = self.inner.orchestrator.house().supervisor.faces();
        let router = self.guarded(public(self.clone()).merge(api(self.clone())));
        supervisor.spawn("socket", server::serve(listener, router, supervisor.clone(), self.door()));
    }

    /// Who gets in, as the configuration says at that moment.
    fn door(&self) -> Door {
        let inner = self.inner.clone();
        let is_trusted = move |peer| {
            let served = inner.served.load();
            served.border.trusted_proxies.iter().any(|network| network.contains(peer))
        };
        Door { connections: self.inner.border.connections.clone(), is_trusted: Box::new(is_trusted) }
    }

    /// Over all routes: a daemon that ends takes nothing new.
    fn guarded(&self, router: Router) -> Router {
        let supervisor = self.inner.orchestrator.house().supervisor.clone();
        router.layer(middleware::from_fn_with_state(supervisor, drain::refuse))
    }
}

fn public(web: Web) -> Router {
    Router::new()
        .route("/hooks/git/{repo}", post(hooks::git).layer(middleware::from_fn(figures::hook)))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(figures::metrics))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(web)
}

/// Paths of the API, as `openapi.json` lists them.
fn api(web: Web) -> Router {
    Router::new()
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/environments", get(environments::list))
        .route("/api/v1/environments/{repo}/{branch}", get(environments::show))
        .route("/api/v1/environments/{repo}/{branch}/deployments", get(environments::deployments))
        .route("/api/v1/environments/{repo}/{branch}/log", get(log::log))
        .route("/api/v1/environments/{repo}/{branch}/deploy", post(environments::deploy))
        .route("/api/v1/environments/{repo}/{branch}/archive", post(environments::archive))
        .route("/api/v1/environments/{repo}/{branch}/destroy", post(environments::destroy))
        .route("/api/v1/environments/{repo}/{branch}/sleep", post(environments::sleep))
        .route("/api/v1/environments/{repo}/{branch}/wake", post(environments::wake))
        .route("/api/v1/environments/{repo}/{branch}/pin", post(environments::pin))
        .route("/api/v1/environments/{repo}/{branch}/unpin", post(environments::unpin))
        .route("/api/v1/archives", get(archives::list))
        .route("/api/v1/archives/{id}", get(archives::show))
        .route("/api/v1/archives/{id}/restore", post(restore::restore))
        .route("/api/v1/archives/{id}/files", get(restore::files))
        .route("/api/v1/archives/{id}/verify", post(keeping::verify))
        .route("/api/v1/archives/{id}/pin", post(keeping::pin))
        .route("/api/v1/archives/{id}/unpin", post(keeping::unpin))
        .route("/api/v1/archives/{id}/remove", post(keeping::remove))
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/events/{id}", get(events::show))
        .route("/api/v1/events/{id}/replay", post(events::replay))
        .route("/api/v1/repositories", get(archives::repositories))
        .route("/api/v1/repositories/{name}", get(archives::repository))
        .route("/api/v1/backup", post(archives::backup))
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(web)
}
