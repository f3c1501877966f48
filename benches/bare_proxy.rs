//! The proxy of the shipped binary and nothing beside it, for `script/bench proxy`: told its routes on stdin, one
//! command a line, each answered by a line.
//!
//! - `routes COUNT ADDRESS`: `r0.DOMAIN` … lead to the container there, each an environment of its own.
//! - `move NUMBER ADDRESS`: that one route leads elsewhere, in a new generation.
#![allow(clippy::print_stdout, reason = "its answers")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use drey::domain::names::{EnvironmentId, Generation};
use drey::domain::route::{Answer, Route, RouteTable, Scheme, Upstream};
use drey::domain::time::Timestamp;
use drey::ports::{Clock, RoutePublisher};
use drey::proxy::{Proxy, ProxySettings, TlsSettings};
use drey::supervisor::Supervisor;

type Failure = Box<dyn Error>;

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock of this program")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or_default())
    }
}

/// The routes as they stand.
struct Routes {
    domain: String,
    hosts: BTreeMap<String, Route>,
}

/// `bare_proxy DOMAIN HTTPS-ADDRESS DIRECTORY`; the directory gets the certificate.
fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut next = |what: &'static str| arguments.next().ok_or(what);
    let domain = next("the domain is missing")?;
    let https: SocketAddr = next("the address is missing")?.parse()?;
    let directory = PathBuf::from(next("the directory is missing")?);
    let settings = ProxySettings {
        https: Some(https),
        http: None,
        domain: domain.clone(),
        tls: TlsSettings::LocalCa { directory },
        dashboard_url: None,
        hold: Default::default(),
        robots: Default::default(),
        bounds: Default::default(),
        // As in the configuration that it is compared with.
        access_log: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let supervisor = Supervisor::new();
    let proxy = runtime.block_on(Proxy::bind(settings, &supervisor, Arc::new(SystemClock)))?;
    let mut routes = Routes { domain, hosts: BTreeMap::new() };
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        routes.follow(&line?)?;
        proxy.publish(RouteTable { hosts: routes.hosts.clone(), families: BTreeMap::new() });
        println!("done");
    }
    Ok(())
}

impl Routes {
    fn follow(&mut self, command: &str) -> Result<(), Failure> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["routes", count, address] => {
                let (count, address): (i64, SocketAddr) = (count.parse()?, address.parse()?);
                let hosts = (0..count).map(|number| (self.host(number), route(number, 1, address)));
                self.hosts = hosts.collect();
            }
            ["move", number, address] => {
                let (number, host) = (number.parse()?, self.host(number.parse()?));
                let generation = self.hosts.get(&host).map_or(1, |route| route.generation.0 + 1);
                self.hosts.insert(host, route(number, generation, address.parse()?));
            }
            _ => return Err(format!("{command}: no such command").into()),
        }
        Ok(())
    }

    fn host(&self, number: i64) -> String {
        format!("r{number}.{}", self.domain)
    }
}

fn route(number: i64, generation: i64, address: SocketAddr) -> Route {
    let upstream = Upstream::new(address, Scheme::Http, format!("container-{number}"));
    Route {
        access: Default::default(),
        paths: Default::default(),
        environment: EnvironmentId(number),
        generation: Generation(generation),
        name: format!("shop/feature-{number}"),
        service: "web".into(),
        answer: Answer::Proxy(upstream),
    }
}
