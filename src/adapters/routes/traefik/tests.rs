use super::document::{GATE, GENERATION, HSTS, HTTPS, MARK_HEADER, NO_INDEX, PLAIN, REST, ROBOTS, document};
use super::*;
use crate::adapters::routes::disk::MARK;
use crate::adapters::routes::model::Policy;
use crate::domain::backend::{BackendTls, Balance};
use crate::domain::environment::Phase;
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::path::PathPrefix;
use crate::domain::route::{Answer, Page, PathRoute, Replica, Route, RouteTable, Scheme, Upstream};
use crate::domain::visitors::Access;
use serde_json::json;

/// The parts of Traefik's reference that are used, by hand: key → what it may hold. `*` is any name.
const SCHEMA: &str = include_str!("schema.json");

fn frame() -> Frame {
    Frame {
        domain: "qa.example".to_owned(),
        https: Some(([0, 0, 0, 0], 443).into()),
        http: Some(([0, 0, 0, 0], 80).into()),
        gate: ([127, 0, 0, 1], 8421).into(),
        direct: true,
        sleepers: Default::default(),
        certificates: Vec::new(),
        policies: BTreeMap::new(),
        authority: None,
        hsts: None,
        robots_by_app: true,
        trusted: Vec::new(),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(3),
        upstream_timeout: None,
    }
}

fn settings() -> TraefikSettings {
    TraefikSettings {
        syntax: TraefikSyntax::V3,
        gate: None,
        entry_points: vec!["websecure".to_owned()],
        redirected: vec!["web".to_owned()],
        resolver: None,
        file: None,
        api: None,
        polls_every: Duration::from_secs(5),
        applies_within: Duration::ZERO,
    }
}

fn route(access: Access, answer: Answer) -> Route {
    Route {
        environment: EnvironmentId(1),
        generation: Generation(1),
        name: "shop/feature/x".to_owned(),
        service: "web".to_owned(),
        access,
        answer,
        paths: Vec::new(),
    }
}

fn upstream(scheme: Scheme) -> Upstream {
    Upstream::new(([10, 0, 0, 2], 8080).into(), scheme, "c1")
}

fn asleep() -> Answer {
    Answer::Page(Page { phase: Phase::Asleep, reason: None, outcome: None, is_tired: false })
}

fn of(routes: Vec<(&str, Route)>) -> RouteTable {
    let hosts = routes.into_iter().map(|(host, route)| (host.to_owned(), route)).collect();
    RouteTable { hosts, families: BTreeMap::new() }
}

fn ready(host: &str, upstream: Upstream) -> (&str, Route) {
    (host, route(Access::Open, Answer::Proxy(upstream)))
}

/// The document, which fits the schema.
fn made(table: &RouteTable, frame: &Frame) -> Value {
    told(table, frame, &settings())
}

fn told(table: &RouteTable, frame: &Frame, settings: &TraefikSettings) -> Value {
    let traefik = Traefik::new(Disk::new(PathBuf::new()), settings.clone());
    let document = document(frame, &Model::compile(table, frame, traefik.abilities()), settings);
    fits(&serde_json::from_str(SCHEMA).unwrap(), &document, "");
    document
}

fn fits(schema: &Value, value: &Value, at: &str) {
    match (schema, value) {
        (Value::Object(schema), Value::Object(value)) => {
            let may_be_empty = schema.get("allowEmpty").is_some();
            assert!(may_be_empty || !value.is_empty(), "{at}: an empty table is a fault to Traefik");
            for (key, value) in value {
                let known = schema.get(key).or_else(|| schema.get("*"));
                fits(known.unwrap_or_else(|| panic!("{at}.{key}: unknown")), value, &format!("{at}.{key}"));
            }
        }
        (Value::Array(schema), Value::Array(value)) => {
            assert!(!value.is_empty(), "{at}: an empty list");
            value.iter().for_each(|item| fits(&schema[0], item, &format!("{at}[]")));
        }
        (Value::String(kind), value) => {
            let is_kind = match kind.as_str() {
                "string" => value.is_string(),
                "bool" => value.is_boolean(),
                "int" => value.is_u64(),
                "duration" => value.as_str().is_some_and(|text| text.ends_with('s')),
                other => panic!("{other}"),
            };
            assert!(is_kind, "{at}: {value} is no {kind}");
        }
        (schema, value) => panic!("{at}: {value} is not as in {schema}"),
    }
}

