use super::*;

fn allowed() -> Allowed {
    Allowed { patterns: vec!["*.apps.example".to_owned()], domain: "apps.example".to_owned() }
}

fn container(name: &str, labels: &[(&str, &str)]) -> Outsider {
    Outsider {
        id: format!("id-{name}"),
        name: name.to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        addresses: [("bridge".to_owned(), IpAddr::from([172, 17, 0, 2]))].into(),
        ports: vec![80],
        is_healthy: true,
        ..Outsider::default()
    }
}

fn told(containers: &[Outsider]) -> Vec<String> {
    let found = judge(containers, &allowed());
    let to = |answer: &Answer| match answer {
        Answer::Proxy(upstream) => {
            let others: String = upstream.others.iter().map(|it| format!("+{}", it.address)).collect();
            format!("{}{others}", upstream.address)
        }
        Answer::Replacing(_) | Answer::Page(_) => String::new(),
    };
    let mut lines: Vec<String> = Vec::new();
    for (host, route) in &found.routes {
        assert!(is_outside(route.environment), "{host}");
        lines.push(format!("{host} {} {}", route.service, to(&route.answer)));
        for path in &route.paths {
            let strip = if path.strip { "!" } else { "" };
            lines.push(format!("{host}{}{strip} {} {}", path.prefix, path.service, to(&path.answer)));
        }
    }
    let fault = |it: &OutsiderFault| format!("{}: {}: {}", it.container, it.key, it.reason);
    lines.extend(found.faults.iter().map(fault));
    lines
}

#[test]
fn labels_of_both_kinds_are_routed_and_all_others_passed_over() {
    let interlock = [
        ("interlock.hostname", "shop"),
        ("interlock.domain", "apps.example"),
        ("interlock.port", "8080"),
        ("interlock.alias_domain.1", "www.apps.example"),
    ];
    let containers = [
        container("b", &[("drey.host", "Blog"), ("drey.alias.1", "news.apps.example")]),
        container("a", &interlock),
        container("nginx", &[("interlock.ext.name", "nginx"), ("interlock.hostname", "x")]),
        container("plain", &[("com.example", "x")]),
        container("db", &[("drey.port", "5432")]),
    ];
    assert_eq!(
        told(&containers),
        [
            "blog.apps.example b 172.17.0.2:80",
            "news.apps.example b 172.17.0.2:80",
            "shop.apps.example a 172.17.0.2:8080",
            "www.apps.example a 172.17.0.2:8080",
        ]
    );
    let environment = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let data = r#"{"hostname":"old","domain":"apps.example"}"#;
    let older = Outsider { environment: environment("INTERLOCK_DATA", data), ..container("c", &[]) };
    let proxied =
        Outsider { environment: environment("VIRTUAL_HOST", "v.apps.example"), ..container("d", &[]) };
    assert_eq!(
        told(&[older, proxied]),
        ["old.apps.example c 172.17.0.2:80", "v.apps.example d 172.17.0.2:80"]
    );
}

#[test]
fn one_container_may_have_several_ports_hosts_and_paths() {
    let labels = [
        ("drey.host", "a"),
        ("drey.route.10", "a.apps.example/api 8080 strip"),
        ("drey.route.9", "b 9090"),
        ("drey.route.11", "b/deep/path"),
    ];
    assert_eq!(
        told(&[container("x", &labels)]),
        [
            "a.apps.example x 172.17.0.2:80",
            "a.apps.example/api! x 172.17.0.2:8080",
            "b.apps.example x 172.17.0.2:9090",
            "b.apps.example/deep/path x 172.17.0.2:80",
        ]
    );
}

#[test]
fn containers_at_one_place_share_it_and_the_sick_give_way() {
    let two = |is_healthy| Outsider {
        addresses: [("bridge".to_owned(), "fd00::3".parse().unwrap())].into(),
        is_healthy,
        ..container("x2", &[("drey.host", "x")])
    };
    let one = container("x1", &[("drey.host", "x")]);
    assert_eq!(told(&[two(true), one.clone()]), ["x.apps.example x1 172.17.0.2:80+[fd00::3]:80"]);
    assert_eq!(told(&[two(false), one.clone()]), ["x.apps.example x1 172.17.0.2:80"]);
    let found = judge(&[two(true), one.clone()], &allowed());
    assert_eq!(found, judge(&[one.clone(), two(true)], &allowed()), "whatever the order");
    assert_eq!(found.places.len(), 2);
    let alone = Outsider { is_healthy: false, ..one };
    assert_eq!(told(&[alone]), ["x.apps.example x1 172.17.0.2:80"], "better than nobody");
}

