use std::collections::BTreeSet;

use serde_json::json;

use super::*;

/// Every option that Interlock has, in the order of its documentation.
const GLOBAL: [&str; 8] = [
    "ListenAddr",
    "DockerURL",
    "TLSCACert",
    "TLSCert",
    "TLSKey",
    "AllowInsecure",
    "EnableMetrics",
    "PollInterval",
];
const COMMON: [&str; 9] = [
    "Name",
    "ConfigPath",
    "PidPath",
    "TemplatePath",
    "BackendOverrideAddress",
    "MaxConn",
    "Port",
    "SSLPort",
    "SSLCertPath",
];
const HAPROXY: [&str; 10] = [
    "ConnectTimeout",
    "ServerTimeout",
    "ClientTimeout",
    "SyslogAddr",
    "AdminUser",
    "AdminPass",
    "SSLCert",
    "SSLOpts",
    "SSLServerVerify",
    "SSLDefaultDHParam",
];
const NGINX: [&str; 12] = [
    "User",
    "WorkerProcesses",
    "RLimitNoFile",
    "ProxyConnectTimeout",
    "ProxySendTimeout",
    "ProxyReadTimeout",
    "SendTimeout",
    "SSLCiphers",
    "SSLProtocols",
    "DHParam",
    "DHParamPath",
    "NginxPlusEnabled",
];
const BEACON: [&str; 9] = [
    "StatsInterval",
    "StatsBackendType",
    "StatsPrometheusPushGatewayURL",
    "StatsInfluxDBAddress",
    "StatsInfluxDBUser",
    "StatsInfluxDBPassword",
    "StatsInfluxDBDatabase",
    "StatsInfluxDBPrecision",
    "Rules",
];

fn made(value: &Value) -> Migration {
    interlock(value.as_object().unwrap())
}

fn outcome<'a>(migration: &'a Migration, option: &str) -> (Outcome, &'a str) {
    let found = migration.options.iter().find(|it| it.option == option);
    let found = found.unwrap_or_else(|| panic!("{option}: {:?}", migration.options));
    (found.outcome, found.reason.as_str())
}

fn haproxy() -> Value {
    json!({
        "ListenAddr": ":8080", "DockerURL": "tcp://engine:2376", "TLSCACert": "/c/ca.pem", "TLSCert": "/c/cert.pem",
        "TLSKey": "/c/key.pem", "AllowInsecure": true, "EnableMetrics": true, "PollInterval": "1s",
        "Rules": {"web": {"Type": "image", "Regex": "nginx:.*"}},
        "Extensions": [{
            "Name": "haproxy", "ConfigPath": "/usr/local/etc/haproxy/haproxy.cfg", "PidPath": "/var/run/haproxy.pid",
            "TemplatePath": "/t", "BackendOverrideAddress": "172.17.0.1", "MaxConn": 2048, "Port": 8000, "SSLPort": 8443,
            "SSLCertPath": "/certs", "ConnectTimeout": 5500, "ServerTimeout": 10000, "ClientTimeout": 10000,
            "SyslogAddr": "10.0.0.1", "AdminUser": "admin", "AdminPass": "", "SSLCert": "/certs/all.pem",
            "SSLOpts": "no-sslv3", "SSLServerVerify": "none", "SSLDefaultDHParam": 1024
        }, {
            "Name": "beacon", "StatsInterval": "30s", "StatsBackendType": "influxdb",
            "StatsPrometheusPushGatewayURL": "http://p", "StatsInfluxDBAddress": "http://i", "StatsInfluxDBUser": "u",
            "StatsInfluxDBPassword": "hidden-password", "StatsInfluxDBDatabase": "d", "StatsInfluxDBPrecision": "s",
            "Rules": {}
        }]
    })
}

fn nginx() -> Value {
    json!({"extensions": [{
        "name": "nginx", "user": "www-data", "workerprocesses": 2, "rlimitnofile": 65535, "proxyconnecttimeout": 600,
        "proxysendtimeout": 600, "proxyreadtimeout": 600, "sendtimeout": 600, "sslciphers": "HIGH:!aNULL:!MD5",
        "sslprotocols": "SSLv3 TLSv1 TLSv1.1 TLSv1.2", "dhparam": true, "dhparampath": "/dh", "nginxplusenabled": false
    }]})
}