#[test]
fn what_is_ready_leads_to_its_container_and_all_else_to_the_gate() {
    let table = of(vec![
        ready("x.qa.example", upstream(Scheme::Http)),
        ("y.qa.example", route(Access::Open, asleep())),
        ("z.qa.example", route(Access::Token, Answer::Proxy(upstream(Scheme::Http)))),
        ("r.qa.example", route(Access::Open, Answer::Replacing(Some(upstream(Scheme::Http))))),
    ]);
    let http = made(&table, &frame())["http"].clone();
    let service = |host: &str| http["routers"][format!("drey_{host}_qa_example")]["service"].clone();
    assert_eq!(service("x"), "drey_x_qa_example");
    for gated in ["y", "z", "r"] {
        assert_eq!(service(gated), GATE, "{gated}");
    }
    let balancer = &http["services"]["drey_x_qa_example"]["loadBalancer"];
    assert_eq!(*balancer, json!({"servers": [{"url": "http://10.0.0.2:8080"}], "passHostHeader": true}));
    assert_eq!(
        http["services"][GATE]["loadBalancer"]["servers"],
        json!([{"url": "http://127.0.0.1:8421"}]),
        "waking, holding and pages"
    );
    let router = &http["routers"]["drey_x_qa_example"];
    assert_eq!(router["rule"], "Host(`x.qa.example`)");
    assert_eq!((&router["entryPoints"], &router["tls"]), (&json!(["websecure"]), &json!({})));
    for gated in [
        Frame { direct: false, ..frame() },
        // Whoever comes to what may fall asleep has to be seen.
        Frame { sleepers: ["shop".to_owned()].into(), ..frame() },
    ] {
        assert_eq!(made(&table, &gated)["http"]["routers"]["drey_x_qa_example"]["service"], GATE);
    }
    let elsewhere = TraefikSettings { gate: Some("http://10.0.0.1:80".to_owned()), ..settings() };
    let http = told(&table, &frame(), &elsewhere)["http"].clone();
    assert_eq!(http["services"][GATE]["loadBalancer"]["servers"][0]["url"], "http://10.0.0.1:80");
}

#[test]
fn the_rest_of_the_domain_comes_last_and_plain_http_is_redirected() {
    let http = made(&RouteTable::default(), &frame())["http"].clone();
    let rest = &http["routers"][REST];
    assert_eq!(rest["rule"], r"HostRegexp(`^[a-z0-9-]+\.qa\.example$`)");
    assert_eq!((&rest["service"], &rest["priority"]), (&json!(GATE), &json!(1)));
    let plain = &http["routers"][PLAIN];
    assert_eq!((&plain["entryPoints"], &plain["middlewares"]), (&json!(["web"]), &json!([HTTPS])));
    assert!(plain.get("tls").is_none());
    let to = &http["middlewares"][HTTPS]["redirectScheme"];
    assert_eq!(*to, json!({"scheme": "https", "permanent": true}));
    let other = Frame { https: Some(([0, 0, 0, 0], 8443).into()), ..frame() };
    let v2 = TraefikSettings { syntax: TraefikSyntax::V2, ..settings() };
    let http = told(&RouteTable::default(), &other, &v2)["http"].clone();
    assert_eq!(http["middlewares"][HTTPS]["redirectScheme"]["port"], "8443");
    assert_eq!(http["routers"][REST]["rule"], "HostRegexp(`{branch:[a-z0-9-]+}.qa.example`)");
    let no_tls = Frame { https: None, hsts: Some(Duration::from_secs(1)), ..frame() };
    let http = made(&RouteTable::default(), &no_tls)["http"].clone();
    assert!(http["routers"][REST].get("tls").is_none() && http["routers"].get(PLAIN).is_none());
    let only = http["middlewares"].as_object().unwrap();
    assert_eq!(only.len(), 1, "{only:?}");
    assert_eq!(only[GENERATION]["headers"]["customResponseHeaders"][MARK_HEADER], MARK);
}

#[test]
fn services_that_share_a_host_are_told_apart_by_the_gate() {
    let (host, mut shared) = ready("x.qa.example", upstream(Scheme::Http));
    shared.paths = vec![PathRoute {
        prefix: PathPrefix::parse("/api").unwrap(),
        strip: false,
        service: "api".to_owned(),
        answer: Answer::Proxy(upstream(Scheme::Http)),
    }];
    let http = made(&of(vec![(host, shared)]), &frame())["http"].clone();
    assert_eq!(http["routers"]["drey_x_qa_example"]["service"], GATE);
}

