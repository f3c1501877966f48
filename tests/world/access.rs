//! The commands from elsewhere: with a token in the environment, and no configuration.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::World;

const COMPOSE: &str =
    "services:\n  web: { image: 'drey-demo/tiny:1', command: [serve, '8080', /], expose: [8080] }\n";

/// A command on a machine that has nothing but an address and maybe a token.
fn elsewhere(world: &World, token: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drey"));
    command.args(arguments).current_dir(world.path("tmp")).env_remove("DREY_CONFIG");
    command.env("DREY_SERVER", format!("http://{}", world.address()));
    if let Some(token) = token {
        command.env("DREY_TOKEN", token);
    }
    command.output().unwrap()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_token_is_made_used_and_revoked() {
    let world = World::new("elsewhere", &[("compose.yaml", COMPOSE)]);
    let mode = std::fs::metadata(world.path("data/drey.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "whoever may open the socket is admin");

    let made = world.drey(&["token", "create", "--role", "qa", "--expires", "30d", "anna"]).unwrap();
    let token = made.trim();
    assert!(token.starts_with("drey_") && token.lines().count() == 1, "{made}");
    let listed = elsewhere(&world, Some(token), &["env", "list", "--json"]);
    let list: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(list["items"], serde_json::json!([]));
    assert!(elsewhere(&world, Some(token), &["repo", "list"]).status.success());

    let small = refused(&elsewhere(&world, Some(token), &["token", "list"]));
    assert!(small.contains("needs the role admin; the token anna has qa"), "{small}");
    let admin = world.drey(&["token", "create", "--role", "admin", "--json", "ops"]).unwrap();
    let admin: Value = serde_json::from_str(&admin).unwrap();
    let admin = admin["token"].as_str().unwrap();
    let no_more = refused(&elsewhere(&world, Some(admin), &["token", "create", "--role", "admin", "more"]));
    assert!(no_more.contains("through its socket"), "{no_more}");
    assert!(elsewhere(&world, Some(admin), &["token", "revoke", "anna"]).status.success());
    let gone = refused(&elsewhere(&world, Some(token), &["env", "list"]));
    assert!(gone.contains("a good token is needed"), "{gone}");

    let none = elsewhere(&world, None, &["env", "list"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(refused(&none).contains("DREY_TOKEN_FILE"), "it says where a token comes from");
    let open = elsewhere(&world, Some(admin), &["--server", "http://drey.example", "env", "list"]);
    assert_eq!(open.status.code(), Some(2), "a token is not sent in the open");

    let log = std::fs::read_to_string(world.path("daemon.log")).unwrap();
    assert!(log.contains("\"token.name\":\"ops\"") && log.contains("/api/v1/tokens/revoke"), "{log}");
    assert!(!log.contains(admin) && !log.contains(token), "no log has a token");
}
