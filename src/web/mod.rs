//! HTTP: hooks, health, metrics, the API and the dashboard, on TCP and on the unix socket.
//!
//! Whoever may open the socket is admin; over TCP the API wants a token. Nothing here changes an environment by
//! itself; everything becomes an event.

mod access;
mod approval;
mod archives;
mod body;
mod border;
mod dashboard;
mod discovery;
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
mod lines;
mod link;
mod log;
mod openapi;
mod provider;
mod restore;
mod routes;
mod secrets;
mod server;
mod services;
mod signature;
mod tokens;
mod traefik;
mod view;
mod visits;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use tokio::net::{TcpListener, UnixListener};

use crate::domain::names::RepoName;
use crate::domain::traefik::Frame;
use crate::orchestrator::Orchestrator;

use access::Failures;
use border::Border;
use dashboard::Sessions;
use server::Door;

pub use border::BorderRules;
pub use link::LinkView;
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
    failures: Failures,
    sessions: Sessions,
}

/// What is counted and measured, in Prometheus' text format; with the figures of single environments, or without.
pub type Render = Box<dyn Fn(bool) -> String + Send + Sync>;

/// What the configuration says of repositories.
pub struct Served {
    /// Webhook secrets; a repository without one takes no delivery.
    pub secrets: BTreeMap<RepoName, Vec<u8>>,
    /// Their paths at their forges, where those are configured.
    pub projects: BTreeMap<RepoName, String>,
    /// What the API shows of each.
    pub repositories: BTreeMap<RepoName, serde_json::Value>,
    /// What Traefik is told besides the routes; none where it would not reach the gate.
    pub traefik: Option<Frame>,
    /// What strangers may do.
    pub border: BorderRules,
    /// `http.public_url`: the one place where people sign in; none: only on this machine itself.
    pub public_url: Option<String>,
}

impl Web {
    pub fn new(orchestrator: Orchestrator, served: Served, data_dir: PathBuf, render: Render) -> Self {
        let served = ArcSwap::from_pointee(served);
        let (border, failures, sessions) = (Border::new(), Failures::default(), Sessions::default());
        Self { inner: Arc::new(Inner { orchestrator, served, data_dir, render, border, failures, sessions }) }
    }

    /// From now on these.
    pub fn replace(&self, served: Served) {
        self.inner.served.store(Arc::new(served));
    }

    /// Serves whoever reaches the port until the daemon has done its last step.
    pub fn serve_tcp(&self, listener: TcpListener) {
        self.serve("http", listener);
    }

    /// Serves whoever may open the socket until the daemon has done its last step.
    pub fn serve_socket(&self, listener: UnixListener) {
        self.serve("socket", listener);
    }

    fn serve<L: server::Listener>(&self, task: &'static str, listener: L) {
        let supervisor = self.inner.orchestrator.house().supervisor.faces();
        let router = self.guarded(routes::router(self.clone()));
        supervisor.spawn(task, server::serve(listener, router, supervisor.clone(), self.door()));
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
