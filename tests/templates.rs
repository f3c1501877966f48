//! Every template gives a compose file that Compose itself takes.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and runs the reference tool"
)]

use std::process::Command;

use drey::adapters::template;
use serde_json::json;

#[test]
fn compose_takes_every_starter_stack_with_the_overlay_on_it() {
    for name in template::starters() {
        let folder = tempfile::tempdir().unwrap();
        let stack = folder.path().join("compose.yaml");
        std::fs::write(&stack, template::starter(name).unwrap()).unwrap();
        for service in services(&stack) {
            let values = json!({"services": [{
                "name": service, "memory": 1 << 30, "cpus": 0.5, "pids": 100, "job": false, "restart": "no", "stop_grace": "10s",
            }]});
            let overlay = folder.path().join("overlay.yaml");
            std::fs::write(&overlay, template::render_overlay(None, &values).unwrap()).unwrap();
            let merged =
                compose(&["-f", &stack.to_string_lossy(), "-f", &overlay.to_string_lossy(), "config"]);
            assert!(merged.contains("no-new-privileges:true"), "{name}: {merged}");
        }
    }
}

fn services(stack: &std::path::Path) -> Vec<String> {
    compose(&["-f", &stack.to_string_lossy(), "config", "--services"]).lines().map(str::to_owned).collect()
}

fn compose(arguments: &[&str]) -> String {
    let output =
        Command::new("docker").args(["compose", "-p", "templates"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
