//! Names, paths and networks of routes; files written for Interlock and nginx-proxy.

use super::*;
use crate::domain::stack::NetworkSpec;

#[expect(clippy::needless_pass_by_value, reason = "documents are written where they are passed")]
fn found(services: Value) -> Result<Vec<String>, String> {
    let document = json!({ "services": services });
    let found = discover(&document, &BTreeMap::new()).map_err(|error| error.to_string())?;
    let line = |it: &DiscoveredService| {
        let strip = if it.strip_path { "!" } else { "" };
        let aliases: String = it.aliases.iter().map(|alias| format!(" +{alias}")).collect();
        format!("{} {:?}{}{strip}:{}{aliases}", it.service, it.label, it.path, it.port)
    };
    Ok(found.services.iter().map(line).collect())
}

#[expect(clippy::needless_pass_by_value, reason = "labels are written where they are passed")]
fn service(labels: Value) -> Value {
    json!({ "expose": [80], "labels": labels })
}

fn interlock(pairs: &[(&str, &str)]) -> Value {
    let labels = pairs.iter().map(|(name, value)| (format!("interlock.{name}"), json!(value)));
    json!({ "expose": [80], "labels": Value::Object(labels.collect()) })
}

#[test]
fn services_share_a_name_by_their_paths() {
    let web = service(json!({}));
    assert_eq!(
        found(json!({
            "web": web,
            "api": service(json!({"drey.path": "/api/", "drey.strip-path": "true"})),
            "old": service(json!({"drey.path": "/api", "drey.host": "old"})),
            "new": service(json!({"drey.host": "old"})),
        }))
        .unwrap(),
        ["web \"\"/:80", "api \"\"/api!:80", "new \"old\"/:80", "old \"old\"/api:80"]
    );
    let twice = found(
        json!({"web": web, "a": service(json!({"drey.path": "/x"})), "b": service(json!({"drey.path": "/x"}))}),
    );
    let twice = twice.unwrap_err();
    assert!(
        twice.contains("services.b.labels.drey.host: the branch's own name at /x is the host of a too"),
        "{twice}"
    );
    let bad = found(json!({"web": service(json!({"drey.path": "x"}))})).unwrap_err();
    assert!(bad.starts_with("services.web.labels.drey.path: \"x\" must begin with /"), "{bad}");
}

#[test]
fn aliases_are_further_names_in_the_order_of_their_numbers() {
    let labels = json!({"drey.alias.10": "c", "drey.alias.9": "b", "drey.alias": "a", "drey.alias.11": "b"});
    assert_eq!(found(json!({"web": service(labels)})).unwrap(), ["web \"\"/:80 +a +b +c"]);
    let bad = found(json!({"web": service(json!({"drey.alias.1": "a.b"}))})).unwrap_err();
    assert!(bad.contains("labels.drey.alias.1: \"a.b\" must be up to 21"), "{bad}");
    let bad = found(json!({"web": service(json!({"drey.alias.x": "a"}))})).unwrap_err();
    assert!(bad.contains("must be drey.alias.NUMBER"), "{bad}");
    let taken = found(
        json!({"web": service(json!({"drey.alias": "api"})), "x": service(json!({"drey.host": "api"}))}),
    );
    assert!(taken.unwrap_err().contains("\"api\" is the host of x too"));
}

#[test]
fn former_names_become_parts_of_the_branchs() {
    let domain = ("domain", "example.com");
    assert_eq!(
        found(json!({
            "nginx": interlock(&[("hostname", "shop"), domain, ("alias_domain.2", "shop.org"), ("alias_domain.1", "www.example.com")]),
            "backend": interlock(&[("hostname", "shop"), domain, ("context_root", "/api"), ("context_root_rewrite", "true")]),
            "admin": interlock(&[("hostname", "admin.shop"), domain, ("port", "9000")]),
            "app": {"expose": [9001]},
            "db": {},
        }))
        .unwrap(),
        [
            "nginx \"\"/:80 +www +shop-org",
            "admin \"admin-shop\"/:9000",
            "app \"app\"/:9001",
            "backend \"\"/api!:80"
        ]
    );
    // Two domains, the same first part.
    let other = found(json!({
        "web": interlock(&[("hostname", "www"), domain]),
        "a": interlock(&[("hostname", "api"), ("domain", "a.org")]),
        "b": interlock(&[("hostname", "api"), ("domain", "b.org")]),
    }));
    assert_eq!(other.unwrap(), ["web \"\"/:80", "a \"api\"/:80", "b \"api-b-org\"/:80"]);
    // Interlock would have shared the requests among them.
    let both =
        found(json!({"web": interlock(&[("hostname", "x")]), "web2": interlock(&[("hostname", "x")])}))
            .unwrap_err();
    assert!(both.contains("the branch's own name is the host of web too"), "{both}");
}

