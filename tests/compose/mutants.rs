//! Good stacks with something hostile put in. Whatever is accepted is rewritten as for a deployment, and what would be
//! deployed is looked at by a checker that shares nothing with the policy.
//!
//! Most of them are made from the rendered document, because starting Compose for each takes too long; some go the
//! whole way. `DREY_MUTANTS`, `DREY_MUTANTS_WHOLE`, `DREY_UNKNOWN_KEYS`: how many; `DREY_SEED`: other ones;
//! `DREY_MUTANTS_OUT`: a folder for the accepted ones that went the whole way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use drey::adapters::compose::{ComposeCli, ComposeSettings, facts};
use drey::domain::names::{EnvironmentId, InstanceId, ProjectName, Slug};
use drey::domain::observed::ImageFacts;
use drey::domain::policy::{self, CheckoutFacts, Permissions};
use drey::domain::rewrite::{self, BoundContent, RewriteContext, ServiceLimits, Share};
use drey::ports::{RenderRequest, Rendered, Stacks};
use serde_json::{Value, json};

use crate::checked::{each, write};
use crate::checker::{Own, faults};
use crate::dice::Dice;
use crate::hostile::{FILES, RICH, mutated, with_unknown_key};

const BINDS: &str = "/data/environments/1/binds";
const BUILT: &str = "drey/shop/made:0123";
const SERVICE: ServiceLimits = ServiceLimits { memory_bytes: 1 << 30, cpus: 1.0, pids: 100 };

