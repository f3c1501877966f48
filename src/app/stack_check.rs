//! `drey stack check`: would this checkout deploy? Needs no daemon and no engine, starts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::{complaint, dockerfiles, wiring};
use crate::adapters::compose::{ComposeCli, ComposeSettings, scan};
use crate::config::{Repository, Settings};
use crate::domain::names::{BranchName, CommitSha, EnvironmentId, InstanceId, ProjectName, RepoName, Slug};
use crate::domain::observed::ImageFacts;
use crate::domain::policy::{self, Action, Finding, Permissions, Rule, Verdict};
use crate::domain::rewrite::{self, AddressParts, CommitVariables, DiscoveredService, RewriteError};
use crate::orchestrator;
use crate::ports::{PortError, RenderRequest, Rendered, Stacks};

/// The domain that is shown where no configuration names one.
const EXAMPLE_DOMAIN: &str = "qa.example";

/// The answer: the verdict, and what would be routed.
#[derive(Clone, Debug)]
pub struct Report {
    pub verdict: Verdict,
    /// The primary first; empty where only the images tell, and where the files are refused.
    pub routes: Vec<DiscoveredService>,
    /// Where branches live.
    pub domain: String,
}

impl Report {
    /// `{"verdict":"accept|reject","findings":[…],"routes":[…]}`, as `drey stack check --json` prints it.
    pub fn to_json(&self) -> Value {
        let route = |(place, route): (usize, &DiscoveredService)| {
            json!({
                "service": route.service, "host": route.label, "aliases": route.aliases, "path": route.path,
                "port": route.port, "scheme": route.scheme, "primary": place == 0,
            })
        };
        let routes = self.routes.iter().enumerate().map(route).collect();
        let mut document = self.verdict.to_json();
        if let Some(members) = document.as_object_mut() {
            members.insert("routes".to_owned(), routes);
        }
        document
    }
}

/// Judges the folder, by a repository's settings where one is given.
///
/// # Errors
/// When the folder is not there or compose cannot be run; what is wrong with the files themselves is a finding.
pub async fn check(dir: &Path, configured: Option<(&Settings, &Repository)>) -> anyhow::Result<Report> {
    let domain = configured.map_or(EXAMPLE_DOMAIN, |(settings, _)| &settings.proxy.domain).to_owned();
    let (verdict, routes) = examine(dir, configured).await?;
    Ok(Report { verdict, routes, domain })
}

