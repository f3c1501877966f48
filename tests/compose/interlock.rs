//! A compose file that was written for Interlock, as it is.

use std::path::Path;

use serde_json::{Value, json};

use crate::checked::check;

#[test]
fn a_file_for_interlock_is_routed_unchanged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interlock");
    let checked = check(&folder);
    assert!(checked.is_accepted(), "{}", checked.said);
    let routes = checked.said["routes"].as_array().cloned().unwrap_or_default();
    let route = |service: &str| {
        routes.iter().find(|route| route["service"] == service).cloned().unwrap_or(Value::Null)
    };
    let (nginx, api, admin) = (route("nginx"), route("api"), route("admin"));
    assert_eq!((&nginx["primary"], &nginx["host"], &nginx["path"]), (&json!(true), &json!(""), &json!("/")));
    assert_eq!((&nginx["port"], &nginx["aliases"]), (&json!(8080), &json!(["www", "shop-org"])));
    assert_eq!((&api["host"], &api["path"], &api["port"]), (&json!(""), &json!("/api"), &json!(3000)));
    assert_eq!((&admin["host"], &admin["path"], &admin["port"]), (&json!("admin"), &json!("/"), &json!(80)));
    assert_eq!(routes.len(), 3, "{routes:?}");
    // What is not as it was is told.
    let told = checked.findings();
    for label in ["domain", "alias_domain.10", "ssl_cert", "backend_option.1", "health_check_interval"] {
        let line = format!("set LABEL services.nginx.labels.interlock.{label}");
        assert!(told.contains(&line), "{line}: {told:?}");
    }
    assert!(!told.iter().any(|line| line.contains("interlock.port")), "{told:?}");
}