#[test]
fn who_has_only_a_path_is_not_the_primary() {
    let services = json!({
        "api": {"ports": [{"target": 3000, "protocol": "tcp"}], "labels": {"interlock.hostname": "a", "interlock.context_root": "/api"}},
        "site": interlock(&[("hostname", "a")]),
        "admin": {"labels": {"interlock.hostname": "b", "interlock.port": "80"}},
    });
    assert_eq!(found(services).unwrap(), ["site \"\"/:80", "admin \"b\"/:80", "api \"\"/api:3000"]);
}

#[test]
fn own_labels_win_and_proxies_get_no_address() {
    let mut web = interlock(&[("hostname", "x"), ("port", "1"), ("ssl_backend", "false")]);
    web["labels"]["drey.port"] = json!("2");
    let mut nginx = interlock(&[("ext.name", "nginx")]);
    nginx["ports"] = json!([{"target": 80, "protocol": "tcp"}]);
    assert_eq!(found(json!({"web": web, "nginx": nginx})).unwrap(), ["web \"\"/:2"]);
}

#[test]
fn nginx_proxys_variables_are_read_too() {
    let virtual_host = |pairs: Value| json!({ "expose": [80, 443], "environment": pairs });
    assert_eq!(
        found(json!({
            "site": virtual_host(json!({"VIRTUAL_HOST": "shop.example.com,shop.org", "VIRTUAL_PORT": "3000"})),
            "api": virtual_host(json!({"VIRTUAL_HOST": "shop.example.com", "VIRTUAL_PATH": "/api/", "VIRTUAL_DEST": "/"})),
            "mail": virtual_host(json!({"VIRTUAL_HOST": "mail.shop.example.com"})),
        }))
        .unwrap(),
        ["site \"\"/:3000 +site", "api \"\"/api!:80", "mail \"mail\"/:80"]
    );
}

#[test]
fn what_cannot_be_meant_names_service_and_label() {
    for (label, value, why) in [
        ("port", "http", "must be a port"),
        ("ssl_cert", "/etc/x.pem", "[proxy.tls]"),
        ("ip_hash", "perhaps", "true or false"),
    ] {
        let document = json!({"services": {"web": interlock(&[(label, value)])}});
        let error = discover(&document, &BTreeMap::new()).unwrap_err();
        assert_eq!(error.key(), format!("services.web.labels.interlock.{label}"));
        let text = error.to_string();
        assert!(text.starts_with(&format!("{}: {value:?} ", error.key())) && text.contains(why), "{text}");
    }
    let document = json!({"services": {"web": {"expose": [80], "environment": {"INTERLOCK_DATA": "{"}}}});
    let error = discover(&document, &BTreeMap::new()).unwrap_err();
    assert_eq!(error.key(), "services.web.environment.INTERLOCK_DATA");
}

#[test]
fn the_network_that_is_asked_for_is_used() {
    let spec = |key: &str| NetworkSpec {
        key: key.to_owned(),
        name: format!("p_{key}"),
        internal: false,
        mtu: None,
        subnet: String::new(),
        definition: String::new(),
    };
    let networks = [spec("back"), spec("default"), spec("front")];
    let route = |labels: Value| {
        let service = json!({"expose": [80], "labels": labels, "networks": {"back": null, "front": null}});
        let document = json!({"services": {"web": service}});
        let found = discover(&document, &BTreeMap::new()).unwrap();
        let routes = found.routes(&networks, &document, &BTreeMap::new());
        routes.map(|routes| routes[0].network.clone()).map_err(|error| error.to_string())
    };
    assert_eq!(route(json!({})).unwrap(), "p_back");
    assert_eq!(route(json!({"drey.network": "front"})).unwrap(), "p_front");
    assert_eq!(route(json!({"interlock.network": "shop_front"})).unwrap(), "p_front");
    assert_eq!(route(json!({"interlock.network": "elsewhere"})).unwrap(), "p_back");
    let error = route(json!({"drey.network": "default"})).unwrap_err();
    assert!(error.contains("drey.network: \"default\"") && error.contains("back, front"), "{error}");
}

#[test]
fn each_alias_is_a_route_of_its_own() {
    let document = json!({"services": {"web": service(json!({"drey.alias.1": "www", "drey.path": "/a"}))}});
    let found = discover(&document, &BTreeMap::new()).unwrap();
    let routes = found.routes(&[], &document, &BTreeMap::new()).unwrap();
    let told: Vec<String> = routes.iter().map(|route| format!("{}{}", route.label, route.path)).collect();
    assert_eq!(told, ["/a", "www/a"]);
    let mut variables = BTreeMap::from([("DREY_URL_WEB".to_owned(), "https://x.d".to_owned())]);
    put_paths(&mut variables, &found.services);
    assert_eq!(variables["DREY_URL_WEB"], "https://x.d/a");
}