#[test]
fn nothing_odd_gets_into_a_rule() {
    let odd = ["a`) || Host(`bank.example", "{x:.*}.qa.example", "A.qa.example", "a b", "a\n", ""];
    let table = of(odd.iter().map(|host| ready(host, upstream(Scheme::Http))).collect());
    let routers = made(&table, &frame())["http"]["routers"].clone();
    assert_eq!(routers.as_object().unwrap().len(), 2, "{routers}");
    let plain = ready("a--b.qa.example", upstream(Scheme::Http));
    let routers = made(&of(vec![plain]), &frame())["http"]["routers"].clone();
    assert_eq!(routers["drey_a--b_qa_example"]["rule"], "Host(`a--b.qa.example`)");
}

#[test]
fn tls_to_a_container_is_a_transport_of_its_own() {
    let pem = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n\
               -----BEGIN PRIVATE KEY-----\nBB\n-----END PRIVATE KEY-----\n";
    let tls = BackendTls {
        authority: Some("-----BEGIN CERTIFICATE-----".to_owned()),
        server_name: Some("app.internal".to_owned()),
        verify: true,
        identity: None,
    };
    let proven = BackendTls { identity: Some(pem.as_bytes().to_vec()), ..tls.clone() };
    let verified = Upstream { tls: Some(tls.into()), ..upstream(Scheme::Https) };
    let proven = Upstream { tls: Some(proven.into()), ..upstream(Scheme::Https) };
    let table = of(vec![
        ready("v.qa.example", verified),
        ready("t.qa.example", upstream(Scheme::Https)),
        ready("k.qa.example", proven),
    ]);
    let http = made(&table, &frame())["http"].clone();
    let transport = &http["serversTransports"]["drey_v_qa_example"];
    assert_eq!(
        (&transport["serverName"], &transport["insecureSkipVerify"]),
        (&json!("app.internal"), &json!(false))
    );
    assert_eq!(transport["rootCAs"], json!(["-----BEGIN CERTIFICATE-----"]));
    let balancer = &http["services"]["drey_v_qa_example"]["loadBalancer"];
    assert_eq!(balancer["serversTransport"], "drey_v_qa_example");
    assert_eq!(balancer["servers"][0]["url"], "https://10.0.0.2:8080");
    assert_eq!(http["serversTransports"]["drey_t_qa_example"], json!({"insecureSkipVerify": true}));

    // Whoever asks for a certificate is spoken to by the gate: Traefik gets no key.
    assert_eq!(http["routers"]["drey_k_qa_example"]["service"], GATE);
    assert!(!http.to_string().contains("PRIVATE KEY"));
}

#[test]
fn several_containers_share_and_what_traefik_cannot_do_the_gate_does() {
    let others = [4, 3].map(|number| Replica {
        address: ([10, 0, 0, number], 8080).into(),
        container: format!("c{number}"),
    });
    let several = Upstream { others: others.to_vec(), sticky: true, ..upstream(Scheme::H2c) };
    let fewest = Upstream { balance: Balance::LeastConnections, ..several.clone() };
    let slow = Upstream { timeout: Some(Duration::from_secs(90)), ..upstream(Scheme::Http) };
    let table =
        of(vec![ready("s.qa.example", several), ready("f.qa.example", fewest), ready("l.qa.example", slow)]);
    let http = made(&table, &frame())["http"].clone();
    let balancer = &http["services"]["drey_s_qa_example"]["loadBalancer"];
    let urls: Vec<&str> =
        balancer["servers"].as_array().unwrap().iter().map(|it| it["url"].as_str().unwrap()).collect();
    assert_eq!(urls, ["h2c://10.0.0.2:8080", "h2c://10.0.0.3:8080", "h2c://10.0.0.4:8080"]);
    assert_eq!(balancer["sticky"]["cookie"]["httpOnly"], true);
    assert_eq!(http["routers"]["drey_f_qa_example"]["service"], GATE);
    let patience = &http["serversTransports"]["drey_l_qa_example"]["forwardingTimeouts"];
    assert_eq!(patience["responseHeaderTimeout"], "90s");
}

#[test]
fn what_the_proxy_itself_does_for_visitors_is_asked_of_traefik() {
    let authority = b"-----BEGIN CERTIFICATE-----".to_vec();
    let policy = Policy { newest_only: true, client_authority: Some(authority) };
    let strict = Frame {
        hsts: Some(Duration::from_secs(3600)),
        robots_by_app: false,
        policies: BTreeMap::from([("shop".to_owned(), policy)]),
        ..frame()
    };
    let resolved = TraefikSettings { resolver: Some("letsencrypt".to_owned()), ..settings() };
    let table = of(vec![ready("x.qa.example", upstream(Scheme::Http))]);
    let document = told(&table, &strict, &resolved);
    let router = &document["http"]["routers"]["drey_x_qa_example"];
    assert_eq!(router["tls"]["certResolver"], "letsencrypt");
    assert_eq!(router["middlewares"], json!([HSTS, NO_INDEX]));
    let options = &document["tls"]["options"][router["tls"]["options"].as_str().unwrap()];
    assert_eq!(options["minVersion"], "VersionTLS13");
    assert_eq!(options["clientAuth"]["clientAuthType"], "RequireAndVerifyClientCert");
    let robots = &document["http"]["routers"][ROBOTS];
    assert_eq!(robots["service"], GATE);
    assert!(robots["priority"].as_u64() > router["priority"].as_u64());
    assert_eq!(document.to_string(), told(&table, &strict, &resolved).to_string());
}

