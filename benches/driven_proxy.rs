//! A proxy of the distribution as the daemon drives it, for `script/bench providers`: told its routes on stdin, one command a
//! line, each answered by a line. It writes the configuration; whoever runs it starts the proxy.
//!
//! - `routes COUNT ADDRESS`: `r0.DOMAIN` … lead to the container there, each an environment of its own.
//! - `move NUMBER ADDRESS`: that one route leads elsewhere.
//! - `wait`: until the newest routes are in force and written.
#![allow(clippy::print_stdout, reason = "its answers")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drey::adapters::routes::{
    Actor, Applier, Apply, Certificate, Disk, Driver, Frame, Haproxy, HaproxySettings, HostProcess, Nginx,
    NginxSettings, Pace, Publisher, Shown, Status,
};
use drey::domain::names::{EnvironmentId, Generation};
use drey::domain::provider::ProviderState;
use drey::domain::route::{Answer, Route, RouteTable, Scheme, Upstream};
use drey::domain::time::Timestamp;
use drey::ports::{Clock, Provider, RoutePublisher};
use drey::proxy::{Proxy, ProxySettings, TlsSettings, local_certificate};
use drey::supervisor::Supervisor;
use tokio::sync::watch;

type Failure = Box<dyn Error>;

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock of this program")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or_default())
    }
}

/// `driven_proxy PROVIDER DOMAIN HTTPS-ADDRESS CONFIRM-ADDRESS DIRECTORY`.
fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut next = |what: &'static str| arguments.next().ok_or(what);
    let provider = next("the provider is missing")?;
    let domain = next("the domain is missing")?;
    let https: SocketAddr = next("the address is missing")?.parse()?;
    let confirm: SocketAddr = next("the address of confirmations is missing")?.parse()?;
    let directory = PathBuf::from(next("the directory is missing")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let supervisor = Supervisor::new();
    let gate =
        runtime.block_on(Proxy::bind(gate(&domain, &directory), &supervisor, Arc::new(SystemClock)))?;
    let address = gate.http_address().ok_or("the gate does not listen")?;
    let (frames, seen) = watch::channel(Arc::new(frame(&domain, (https, address), &directory)?));
    let (publisher, tables) = Publisher::new(Arc::new(gate));
    let proxy = driven(&provider, &directory, confirm)?;
    let status = Status::new(&provider);
    let shown =
        Shown { tables: tables.clone(), frames: seen.clone(), proxy: proxy.clone(), status: status.clone() };
    let actor =
        Actor { tables, frames: seen, proxy, status, clock: Arc::new(SystemClock), pace: Pace::default() };
    let draining = supervisor.draining();
    runtime.block_on(async { supervisor.spawn("provider", actor.run(draining)) });
    let mut routes = BTreeMap::new();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["routes", count, address] => {
                let (count, address): (i64, SocketAddr) = (count.parse()?, address.parse()?);
                routes = (0..count).map(|number| route(&domain, number, address)).collect();
            }
            ["move", number, address] => {
                let (host, route) = route(&domain, number.parse()?, address.parse()?);
                routes.insert(host, route);
            }
            ["wait"] => runtime.block_on(settle(&shown)),
            _ => return Err(format!("{line}: no such command").into()),
        }
        publisher.publish(RouteTable { hosts: routes.clone(), families: BTreeMap::new() });
        println!("done");
    }
    drop(frames);
    Ok(())
}

async fn settle(shown: &Shown) {
    loop {
        let files = shown.render().await.unwrap_or_default();
        let status = shown.status();
        let is_newest = |mark: &String| files.iter().any(|file| file.content.contains(mark.as_str()));
        if status.state == ProviderState::Serving && status.generation.as_ref().is_some_and(is_newest) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn gate(domain: &str, directory: &Path) -> ProxySettings {
    ProxySettings {
        https: None,
        http: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        domain: domain.to_owned(),
        tls: TlsSettings::LocalCa { directory: directory.join("tls") },
        dashboard_url: None,
        hold: Default::default(),
        robots: Default::default(),
        bounds: Default::default(),
        access_log: None,
    }
}

fn frame(domain: &str, (https, gate): (SocketAddr, SocketAddr), directory: &Path) -> Result<Frame, Failure> {
    let (files, _) = local_certificate(&directory.join("tls"), domain, SystemClock.now())?;
    let certificate = Certificate {
        names: vec![format!("*.{domain}")],
        chain: std::fs::read(files.certificate)?,
        key: std::fs::read(files.key)?,
    };
    Ok(Frame {
        domain: domain.to_owned(),
        https: Some(https),
        http: None,
        gate,
        direct: true,
        certificates: vec![certificate],
        policies: BTreeMap::new(),
        authority: None,
        hsts: None,
        sleepers: Default::default(),
        robots_by_app: false,
        trusted: Vec::new(),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(3),
        upstream_timeout: None,
    })
}

fn driven(provider: &str, directory: &Path, confirm: SocketAddr) -> Result<Arc<dyn Apply>, Failure> {
    let disk = Disk::new(directory.join("proxy"));
    let place = |file: &str| {
        let pid_file = disk.run().join(file);
        Arc::new(HostProcess { program: provider.to_owned(), pid_file, start: provider.to_owned() })
    };
    let driver: Arc<dyn Driver> = match provider {
        "nginx" => {
            let settings =
                NginxSettings { user: None, confirm, templates: None, visits: None, include: None };
            Arc::new(Nginx::new(place("nginx.pid"), disk.clone(), settings))
        }
        "haproxy" => {
            let settings = HaproxySettings { user: None, templates: None, visits: None };
            Arc::new(Haproxy::new(place("haproxy.pid"), disk.clone(), settings))
        }
        other => return Err(format!("{other}: no such provider").into()),
    };
    Ok(Arc::new(Applier::new(driver, disk)))
}

fn route(domain: &str, number: i64, address: SocketAddr) -> (String, Route) {
    let upstream = Upstream::new(address, Scheme::Http, format!("container-{number}"));
    let route = Route {
        access: Default::default(),
        paths: Default::default(),
        environment: EnvironmentId(number),
        generation: Generation(1),
        name: format!("shop/feature-{number}"),
        service: "web".into(),
        answer: Answer::Proxy(upstream),
    };
    (format!("r{number}.{domain}"), route)
}
