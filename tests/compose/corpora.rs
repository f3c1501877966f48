//! Collections of attacks and of good stacks that lie beside the repository, where they do: `DREY_CORPORA`, else
//! `../shared/corpora`. They are no part of it.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use drey::adapters::compose::scan;
use serde_json::Value;

use crate::checked::{check, each, write};

/// The cases of one collection, or a line that says why there are none.
fn cases(name: &str) -> Option<(PathBuf, Vec<Value>)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let folder = std::env::var_os("DREY_CORPORA").map_or(beside, PathBuf::from).join(name);
    let Ok(text) = std::fs::read(folder.join("manifest.json")) else {
        println!("skipped: there is no {}", folder.display());
        return None;
    };
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    Some((folder, manifest["cases"].as_array().unwrap().clone()))
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

/// Lays a case out as a checkout.
fn lay_out(folder: &Path, case: &Value, checkout: &Path) {
    write(checkout, "compose.yaml", std::fs::read(folder.join(text(case, "file"))).unwrap());
    for (name, content) in case["aux"].as_object().into_iter().flatten() {
        let path = checkout.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(target) = content["symlink"].as_str() {
            symlink(target, &path).unwrap();
            continue;
        }
        let plain = content.as_str().or(content["content"].as_str()).unwrap_or_default();
        std::fs::write(&path, plain).unwrap();
        if let Some(mode) = content["mode"].as_str() {
            let mode = u32::from_str_radix(mode.trim_start_matches("0o"), 8).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

#[test]
fn every_attack_is_decided_as_its_manifest_says() {
    let Some((folder, cases)) = cases("compose-evil") else { return };
    let faults = each(&cases, |case| {
        let parent = tempfile::tempdir().unwrap();
        let checkout = parent.path().join("checkout");
        lay_out(&folder, case, &checkout);
        // What must never reach the tool is refused before it.
        if case["never_run_cli"] == true && scan::scan(&checkout, &scan::find_files(&checkout)).is_ok() {
            return Err(format!("{}: the scan lets it pass", text(case, "name")));
        }
        let found = check(&checkout);
        let rule = text(case, "rule");
        let wanted = |action: &str| {
            let begin = format!("{action} {rule} ");
            found.findings().iter().any(|finding| finding.starts_with(&begin))
        };
        let refused = found.is_refused() && wanted("reject");
        let neutral = found.is_accepted() && (wanted("neutralise") || wanted("set"));
        let decided = refused || (text(case, "decision") == "neutralise" && neutral);
        let fault =
            || format!("{} ({} {rule}): {:#}", text(case, "name"), text(case, "decision"), found.said);
        if decided && found.tells_all() { Ok(()) } else { Err(fault()) }
    });
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn every_good_stack_is_accepted_with_its_route() {
    let Some((folder, cases)) = cases("compose-good") else { return };
    let faults = each(&cases, |case| {
        let found = check(&folder.join(text(case, "dir")));
        let route = &found.said["routes"][0];
        let is_routed = route["service"] == case["route"][0] && route["port"] == case["route"][1];
        let findings = found.findings();
        let unsaid = |key: &&Value| {
            let key = key.as_str().unwrap_or_default();
            !findings.iter().any(|it| !it.starts_with("reject") && it.ends_with(&format!(" {key}")))
        };
        let unsaid: Vec<&Value> =
            case["neutralise"].as_array().into_iter().flatten().filter(unsaid).collect();
        if found.is_accepted() && is_routed && unsaid.is_empty() {
            return Ok(());
        }
        Err(format!("{}: not said {unsaid:?}; {:#}", text(case, "dir"), found.said))
    });
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}