/// What a Traefik shows of one middleware, on a port of its own.
fn shows(body: String) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut asked) = (stream.unwrap(), vec![0; 4096]);
            let length = std::io::Read::read(&mut stream, &mut asked).unwrap();
            let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
            let is_known = asked.starts_with("GET /api/http/middlewares/drey_generation@file ");
            let status = if is_known { "200 OK" } else { "404 Not Found" };
            write!(stream, "HTTP/1.1 {status}\r\n\r\n{body}").unwrap();
        }
    });
    address
}

async fn written(traefik: &Traefik, disk: &Disk, table: &RouteTable) -> String {
    let model = Model::compile(table, &frame(), traefik.abilities());
    let rendered = traefik.render(&frame(), &model).await.unwrap();
    let folder = disk.stage(&rendered).unwrap();
    traefik.validate(&folder).await.unwrap();
    disk.switch(&rendered.mark).unwrap();
    traefik.reload().await.unwrap();
    rendered.mark
}

#[tokio::test]
async fn what_a_traefik_has_that_asks_is_known_by_its_asking() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path().to_owned());
    let traefik = Traefik::new(disk.clone(), settings());
    assert!(traefik.hand_out("a").await.is_none());
    let mark = written(&traefik, &disk, &RouteTable::default()).await;
    assert!(traefik.serving().await.is_none() && traefik.gives_way() && traefik.assumed().is_none());
    assert!(traefik.last_words().await.contains("nobody asked"));
    assert!(traefik.hand_out("a").await.unwrap().contains(&mark));
    assert_eq!(traefik.serving().await, Some(mark));
    assert!(!traefik.gives_way() && traefik.last_words().await.is_empty());
    written(&traefik, &disk, &of(vec![ready("x.qa.example", upstream(Scheme::Http))])).await;
    assert!(traefik.gives_way(), "nobody has the newest");
}

#[tokio::test]
async fn a_file_is_believed_to_be_read_unless_the_api_tells() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, file) = (Disk::new(folder.path().join("proxy")), folder.path().join("drey.json"));
    let watching = TraefikSettings { file: Some(file.clone()), ..settings() };
    let traefik = Traefik::new(disk.clone(), watching.clone());
    assert!(traefik.serving().await.is_none());
    let mark = written(&traefik, &disk, &RouteTable::default()).await;
    assert!(std::fs::read_to_string(&file).unwrap().contains(&mark));
    assert_eq!((traefik.serving().await, traefik.assumed().is_some()), (Some(mark.clone()), true));
    std::fs::remove_file(&file).unwrap();
    assert!(traefik.serving().await.is_none(), "what is gone is written again");

    let header = json!({"headers": {"customResponseHeaders": {MARK_HEADER: mark}}, "status": "enabled"});
    let api = shows(header.to_string());
    let traefik = Traefik::new(disk.clone(), TraefikSettings { api: Some(api), ..watching.clone() });
    assert_eq!((traefik.serving().await, traefik.assumed(), traefik.gives_way()), (Some(mark), None, false));
    let nowhere = TraefikSettings { api: Some("127.0.0.1:1".to_owned()), ..watching };
    let traefik = Traefik::new(disk, nowhere);
    assert!(traefik.serving().await.is_none() && traefik.gives_way());
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_before_traefik_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path().to_owned());
    let traefik = Traefik::new(disk.clone(), settings());
    let tls =
        BackendTls { authority: Some("none".to_owned()), server_name: None, verify: true, identity: None };
    let bad = Upstream { tls: Some(tls.into()), ..upstream(Scheme::Https) };
    let model = Model::compile(&of(vec![ready("x.qa.example", bad)]), &frame(), traefik.abilities());
    let rendered = traefik.render(&frame(), &model).await.unwrap();
    let folder = disk.stage(&rendered).unwrap();
    let refused = traefik.validate(&folder).await.unwrap_err().to_string();
    assert!(refused.contains("drey_x_qa_example"), "{refused}");
}
