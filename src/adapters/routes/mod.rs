//! Proxies of the team's own: the route table becomes their configuration, and comes into force there.
//!
//! One task takes the newest table, makes a model of it that no proxy is named in, and gives that to the one proxy that is
//! configured. What a proxy cannot do, and whatever is not ready, leads to drey's gate. It knows nothing of how the routes
//! came about.

mod actor;
mod applier;
mod apply;
mod bisect;
mod caddy;
mod certificates;
mod confirm;
mod container;
mod disk;
mod driver;
mod fault;
mod haproxy;
mod model;
mod networks;
mod nginx;
mod place;
mod publisher;
mod status;
mod traefik;
mod visits;

pub use actor::{Actor, Pace, Shown};
pub use applier::Applier;
pub use apply::{Applied, Apply, Taken};
pub use caddy::{Caddy, CaddySettings, FILE as CADDY_FILE};
pub use container::{Container, ContainerSettings, Seat};
pub use disk::Disk;
pub use driver::Driver;
pub use fault::Fault;
pub use haproxy::{FILE as HAPROXY_FILE, Haproxy, HaproxySettings};
pub use model::{Certificate, Frame, Policy};
pub use networks::Networks;
pub use nginx::{FILE as NGINX_FILE, INCLUDED as NGINX_INCLUDED, Nginx, NginxSettings};
pub use place::{HostProcess, Place};
pub use publisher::{Publisher, Tables};
pub use status::Status;
pub use traefik::{APPLIES_WITHIN, FILE as TRAEFIK_FILE, Traefik, TraefikSettings};
pub use visits::{AllVisitors, Passing};
