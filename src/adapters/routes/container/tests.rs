//! A container of somebody against an engine that answers from memory.

use crate::domain::subnet::Subnet;
use crate::ports::{Endpoint, Mount, Rested};

use super::*;

/// Notes what it is asked to do.
#[derive(Default)]
struct Engine {
    container: Mutex<Option<ForeignContainer>>,
    own: Vec<OwnNetwork>,
    services: Vec<String>,
    full: Option<String>,
    done: Mutex<Vec<String>>,
}

#[async_trait]
impl Foreign for Engine {
    async fn container(&self, _name: &str) -> PortResult<Option<ForeignContainer>> {
        Ok(self.container.lock().unwrap().clone())
    }

    async fn execute(&self, _name: &str, command: Vec<String>) -> PortResult<(i64, String)> {
        let code = if command.contains(&"missing".to_owned()) { 127 } else { 0 };
        Ok((code, command.join(" ")))
    }

    async fn signal(&self, name: &str, signal: &str) -> PortResult<()> {
        self.note(format!("{signal} to {name}"));
        Ok(())
    }

    async fn own_networks(&self) -> PortResult<Vec<OwnNetwork>> {
        Ok(self.own.clone())
    }

    async fn services_on(&self, _network: &str) -> PortResult<Vec<String>> {
        Ok(self.services.clone())
    }

    async fn connect(&self, network: &str, _name: &str) -> PortResult<()> {
        if self.full.as_deref() == Some(network) {
            return Err(PortError::Permanent("no available IPv4 addresses on this network".to_owned()));
        }
        self.note(format!("join {network}"));
        Ok(())
    }

    async fn disconnect(&self, network: &str, _name: &str) -> PortResult<()> {
        self.note(format!("leave {network}"));
        Ok(())
    }
}

impl Engine {
    fn new() -> Self {
        let own = [("1", "10.213.0.0/27"), ("2", "10.213.0.32/27")].map(|(id, subnet)| OwnNetwork {
            id: id.to_owned(),
            name: format!("drey-a-{id}_default"),
            subnets: vec![Subnet::parse(subnet).unwrap()],
        });
        Self { container: Mutex::new(Some(sound())), own: own.to_vec(), ..Self::default() }
    }

    fn note(&self, what: String) {
        self.done.lock().unwrap().push(what);
    }

    fn with(self, change: impl FnOnce(&mut ForeignContainer)) -> Self {
        change(self.container.lock().unwrap().as_mut().unwrap());
        self
    }
}

fn sound() -> ForeignContainer {
    let mount = Mount { source: "/srv".into(), destination: "/srv".into(), is_writable: true };
    let mut container = ForeignContainer {
        id: "ff".to_owned(),
        mounts: vec![mount],
        sysctls: [("net.ipv4.ip_forward".to_owned(), "0".to_owned())].into(),
        ..ForeignContainer::default()
    };
    sit(&mut container, "edge", ("e", "172.30.0.2"));
    container
}

fn sit(container: &mut ForeignContainer, name: &str, (network, address): (&str, &str)) {
    let endpoint = Endpoint {
        network: network.to_owned(),
        address: Some(address.parse().unwrap()),
        gateway: Some("172.30.0.1".parse().unwrap()),
    };
    container.networks.insert(name.to_owned(), endpoint);
}

fn settings() -> ContainerSettings {
    ContainerSettings {
        name: "edge".to_owned(),
        program: "nginx".to_owned(),
        directory: "/srv/drey/nginx".into(),
        is_on_host: false,
        gate: "172.30.0.1:8421".parse().unwrap(),
        section: "proxy.nginx".to_owned(),
        prefix: "drey-a-".to_owned(),
    }
}

fn of(engine: Engine) -> (Arc<Engine>, Container) {
    let engine = Arc::new(engine);
    (engine.clone(), Container::new(engine, settings()))
}

fn done(engine: &Engine) -> Vec<String> {
    std::mem::take(&mut *engine.done.lock().unwrap())
}

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn way(reach: &Reach, address: &str) -> String {
    format!("{:?}", reach.way(address.parse().unwrap()))
}