fn wanted(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn seed() -> u64 {
    wanted("DREY_SEED", 1) as u64
}

fn project() -> ProjectName {
    ProjectName::new(&InstanceId("ab".to_owned()), EnvironmentId(1), &Slug::parse("x").unwrap())
}

fn lay_out(checkout: &Path, document: &str) {
    for (name, content) in FILES {
        write(checkout, name, content);
    }
    write(checkout, "compose.yaml", document);
}

/// Renders the checkout, in the jail.
fn render(parent: &Path, checkout: &Path) -> Result<Rendered, String> {
    let compose = ComposeCli::new(ComposeSettings {
        engine_host: "unix:///nonexistent".to_owned(),
        drey: Some(PathBuf::from(env!("CARGO_BIN_EXE_drey"))),
        home: None,
        empty_folder: parent.join("empty"),
        overlay: None,
    });
    let request = RenderRequest {
        checkout: checkout.to_owned(),
        project: project(),
        files: Vec::new(),
        variables: BTreeMap::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(compose.render(&request)).map_err(|error| error.to_string())
}

/// What would be deployed of a rendered document; `None` where it is refused, by policy or later.
fn deployed(document: &Value, facts: &CheckoutFacts, checkout: &Path) -> Option<Value> {
    let verdict = policy::judge(document, facts, &Permissions::default());
    if !verdict.is_accepted() {
        return None;
    }
    let selected = |document: &Value| rewrite::select(document, &[]).ok();
    let accepted = selected(&policy::neutralised(document, &verdict))?;
    let rendered = selected(document)?;
    let share = Share { memory_bytes: SERVICE.memory_bytes, cpus: SERVICE.cpus };
    let content = |path: PathBuf| {
        let is_file = checkout.join(&path).is_file();
        (path.to_string_lossy().into_owned(), BoundContent { content_id: "c0".to_owned(), is_file })
    };
    let contents = rewrite::bound_paths(&accepted, checkout).into_iter().map(content).collect();
    let image = ImageFacts { exposed_ports: vec![80], ..ImageFacts::default() };
    let services: Vec<String> = rewrite::services_of(&accepted).map(|(name, _)| name.clone()).collect();
    let built = rewrite::services_of(&accepted).filter(|(_, it)| !it["build"].is_null());
    let keys = rewrite::network_keys(&accepted);
    let context = RewriteContext {
        project: &project(),
        labels: &BTreeMap::from([("drey.branch".to_owned(), "x".to_owned())]),
        tags: &built.map(|(name, _)| (name.clone(), BUILT.to_owned())).collect(),
        facts: &services.into_iter().map(|name| (name, image.clone())).collect(),
        authorities: &BTreeMap::new(),
        subnets: &keys.into_iter().map(|key| (key, "10.213.0.0/27".to_owned())).collect(),
        contents: &contents,
        checkout,
        binds: Path::new(BINDS),
        secrets: Path::new("/run/drey/ab/1"),
        cgroup_parent: None,
        variables: &BTreeMap::from([("DREY_URL".to_owned(), "https://x.qa.example".to_owned())]),
        shares: &rewrite::overlay_values(&rendered, SERVICE, share),
        overlay: &json!({}),
        names: &BTreeMap::new(),
        completing: &[],
    };
    rewrite::rewrite(&accepted, &context).ok().map(|stack| stack.document)
}

fn found_in(document: &Value, checkout: &Path) -> Vec<String> {
    let (project, checkout) = (project(), checkout.to_string_lossy());
    faults(document, &Own { project: project.as_str(), binds: BINDS, checkout: &checkout, built: BUILT })
}

/// The good stack: its folder, and what Compose makes of it.
fn base() -> (tempfile::TempDir, PathBuf, Value) {
    let parent = tempfile::tempdir().unwrap();
    let checkout = parent.path().join("checkout");
    lay_out(&checkout, RICH);
    let document = render(parent.path(), &checkout).unwrap().document;
    (parent, checkout, document)
}

#[test]
fn whatever_is_accepted_of_rendered_mutants_is_harmless() {
    let (_parent, checkout, document) = base();
    let look = |document: &Value| facts::look(&checkout, &policy::paths_used(document));
    let good = deployed(&document, &look(&document), &checkout).unwrap();
    assert_eq!(found_in(&good, &checkout), [""; 0], "the good stack itself: {good:#}");
    let (count, mut dice, mut accepted) = (wanted("DREY_MUTANTS", 2000), Dice::new(seed()), 0);
    for number in 0..count {
        let mutant = mutated(&mut dice, &document);
        let Some(stack) = deployed(&mutant, &look(&mutant), &checkout) else { continue };
        accepted += 1;
        let found = found_in(&stack, &checkout);
        assert!(found.is_empty(), "mutant {number} of seed {}: {found:#?}", seed());
    }
    println!("mutants: {count}\nmutants_accepted: {accepted}\nmutants_harmful: 0");
    assert!(accepted > count / 50 && accepted < count, "{accepted} of {count} are accepted");
}

#[test]
fn whatever_is_accepted_of_raw_mutants_is_harmless() {
    let mut good: serde_yaml::Value = serde_yaml::from_str(RICH).unwrap();
    good.apply_merge().unwrap();
    let good = serde_json::to_value(good).unwrap();
    let mut dice = Dice::new(seed() + 1);
    let mutants: Vec<Value> =
        (0..wanted("DREY_MUTANTS_WHOLE", 60)).map(|_| mutated(&mut dice, &good)).collect();
    let accepted = Mutex::new(Vec::new());
    let faults = each(&mutants, |mutant| {
        let parent = tempfile::tempdir().unwrap();
        let checkout = parent.path().join("checkout");
        lay_out(&checkout, &mutant.to_string());
        let Ok(rendered) = render(parent.path(), &checkout) else { return Ok(()) };
        let Some(stack) = deployed(&rendered.document, &rendered.facts, &checkout) else { return Ok(()) };
        accepted.lock().unwrap().push(mutant.to_string());
        let found = found_in(&stack, &checkout);
        if found.is_empty() { Ok(()) } else { Err(format!("{found:#?}\n{mutant}")) }
    });
    let accepted = accepted.into_inner().unwrap();
    if let Some(folder) = std::env::var_os("DREY_MUTANTS_OUT") {
        for (number, text) in accepted.iter().enumerate() {
            write(Path::new(&folder), &format!("{number:03}.json"), text);
        }
    }
    println!("whole: {}\nwhole_accepted: {}", mutants.len(), accepted.len());
    assert!(faults.is_empty(), "seed {}: {}", seed(), faults.join("\n"));
    assert!(!accepted.is_empty() && accepted.len() < mutants.len());
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let (_parent, checkout, document) = base();
    let facts = facts::look(&checkout, &policy::paths_used(&document));
    let (count, mut dice) = (wanted("DREY_UNKNOWN_KEYS", 1000), Dice::new(seed() + 2));
    let mut accepted = Vec::new();
    for _ in 0..count {
        let (mutant, place) = with_unknown_key(&mut dice, &document);
        if policy::judge(&mutant, &facts, &Permissions::default()).is_accepted() {
            accepted.push(place);
        }
    }
    println!("unknown_keys: {count}\nunknown_keys_refused: {}", count - accepted.len());
    assert!(accepted.is_empty(), "{accepted:?}");
}