async fn examine(
    dir: &Path,
    configured: Option<(&Settings, &Repository)>,
) -> anyhow::Result<(Verdict, Vec<DiscoveredService>)> {
    let checkout = dir.canonicalize().with_context(|| format!("{}: no such folder", dir.display()))?;
    let work = WorkFolder::create()?;
    let compose = tool(&work.0)?;
    compose.version().await?;
    let repository = configured.map(|(_, repository)| repository);
    let mut files = repository.map(|it| it.compose.clone()).unwrap_or_default();
    let copy;
    let checkout = match repository.and_then(|it| it.stack.as_deref()) {
        Some(starter) if scan::find_files(&checkout).is_empty() => {
            copy = work.0.join("checkout");
            outline(&checkout, &copy)?;
            files = compose.starter(starter, &copy)?;
            copy.as_path()
        }
        Some(_) | None => checkout.as_path(),
    };
    let named = if files.is_empty() { scan::find_files(checkout) } else { files.clone() };
    let sources = match scan::scan(checkout, &named) {
        Ok(scanned) => scanned.sources,
        Err(findings) => return Ok((Verdict::from_scan(findings), Vec::new())),
    };
    match render(&compose, checkout, files, repository).await {
        Ok(rendered) => Ok(judge(&rendered, repository, &permissions(configured)?)),
        Err(PortError::Permanent(reason) | PortError::Refused(reason) | PortError::NotFound(reason)) => {
            let key = complaint::key_in(&reason).unwrap_or_default();
            let file = sources.of(&key).or_else(|| (!named.is_empty()).then(|| shown(&named)));
            let line = file.as_ref().and_then(|file| sources.line(file, &key));
            let finding = Finding { line, ..refusal(file, key, complaint::with_way_out(reason)) };
            Ok((Verdict::from_scan(vec![finding]), Vec::new()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The compose tool, with all that it writes in a folder of ours.
fn tool(work: &Path) -> anyhow::Result<ComposeCli> {
    let settings = ComposeSettings {
        engine_host: "unix:///nonexistent".to_owned(),
        drey: Some(std::env::current_exe()?),
        home: std::env::home_dir(),
        empty_folder: work.join("empty"),
        overlay: None,
    };
    Ok(ComposeCli::new(settings).with_scratch(work.to_owned()))
}

fn permissions(configured: Option<(&Settings, &Repository)>) -> anyhow::Result<Permissions> {
    match configured {
        Some((settings, repository)) => Ok(wiring::permissions(settings, repository)?),
        None => Ok(Permissions::new(&[], &["*".to_owned()])?),
    }
}

async fn render(
    compose: &ComposeCli,
    checkout: &Path,
    files: Vec<PathBuf>,
    repository: Option<&Repository>,
) -> Result<Rendered, PortError> {
    let services = compose.services(checkout, &files)?;
    let failed = |error: anyhow::Error| PortError::Permanent(error.to_string());
    let request = RenderRequest {
        checkout: checkout.to_owned(),
        project: project().map_err(failed)?,
        files,
        variables: variables(repository, &services).map_err(failed)?,
    };
    compose.render(&request).await
}

/// A starter stack is written into a folder of our own, never into the developer's. The names of the top level are
/// enough: starters look no deeper.
fn outline(checkout: &Path, copy: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(copy)?;
    for entry in std::fs::read_dir(checkout)? {
        let entry = entry?;
        let there = copy.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, there)?;
        } else if kind.is_dir() {
            std::fs::create_dir(there)?;
        } else {
            std::fs::write(there, "")?;
        }
    }
    Ok(())
}

fn judge(
    rendered: &Rendered,
    repository: Option<&Repository>,
    permissions: &Permissions,
) -> (Verdict, Vec<DiscoveredService>) {
    let mut verdict = policy::judge(&rendered.document, &rendered.facts, permissions)
        .with_scan(&rendered.remarks, &rendered.sources);
    if !verdict.is_accepted() {
        return (verdict, Vec::new());
    }
    let refused = dockerfiles::findings(&rendered.document, &rendered.facts.root, permissions);
    if !refused.is_empty() {
        verdict.findings.extend(refused);
        return (verdict, Vec::new());
    }
    let profiles = repository.map(|it| it.profiles.clone()).unwrap_or_default();
    let no_images = BTreeMap::<String, ImageFacts>::new();
    let routed = rewrite::select(&policy::neutralised(&rendered.document, &verdict), &profiles)
        .and_then(|document| rewrite::discover(&document, &no_images))
        .and_then(|discovered| {
            let files = orchestrator::authorities(&rendered.facts.root, &discovered);
            let services = discovered.services.iter().map(|found| (found.service.as_str(), &found.manner));
            rewrite::check_authorities(services, &files).map(|()| discovered)
        });
    match routed {
        Ok(discovered) => (verdict, discovered.services),
        // Only the images could tell which service is meant: that is for the deployment to find out.
        Err(RewriteError::NoPrimary { .. } | RewriteError::NoPort(_)) if !opens_ports(&rendered.document) => {
            (verdict, Vec::new())
        }
        Err(error) => {
            let key = error.key();
            let text = error.to_string();
            let reason = text.strip_prefix(&format!("{key}: ")).unwrap_or(&text).to_owned();
            let file = rendered.sources.of(&key);
            let line = file.as_ref().and_then(|file| rendered.sources.line(file, &key));
            verdict.findings.push(Finding { line, ..refusal(file, key, reason) });
            (verdict, Vec::new())
        }
    }
}

/// Whether the file itself says where anything listens.
fn opens_ports(document: &Value) -> bool {
    let filled = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    rewrite::services_of(document)
        .any(|(_, service)| filled(service.get("ports")) || filled(service.get("expose")))
}

/// Compose itself, or the search for routes, does not take the files.
fn refusal(file: Option<String>, key: String, message: String) -> Finding {
    Finding { file, line: None, key, rule: Rule::Yaml, action: Action::Reject, message }
}

fn shown(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn project() -> anyhow::Result<ProjectName> {
    Ok(ProjectName::new(&InstanceId("check".to_owned()), EnvironmentId(0), &Slug::parse("check")?))
}

fn variables(
    repository: Option<&Repository>,
    services: &[String],
) -> anyhow::Result<BTreeMap<String, String>> {
    let (slug, branch) = (Slug::parse("check")?, BranchName::parse("check")?);
    let (repo, commit) = (RepoName::parse("check")?, CommitSha::parse(&"0".repeat(40))?);
    let address = AddressParts { slug: &slug, domain: EXAMPLE_DOMAIN, proto: "https", port: None };
    let mut variables = repository.map(|it| it.env.clone()).unwrap_or_default();
    let of = CommitVariables { repo: &repo, branch: &branch, commit: &commit };
    variables.extend(rewrite::render_variables(address, of, services));
    Ok(variables)
}

/// A folder of our own under the system's temporary one; removed when dropped.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn create() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("drey-check-{}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(folder.join("empty")).with_context(|| format!("{}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(services: &Value) -> Value {
        let mut rendered = Rendered {
            document: json!({ "name": "p", "services": services }),
            files: vec!["compose.yaml".into()],
            facts: Default::default(),
            remarks: vec![Finding {
                file: Some(".env".to_owned()),
                line: None,
                key: "COMPOSE_FILE".to_owned(),
                rule: Rule::HostEnvironment,
                action: Action::Neutralise,
                message: "leave it out".to_owned(),
            }],
            sources: Default::default(),
        };
        rendered.sources.begin_file("compose.yaml");
        let (verdict, routes) = judge(&rendered, None, &Permissions::default());
        Report { verdict, routes, domain: EXAMPLE_DOMAIN.to_owned() }.to_json()
    }

    #[test]
    fn the_answer_has_files_remarks_and_routes() {
        let found = report(&json!({
            "web": { "image": "nginx:1", "ports": [{ "target": 80 }] },
            "api": { "image": "nginx:1", "expose": ["3000"], "labels": { "drey.scheme": "h2c" } },
        }));
        assert_eq!(found["verdict"], "accept", "{found:#}");
        assert_eq!(
            found["routes"],
            json!([
                { "service": "web", "host": "", "aliases": [], "path": "/", "port": 80, "scheme": "http", "primary": true },
                { "service": "api", "host": "api", "aliases": [], "path": "/", "port": 3000, "scheme": "h2c", "primary": false },
            ])
        );
        assert_eq!(found["findings"][0]["file"], ".env");
        assert_eq!(found["findings"][1]["file"], "compose.yaml");
    }

    #[test]
    fn where_no_route_is_found_the_remarks_stay() {
        let port = json!([{ "target": 80 }]);
        let found = report(
            &json!({ "a": { "image": "nginx:1", "ports": port }, "b": { "image": "nginx:1", "ports": port } }),
        );
        let findings = found["findings"].as_array().unwrap();
        assert_eq!((&found["verdict"], &found["routes"]), (&json!("reject"), &json!([])));
        assert_eq!(findings.first().unwrap()["key"], "COMPOSE_FILE");
        assert_eq!(findings.last().unwrap()["key"], "services");
        assert_eq!(report(&json!({ "a": { "image": "nginx:1" } }))["verdict"], "accept");
    }
}