#[test]
fn every_option_of_interlock_is_judged_and_none_is_unknown() {
    let both = [made(&haproxy()), made(&nginx())];
    let judged: BTreeSet<String> = both
        .iter()
        .flat_map(|migration| &migration.options)
        .map(|it| it.option.rsplit('.').next().unwrap_or_default().to_ascii_lowercase())
        .collect();
    let all = GLOBAL.iter().chain(&COMMON).chain(&HAPROXY).chain(&NGINX).chain(&BEACON);
    assert_eq!(COMMON.len() + HAPROXY.len() + NGINX.len(), 31);
    for option in all {
        assert!(judged.contains(&option.to_ascii_lowercase()), "{option}");
    }
    for judged in both.iter().flat_map(|migration| &migration.options) {
        assert!(!judged.reason.contains("no option") && !judged.reason.is_empty(), "{judged:?}");
        assert_eq!(judged.outcome == Outcome::Mapped, !judged.to.is_empty(), "{judged:?}");
    }
}

#[test]
fn what_drey_can_say_is_said() {
    let migration = made(&haproxy());
    for line in [
        "[http]\nlisten = \"0.0.0.0:8080\"",
        "host = \"tcp://engine:2376\"",
        "ca = \"/c/ca.pem\"",
        "provider = \"haproxy\"",
        "http = \"0.0.0.0:8000\"",
        "https = \"0.0.0.0:8443\"",
        "connect = \"6s\"",
        "upstream = \"10s\"",
        "idle = \"10s\"",
        "connections = 2048",
        "certificate = \"/certs/all.pem\"",
        "poll_interval = \"2s\"",
        "enabled = true",
    ] {
        assert!(migration.toml.contains(line), "{line}\n{}", migration.toml);
    }
    assert_eq!(outcome(&migration, "Extensions[0].Port"), (Outcome::Mapped, "proxy.http = \"0.0.0.0:8000\""));
    assert!(!migration.toml.contains("hidden") && !format!("{:?}", migration.options).contains("hidden"));
    let migration = made(&nginx());
    for line in ["provider = \"nginx\"", "user = \"www-data\"", "connect = \"600s\"", "http = \"0.0.0.0:80\""]
    {
        assert!(migration.toml.contains(line), "{line}\n{}", migration.toml);
    }
}

#[test]
fn what_is_unsafe_is_replaced_also_where_it_was_a_default() {
    let migration = made(&haproxy());
    for option in [
        "AllowInsecure",
        "Extensions[0].AdminPass",
        "Extensions[0].SSLServerVerify",
        "Extensions[0].SSLDefaultDHParam",
    ] {
        assert_eq!(outcome(&migration, option).0, Outcome::Replaced, "{option}");
    }
    assert_eq!(outcome(&made(&nginx()), "Extensions[0].sslprotocols").0, Outcome::Replaced);
    let bare = made(&json!({"Extensions": [{"Name": "haproxy"}]}));
    assert_eq!(outcome(&bare, "Extensions[0].AdminPass (default)").0, Outcome::Replaced);
    let bare = made(&json!({"Extensions": [{"Name": "nginx", "SSLProtocols": "TLSv1.2"}]}));
    assert_eq!(outcome(&bare, "Extensions[0].SSLProtocols").0, Outcome::Ignored);
    assert_eq!(bare.options.len(), 2, "{:?}", bare.options);
    let opts = |text: &str| made(&json!({"Extensions": [{"Name": "haproxy", "SSLOpts": text}]}));
    assert_eq!(outcome(&opts("force-sslv3"), "Extensions[0].SSLOpts").0, Outcome::Replaced);
    assert_eq!(outcome(&opts("no-sslv3 no-tlsv10"), "Extensions[0].SSLOpts").0, Outcome::Ignored);
}

#[test]
fn odd_files_are_judged_too() {
    let migration = made(&json!({
        "Surprise": 1, "DockerURL": "npipe://x", "TLSCert": "/c", "PollInterval": "soon", "ListenAddr": "",
        "Extensions": [
            {"Name": "lb", "Port": 1}, {"Name": "nginx", "Port": "x", "AdminUser": "a", "MaxConn": 0},
            {"Name": "haproxy", "Port": 2}, 7
        ]
    }));
    for (option, why) in [
        ("Surprise", "no option of Interlock"),
        ("DockerURL", "by hand"),
        ("TLSCert", "all three"),
        ("PollInterval", "no length of time"),
        ("Extensions[0].Port", "neither haproxy"),
        ("Extensions[1].Port", "no port"),
        ("Extensions[1].AdminUser", "another extension"),
        ("Extensions[1].MaxConn", "above zero"),
        ("Extensions[2].Port", "drives one proxy"),
    ] {
        let (outcome, told) = outcome(&migration, option);
        assert!(outcome == Outcome::Ignored && told.contains(why), "{option}: {told}");
    }
    assert!(migration.toml.contains("provider = \"nginx\""), "{}", migration.toml);
    let hostile = made(&json!({"DockerURL": "tcp://a\"\n[http]\nlisten = \"0.0.0.0:1"}));
    assert!(!hostile.toml.contains("\n[http]"), "{}", hostile.toml);
    assert!(made(&json!({"Extensions": "x"})).options[0].reason.contains("no list"));
}
