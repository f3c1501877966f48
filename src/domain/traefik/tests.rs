use super::*;
use crate::domain::backend::{BackendTls, Balance};
use crate::domain::environment::Phase;
use crate::domain::names::{EnvironmentId, Generation};
use crate::domain::path::PathPrefix;
use crate::domain::route::{Answer, Page, PathRoute, Replica, Scheme, Upstream};
use crate::domain::visitors::Access;

/// The parts of Traefik's reference that are used, by hand: key → what it may hold. `*` is any name.
const SCHEMA: &str = include_str!("schema.json");

fn frame() -> Frame {
    Frame {
        domain: "qa.example".to_owned(),
        syntax: Syntax::V3,
        gate: "http://127.0.0.1:8480".to_owned(),
        entry_points: vec!["websecure".to_owned()],
        redirected: vec!["web".to_owned()],
        https_port: None,
        tls: true,
        resolver: None,
        direct: true,
        tells_keys: true,
        hsts: None,
        robots_by_app: true,
        policies: BTreeMap::new(),
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
    let document = document(table, frame);
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
        json!([{"url": "http://127.0.0.1:8480"}]),
        "waking, holding and pages"
    );
    let router = &http["routers"]["drey_x_qa_example"];
    assert_eq!(router["rule"], "Host(`x.qa.example`)");
    assert_eq!((&router["entryPoints"], &router["tls"]), (&json!(["websecure"]), &json!({})));
    let gated = made(&table, &Frame { direct: false, ..frame() });
    assert_eq!(gated["http"]["routers"]["drey_x_qa_example"]["service"], GATE);
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
    let other = Frame { https_port: Some(8443), syntax: Syntax::V2, ..frame() };
    let http = made(&RouteTable::default(), &other)["http"].clone();
    assert_eq!(http["middlewares"][HTTPS]["redirectScheme"]["port"], "8443");
    assert_eq!(http["routers"][REST]["rule"], "HostRegexp(`{branch:[a-z0-9-]+}.qa.example`)");
    let no_tls = Frame { tls: false, redirected: Vec::new(), hsts: Some(Duration::from_secs(1)), ..frame() };
    let http = made(&RouteTable::default(), &no_tls)["http"].clone();
    assert!(http["routers"][REST].get("tls").is_none() && http.get("middlewares").is_none());
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
        identity: Some(pem.as_bytes().to_vec()),
    };
    let verified = Upstream { tls: Some(tls.into()), ..upstream(Scheme::Https) };
    let table = of(vec![ready("v.qa.example", verified), ready("t.qa.example", upstream(Scheme::Https))]);
    let http = made(&table, &frame())["http"].clone();
    let transport = &http["serversTransports"]["drey_v_qa_example"];
    assert_eq!(
        (&transport["serverName"], &transport["insecureSkipVerify"]),
        (&json!("app.internal"), &json!(false))
    );
    assert_eq!(transport["rootCAs"], json!(["-----BEGIN CERTIFICATE-----"]));
    let certificate = &transport["certificates"][0];
    assert!(certificate["certFile"].as_str().unwrap().contains("AA"));
    assert!(certificate["keyFile"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----\nBB"));
    let balancer = &http["services"]["drey_v_qa_example"]["loadBalancer"];
    assert_eq!(balancer["serversTransport"], "drey_v_qa_example");
    assert_eq!(balancer["servers"][0]["url"], "https://10.0.0.2:8080");
    assert_eq!(http["serversTransports"]["drey_t_qa_example"], json!({"insecureSkipVerify": true}));

    let told = made(&table, &Frame { tells_keys: false, ..frame() });
    assert_eq!(told["http"]["routers"]["drey_v_qa_example"]["service"], GATE);
    assert!(!told.to_string().contains("PRIVATE KEY"));
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
    let authority = "-----BEGIN CERTIFICATE-----".to_owned();
    let policy = Policy { newest_only: true, client_authority: Some(authority) };
    let strict = Frame {
        hsts: Some(Duration::from_secs(3600)),
        robots_by_app: false,
        resolver: Some("letsencrypt".to_owned()),
        policies: BTreeMap::from([("shop".to_owned(), policy)]),
        ..frame()
    };
    let table = of(vec![ready("x.qa.example", upstream(Scheme::Http))]);
    let document = made(&table, &strict);
    let router = &document["http"]["routers"]["drey_x_qa_example"];
    assert_eq!(router["tls"], json!({"certResolver": "letsencrypt", "options": "drey_shop"}));
    assert_eq!(router["middlewares"], json!([HSTS, NO_INDEX]));
    let options = &document["tls"]["options"]["drey_shop"];
    assert_eq!(options["minVersion"], "VersionTLS13");
    assert_eq!(options["clientAuth"]["clientAuthType"], "RequireAndVerifyClientCert");
    let robots = &document["http"]["routers"][ROBOTS];
    assert_eq!(robots["service"], GATE);
    assert!(robots["priority"].as_u64() > router["priority"].as_u64());
    assert_eq!(document.to_string(), made(&table, &strict).to_string());
}
