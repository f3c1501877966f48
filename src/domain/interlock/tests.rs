use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn with(labels: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Wish, String> {
    let (labels, environment) = (map(labels), map(environment));
    read(Source { labels: &labels, environment: &environment, hostname: Some("box") })
        .map_err(|fault| fault.to_string())
}

fn labels(pairs: &[(&str, &str)]) -> Result<Wish, String> {
    let pairs: Vec<(String, &str)> =
        pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), *value)).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    with(&pairs, &[])
}

fn told(wish: &Wish) -> String {
    let hosts: Vec<&str> = wish.hosts.iter().map(|host| host.host.as_str()).collect();
    let labels: Vec<String> = wish.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} | {}", hosts.join(" "), labels.join(" "))
}

#[test]
fn each_label_has_its_meaning() {
    for (given, meaning) in [
        (&[("hostname", "shop"), ("domain", "Example.com")][..], "shop.example.com | "),
        (&[("hostname", "example.com"), ("domain", "example.com")], "example.com | "),
        (&[("hostname", "shop")], "shop.local | "),
        (&[("domain", "example.com")], " | "),
        (&[("network", "front")], " | drey.network=front"),
        (&[("port", "8080")], " | drey.port=8080"),
        (&[("context_root", "/a/")], " | drey.path=/a"),
        (&[("context_root", "/")], " | "),
        (&[("context_root", "/a"), ("context_root_rewrite", "true")], " | drey.path=/a drey.strip-path=true"),
        (&[("context_root", "/a"), ("context_root_rewrite", "false")], " | drey.path=/a"),
        (&[("ssl", "true"), ("ssl_only", "true"), ("ssl_cert", "a.pem"), ("ssl_cert_key", "a.key")], " | "),
        (&[("ssl_backend", "true")], " | drey.scheme=https"),
        (&[("ssl_backend", "")], " | drey.scheme=https"),
        (&[("ssl_backend", "false"), ("ssl_backend_tls_verify", "required")], " | "),
        (
            &[("ssl_backend", "1"), ("ssl_backend_tls_verify", "required")],
            " | drey.scheme=https drey.upstream.verify=true",
        ),
        (&[("ssl_backend", "1"), ("ssl_backend_tls_verify", "none")], " | drey.scheme=https"),
        (&[("websocket_endpoint", "/ws"), ("websocket_endpoint.1", "/live")], " | "),
        (&[("health_check", "httpchk GET /ping")], " | drey.ready.path=/ping"),
        (&[("health_check", "httpchk HEAD /p HTTP/1.1\\r\\nHost:\\ x")], " | drey.ready.path=/p"),
        (&[("health_check", "/ping")], " | drey.ready.path=/ping"),
        (&[("health_check", "httpchk")], " | drey.ready.path=/"),
        (&[("health_check", "tcp-check"), ("health_check_interval", "2000")], " | "),
        (&[("balance_algorithm", "roundrobin")], " | "),
        (&[("balance_algorithm", "leastconn")], " | drey.lb=least-connections"),
        (&[("balance_algorithm", "source")], " | drey.sticky=true"),
        (&[("balance_algorithm", "hdr(X-User)")], " | "),
        (&[("backend_option", "forwardfor"), ("backend_option.1", "max_fails=3;")], " | "),
        (&[("ip_hash", "true")], " | drey.sticky=true"),
        (&[("ip_hash", "false")], " | "),
        (&[("unheard_of", "x")], " | "),
    ] {
        assert_eq!(told(&labels(given).unwrap()), meaning, "{given:?}");
    }
    assert!(labels(&[("app", "")]).unwrap().is_proxy);
    assert!(labels(&[("ext.name", "nginx")]).unwrap().is_proxy);
}

#[test]
fn aliases_come_in_the_order_of_their_numbers() {
    let wish = labels(&[
        ("hostname", "shop"),
        ("domain", "example.com"),
        ("alias_domain.10", "ten.org"),
        ("alias_domain.9", "nine.example.com"),
        ("alias_domain", "www.example.com"),
        ("alias_domain.11", "shop.example.com"),
        ("alias_domains", "wrong.example.com"),
    ])
    .unwrap();
    assert_eq!(told(&wish), "shop.example.com www.example.com nine.example.com ten.org | ");
    let parts: Vec<&str> = wish.hosts.iter().filter_map(|host| host.part.as_deref()).collect();
    assert_eq!(parts, ["shop", "www", "nine", "ten.org"]);
}