async fn fault(change: impl FnOnce(&mut ForeignContainer)) -> String {
    let (_, container) = of(Engine::new().with(change));
    container.join(&BTreeSet::new()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn it_is_put_where_routes_lead_and_taken_off_elsewhere() {
    let engine = Engine::new().with(|it| {
        sit(it, "drey-a-2_default", ("2", "10.213.0.35"));
        sit(it, "drey-b-1_default", ("b", "10.213.9.2"));
    });
    let (engine, container) = of(engine);
    let wanted = addresses(&["10.213.0.5", "172.17.0.9"]);
    let reach = container.join(&wanted).await.unwrap();
    assert_eq!(done(&engine), ["join 1"]);
    assert_eq!((way(&reach, "10.213.0.5"), way(&reach, "172.17.0.9")), ("Open".into(), "Closed".into()));
    // Where it is without need counts no more.
    assert_eq!(way(&reach, "10.213.0.35"), "Closed");
    assert_eq!(container.container().joined, ["drey-a-1_default", "drey-a-2_default"]);
    container.leave(&wanted).await;
    assert_eq!(done(&engine), ["leave drey-a-2_default"]);
    container.leave(&wanted).await;
    assert!(done(&engine).is_empty());
    assert_eq!(container.container().joined, ["drey-a-1_default"]);
    let seat = container.seat().borrow().clone();
    assert_eq!(seat.addresses, addresses(&["10.213.9.2", "172.30.0.2"]).into_iter().collect::<Vec<_>>());
    assert_eq!(container.life().as_deref(), Some("ff"));
    assert_eq!(container.asked_at("0.0.0.0:8422".parse().unwrap()).unwrap().port(), 8422);
}

#[tokio::test]
async fn a_network_that_cannot_be_joined_is_told_and_the_others_are_joined() {
    let (engine, container) = of(Engine { full: Some("1".to_owned()), ..Engine::new() });
    let reach = container.join(&addresses(&["10.213.0.5", "10.213.0.40"])).await.unwrap();
    let told = way(&reach, "10.213.0.5");
    assert!(
        told.contains("cannot join the network drey-a-1_default") && told.contains("no address"),
        "{told}"
    );
    assert_eq!((way(&reach, "10.213.0.40").as_str(), done(&engine)), ("Open", vec!["join 2".to_owned()]));

    let (engine, container) = of(Engine { services: vec!["edge".to_owned()], ..Engine::new() });
    let reach = container.join(&addresses(&["10.213.0.5"])).await.unwrap();
    assert!(way(&reach, "10.213.0.5").contains("another name") && done(&engine).is_empty());
}

#[tokio::test]
async fn one_that_forwards_packets_is_put_nowhere() {
    let engine = Engine::new().with(|it| {
        it.sysctls.clear();
        sit(it, "drey-a-1_default", ("1", "10.213.0.3"));
    });
    let (engine, container) = of(engine);
    let reach = container.join(&addresses(&["10.213.0.5"])).await.unwrap();
    assert!(way(&reach, "10.213.0.5").contains("net.ipv4.ip_forward=0"));
    container.leave(&BTreeSet::new()).await;
    assert_eq!(done(&engine), ["leave drey-a-1_default"]);
}

#[tokio::test]
async fn one_that_does_not_run_is_down_with_the_way_out() {
    for (rested, text, state) in [
        (Rested::Restarting, "docker logs edge", "restarting"),
        (Rested::Stopped(137), "exit code 137", "stopped"),
    ] {
        let engine = Engine::new().with(|it| {
            it.rested = Some(rested);
            sit(it, "drey-a-7_default", ("7", "10.213.0.99"));
        });
        let (engine, container) = of(engine);
        let fault = container.join(&addresses(&["10.213.0.5"])).await.unwrap_err();
        assert!(matches!(&fault, Fault::Down(why) if why.contains(text)), "{fault}");
        assert_eq!((container.container().state.as_str(), container.life()), (state, None));
        // A network that is gone would keep it from being started.
        container.leave(&BTreeSet::new()).await;
        assert_eq!(done(&engine), ["leave drey-a-7_default"]);
    }
    let (_, container) = of(Engine::new().with(|it| it.rested = Some(Rested::Paused)));
    let fault = container.join(&BTreeSet::new()).await.unwrap_err();
    assert!(matches!(&fault, Fault::Container(why) if why.contains("docker unpause edge")), "{fault}");
    assert_eq!(container.container().state, "paused");
    let (engine, container) = of(Engine::new());
    *engine.container.lock().unwrap() = None;
    let fault = container.join(&BTreeSet::new()).await.unwrap_err();
    assert!(matches!(&fault, Fault::Down(why) if why.contains("proxy.nginx.container")), "{fault}");
}

#[tokio::test]
async fn a_wrong_mount_or_network_is_told_with_key_and_way_out() {
    let unmounted = fault(|it| it.mounts.clear()).await;
    assert!(
        unmounted.contains("/srv/drey/nginx is not mounted") && unmounted.contains("proxy.nginx.directory")
    );
    let elsewhere = fault(|it| it.mounts[0].source = "/other".into()).await;
    assert!(elsewhere.contains("has /other/drey/nginx at /srv/drey/nginx"), "{elsewhere}");
    // The innermost counts.
    let inner = Mount { source: "/x".into(), destination: "/srv/drey/nginx".into(), is_writable: true };
    assert!(fault(|it| it.mounts.insert(0, inner)).await.contains("has /x at"));
    assert!(fault(|it| it.mounts[0].is_writable = false).await.contains("read-only"));
    assert!(fault(|it| it.is_on_host = true).await.contains("127.0.0.1:8421"));
    let engine = Arc::new(Engine::new());
    let gate = "127.0.0.1:8421".parse().unwrap();
    let on_host = Container::new(engine, ContainerSettings { is_on_host: true, gate, ..settings() });
    let told = on_host.join(&BTreeSet::new()).await.unwrap_err().to_string();
    assert!(told.contains("proxy.gate_listen") && told.contains("172.30.0.1:8421"), "{told}");
}

#[tokio::test]
async fn its_program_runs_in_it_and_its_first_process_is_told() {
    let (engine, container) = of(Engine::new());
    let said = container.run(vec!["-v".to_owned()]).await.unwrap();
    assert_eq!(said, Said { ok: true, text: "nginx -v".to_owned() });
    let missing = container.run(vec!["missing".to_owned()]).await.unwrap_err().to_string();
    assert!(missing.contains("nginx does not run in it"), "{missing}");
    container.tell(Told::Hangup).await.unwrap();
    container.tell(Told::User2).await.unwrap();
    assert_eq!(done(&engine), ["SIGHUP to edge", "SIGUSR2 to edge"]);
}
