//! `drey stack check`: would this checkout deploy? Needs no daemon and no engine, starts nothing.

use std::path::Path;

use anyhow::Context;

use super::wiring;
use crate::adapters::compose::{ComposeCli, ComposeSettings, scan};
use crate::config::{Repository, Settings};
use crate::domain::names::{BranchName, CommitSha, EnvironmentId, InstanceId, ProjectName, RepoName, Slug};
use crate::domain::observed::ImageFacts;
use crate::domain::policy::{self, Action, Finding, Permissions, Rule, Verdict};
use crate::domain::rewrite::{self, AddressParts, CommitVariables};
use crate::ports::{PortError, RenderRequest, Stacks};

/// Judges the folder, by a repository's settings where one is given.
///
/// # Errors
/// When the folder is not there or compose cannot be run; what is wrong with the files themselves is a finding.
pub async fn check(dir: &Path, configured: Option<(&Settings, &Repository)>) -> anyhow::Result<Verdict> {
    let checkout = dir.canonicalize().with_context(|| format!("{}: no such folder", dir.display()))?;
    let work = WorkFolder::create()?;
    let compose = ComposeCli::new(ComposeSettings {
        engine_host: "unix:///nonexistent".to_owned(),
        drey: Some(std::env::current_exe()?),
        home: std::env::home_dir(),
        empty_folder: work.0.join("empty"),
        overlay: None,
    });
    compose.version().await?;
    let repository = configured.map(|(_, repository)| repository);
    let permissions = match configured {
        Some((settings, repository)) => wiring::permissions(settings, repository)?,
        None => Permissions::new(&[], &["*".to_owned()])?,
    };
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
    if !named.is_empty()
        && let Err(findings) = scan::scan(checkout, &named)
    {
        return Ok(Verdict::from_scan(findings));
    }
    let verdict = match compose.services(checkout, &files) {
        Ok(services) => {
            let request = RenderRequest {
                checkout: checkout.to_owned(),
                project: project()?,
                files,
                variables: variables(repository, &services)?,
            };
            compose.render(&request).await.map(|rendered| judge(&rendered, repository, &permissions))
        }
        Err(error) => Err(error),
    };
    match verdict {
        Ok(verdict) => Ok(verdict),
        Err(PortError::Permanent(reason) | PortError::NotFound(reason)) => Ok(refused(reason)),
        Err(error) => Err(error.into()),
    }
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
    rendered: &crate::ports::Rendered,
    repository: Option<&Repository>,
    permissions: &Permissions,
) -> Verdict {
    let verdict = policy::judge(&rendered.document, &rendered.facts, permissions);
    if !verdict.is_accepted() {
        return verdict;
    }
    let profiles = repository.map(|it| it.profiles.clone()).unwrap_or_default();
    let no_images = std::collections::BTreeMap::<String, ImageFacts>::new();
    let routed = rewrite::select(&policy::neutralised(&rendered.document, &verdict), &profiles)
        .and_then(|document| rewrite::discover(&document, &no_images));
    match routed {
        Ok(_) => verdict,
        // Only the images could tell which service is meant: that is for the deployment to find out.
        Err(rewrite::RewriteError::NoPrimary { .. } | rewrite::RewriteError::NoPort(_))
            if !opens_ports(&rendered.document) =>
        {
            verdict
        }
        Err(error) => refused(error.to_string()),
    }
}

/// Whether the file itself says where anything listens.
fn opens_ports(document: &serde_json::Value) -> bool {
    let filled = |value: Option<&serde_json::Value>| {
        value.and_then(serde_json::Value::as_array).is_some_and(|list| !list.is_empty())
    };
    rewrite::services_of(document)
        .any(|(_, service)| filled(service.get("ports")) || filled(service.get("expose")))
}

/// Compose itself, or the search for routes, does not take the files.
fn refused(message: String) -> Verdict {
    Verdict::from_scan(vec![Finding {
        file: None,
        key: String::new(),
        rule: Rule::Yaml,
        action: Action::Reject,
        message,
    }])
}

fn project() -> anyhow::Result<ProjectName> {
    Ok(ProjectName::new(&InstanceId("check".to_owned()), EnvironmentId(0), &Slug::parse("check")?))
}

fn variables(
    repository: Option<&Repository>,
    services: &[String],
) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    let (slug, branch) = (Slug::parse("check")?, BranchName::parse("check")?);
    let (repo, commit) = (RepoName::parse("check")?, CommitSha::parse(&"0".repeat(40))?);
    let address = AddressParts { slug: &slug, domain: "qa.example", proto: "https", port: None };
    let mut variables = repository.map(|it| it.env.clone()).unwrap_or_default();
    let of = CommitVariables { repo: &repo, branch: &branch, commit: &commit };
    variables.extend(rewrite::render_variables(address, of, services));
    Ok(variables)
}

/// A folder of our own under the system's temporary one; removed when dropped.
struct WorkFolder(std::path::PathBuf);

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