#[test]
fn what_cannot_be_meant_is_named() {
    for (name, value, why) in [
        ("port", "80/tcp", "port from 1 to 65535"),
        ("port", "0", "port from 1 to 65535"),
        ("hostname", "a b", "must be a host name"),
        ("hostname", "x; return 200", "must be a host name"),
        ("domain", "*.example.com", "must be a host name"),
        ("alias_domain.3", "a..b", "must be a host name"),
        ("context_root", "app", "must begin with /"),
        ("context_root_rewrite", "perhaps", "must be true or false"),
        ("ssl", "maybe", "must be true or false"),
        ("ssl_only", "2", "must be true or false"),
        ("ssl_backend", "x", "must be true or false"),
        ("ip_hash", "x", "must be true or false"),
        ("ssl_backend_tls_verify", "perhaps", "required or none"),
        ("ssl_cert", "/etc/ssl/a.pem", "a file of the host"),
        ("ssl_cert_key", "../a.key", "a file of the host"),
        ("health_check", "ping", "httpchk GET /path"),
        ("health_check_interval", "often", "milliseconds"),
        ("balance_algorithm", "fair", "leastconn"),
    ] {
        let given = [("hostname", "shop"), (name, value)];
        let fault = labels(&given).unwrap_err();
        let place = format!("labels.interlock.{name}: {value:?} ");
        assert!(fault.starts_with(&place) && fault.contains(why), "{fault}");
    }
}

#[test]
fn the_older_form_means_the_same_and_labels_win() {
    let data = r#"{"hostname":"shop","domain":"example.com","alias_domains":["a.org","b.org"],"port":8080,
        "check":"httpchk GET /ping","check_interval":3000,"backend_options":["forwardfor"],"ssl":true,
        "ssl_certificate":"a.pem","ssl_certificate_key":"a.key","ssl_only":false,"ssl_backend":true,
        "ssl_backend_tls_verify":"required","balance_algorithm":"leastconn","websocket_endpoints":["/ws"],"warm":true}"#;
    let wish = with(&[], &[("INTERLOCK_DATA", data)]).unwrap();
    assert_eq!(
        told(&wish),
        "shop.example.com a.org b.org | drey.lb=least-connections drey.port=8080 drey.ready.path=/ping \
         drey.scheme=https drey.upstream.verify=true"
    );
    let both = with(&[("interlock.alias_domain", "c.org")], &[("INTERLOCK_DATA", data)]).unwrap();
    assert!(told(&both).starts_with("shop.example.com c.org | "), "{}", told(&both));
    assert_eq!(told(&with(&[], &[("INTERLOCK_DATA", "{}")]).unwrap()), "box.local | ");
    for bad in ["", "[]", "{", r#"{"port":{}}"#] {
        let fault = with(&[], &[("INTERLOCK_DATA", bad)]).unwrap_err();
        assert!(fault.starts_with("environment.INTERLOCK_DATA: "), "{fault}");
    }
}

#[test]
fn nginx_proxys_variables_count_where_no_label_does() {
    let given = [
        ("VIRTUAL_HOST", "shop.example.com, *.x.org,~^re,B.org"),
        ("VIRTUAL_PORT", "3000"),
        ("VIRTUAL_PATH", "/app/"),
        ("VIRTUAL_DEST", "/"),
        ("VIRTUAL_PROTO", "https"),
    ];
    let wish = with(&[], &given).unwrap();
    assert_eq!(
        told(&wish),
        "shop.example.com b.org | drey.path=/app drey.port=3000 drey.scheme=https drey.strip-path=true"
    );
    assert!(wish.hosts.iter().all(|host| host.part.is_none()));
    let labelled = with(&[("interlock.hostname", "a"), ("interlock.port", "1")], &given).unwrap();
    assert!(told(&labelled).starts_with("a.local | ") && told(&labelled).contains("drey.port=1 "));
    assert_eq!(with(&[], &given[1..]).unwrap(), Wish::default(), "without a name nothing is said");
    let fault = with(&[], &[("VIRTUAL_HOST", "a.b"), ("VIRTUAL_PORT", "x")]).unwrap_err();
    assert!(fault.starts_with("environment.VIRTUAL_PORT: \"x\""), "{fault}");
}

#[test]
fn what_does_something_else_than_before_is_told() {
    assert!(matches!(remark("interlock.domain", "x"), Remark::Note(_)));
    assert!(matches!(remark("interlock.backend_option.4", "x"), Remark::Note(_)));
    assert!(matches!(remark("interlock.hostnam", "x"), Remark::Note(_)));
    assert!(matches!(remark("interlock.ssl_cert", "a.pem"), Remark::Note(_)));
    assert!(matches!(remark("interlock.ssl_cert", "/a.pem"), Remark::Refused(_)));
    assert_eq!(remark("interlock.port", "80"), Remark::None);
    assert_eq!(remark("com.example", "80"), Remark::None);
}