#[test]
fn the_network_is_chosen_by_rule_and_never_by_chance() {
    let networks = [("shop_back", "10.0.0.2"), ("shop_front", "10.0.1.2")];
    let addresses: BTreeMap<String, IpAddr> =
        networks.iter().map(|(name, address)| ((*name).to_owned(), address.parse().unwrap())).collect();
    let on = |label: &[(&str, &str)]| {
        let labels = [&[("drey.host", "x"), ("com.docker.compose.project", "shop")], label].concat();
        told(&[Outsider { addresses: addresses.clone(), ..container("x", &labels) }]).remove(0)
    };
    assert_eq!(
        on(&[]),
        "x: labels.drey.network: it has joined several networks; name one of them with the label drey.network: shop_back, shop_front"
    );
    assert_eq!(on(&[("drey.network", "shop_front")]), "x.apps.example x 10.0.1.2:80");
    assert_eq!(on(&[("interlock.network", "back")]), "x.apps.example x 10.0.0.2:80");
    assert!(
        on(&[("drey.network", "other")])
            .contains("\"other\" is none of its networks; it has joined: shop_back")
    );
    let nowhere = Outsider { addresses: BTreeMap::new(), ..container("x", &[("drey.host", "x")]) };
    assert!(told(std::slice::from_ref(&nowhere))[0].contains("joined no network"));
    assert_eq!(told(&[Outsider { is_on_host: true, ..nowhere }]), ["x.apps.example x 127.0.0.1:80"]);
}

#[test]
fn what_cannot_be_is_told_of_its_container_and_harms_no_other() {
    for (labels, why) in [
        (&[("drey.host", "a.evil.example")][..], "labels.drey.host: a.evil.example is none of the names"),
        (
            &[("interlock.hostname", "x")],
            "x.local is none of the names that discovery.domains allows (*.apps.example)",
        ),
        (&[("drey.host", "a"), ("drey.port", "x")], "labels.drey.port: \"x\" must be a port"),
        (
            &[("interlock.hostname", "a"), ("interlock.ssl", "maybe")],
            "labels.interlock.ssl: \"maybe\" must be true or false",
        ),
        (&[("drey.host", "a"), ("drey.path", "x")], "labels.drey.path: must begin with /"),
        (&[("drey.host", "a"), ("drey.scheme", "ftp")], "labels.drey.scheme: \"ftp\" must be http"),
        (
            &[("drey.host", "a"), ("drey.scheme", "tcp")],
            "labels.drey.scheme: \"tcp\" is nothing for browsers",
        ),
        (&[("drey.host", "a"), ("drey.lb", "x")], "labels.drey.lb: \"x\" must be round-robin"),
        (
            &[("drey.host", "a"), ("drey.scheme", "https"), ("drey.upstream.ca", "secret:x")],
            "files and secrets of a repository",
        ),
        (&[("drey.route.1", "a 80 81")], "labels.drey.route.1: must be HOST[/PATH] [PORT] [strip]"),
        (&[("drey.route.1", "a/../b")], "must not have a part"),
    ] {
        let lines = told(&[container("bad", labels), container("good", &[("drey.host", "good")])]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0], "good.apps.example good 172.17.0.2:80");
        assert!(lines[1].starts_with("bad: ") && lines[1].contains(why), "{}", lines[1]);
    }
    let many = Outsider { ports: vec![6379, 9000], ..container("x", &[("drey.host", "x")]) };
    assert!(told(&[many])[0].contains("drey.port on the container: 6379, 9000"));
    let usual = Outsider { ports: vec![443, 3000], ..container("x", &[("drey.host", "x")]) };
    assert_eq!(told(&[usual]), ["x.apps.example x 172.17.0.2:3000"]);
}
