//! Commands that need no daemon; of repositories they tell more where one runs.

use std::path::Path;

use serde_json::{Value, json};

use super::arguments::{HookCommand, RepoCommand, StackCommand};
use super::client::{Client, encoded};
use super::exit::{Exit, Failure, Outcome};
use super::output::{plain, print, print_json, table, text};
use super::repositories;
use crate::app;
use crate::app::check::Level;
use crate::config::{Repository, Settings};
use crate::domain::names::BranchName;

pub(super) fn serve(mut settings: Settings) -> Outcome {
    app::give_memory_back();
    // Before there is a second thread.
    let sockets = app::take_sockets(&mut settings)?;
    let log = app::start_logging(&settings.log);
    let clean = app::block_on_all_cores(app::serve(settings, sockets, log))?;
    Ok(if clean { Exit::Done } else { Exit::Failed })
}

pub(super) fn check(config: Option<&Path>, json: bool) -> Outcome {
    let (settings, faults) = app::configuration::examine(config);
    let findings = app::block_on(app::check::check(&settings, &faults));
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    if json {
        print_json(&json!({"items": findings}));
    } else {
        let row = |finding: &app::check::Finding| {
            vec![finding.level.word().to_owned(), finding.what.to_owned(), finding.message.clone()]
        };
        table(&["result", "what", "found"], &findings.iter().map(row).collect::<Vec<_>>());
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

pub(super) fn name(settings: &Settings, repo: &str, branches: &[String], json: bool) -> Outcome {
    let repository = repository(settings, repo)?;
    let branches: Result<Vec<BranchName>, _> = branches.iter().map(|name| BranchName::parse(name)).collect();
    let branches = branches.map_err(|error| Failure::Usage(error.to_string()))?;
    let items = app::block_on(app::names::names(settings, repository, &branches))?;
    if json {
        print_json(&json!({"items": items, "next": null}));
        return Ok(Exit::Done);
    }
    let row = |item: &Value| ["branch", "slug", "url", "note"].map(|key| text(&item[key])).to_vec();
    table(&["branch", "slug", "address", "note"], &items.iter().map(row).collect::<Vec<_>>());
    Ok(Exit::Done)
}

pub(super) fn hook(settings: &Settings, command: HookCommand, json: bool) -> Outcome {
    let HookCommand::Install { repo, client, path } = command;
    let name = &repository(settings, &repo)?.name;
    let installed = if client {
        app::hook_install::install_client(settings, name, &path)
    } else {
        app::hook_install::install(settings, name, &path)
    };
    let installed = installed.map_err(|error| Failure::Failed(error.to_string()))?;
    if json {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let chained = installed.chained.as_deref().map(text);
        print_json(&json!({
            "hook": text(&installed.hook), "url": installed.url, "chained": chained, "changed": installed.changed,
        }));
        return Ok(Exit::Done);
    }
    let done = if installed.changed { "installed" } else { "was in place" };
    print(&plain(&format!("{}: {done}, sends to {}", installed.hook.display(), installed.url)));
    if let Some(chained) = &installed.chained {
        print(&plain(&format!("{}: the hook that was there, runs too", chained.display())));
    }
    Ok(Exit::Done)
}

pub(super) fn repo(settings: &Settings, command: &RepoCommand, json: bool) -> Outcome {
    match command {
        RepoCommand::List => {
            let items: Vec<Value> = settings.repositories.iter().map(|it| known(settings, it)).collect();
            repositories::list(&json!({"items": items, "next": null}), json)
        }
        RepoCommand::Show { name } => repositories::show(&known(settings, repository(settings, name)?), json),
    }
}

/// What is configured, and where a daemon runs, how the remote answered it last.
fn known(settings: &Settings, repository: &Repository) -> Value {
    let mut view = app::repositories::view(settings, repository);
    let path = format!("/api/v1/repositories/{}", encoded(repository.name.as_str()));
    if let Ok(told) = Client::new(settings).get(&path) {
        for key in ["last_polled_at", "poll_error", "reports_waiting", "report_error"] {
            view[key] = told[key].clone();
        }
    }
    view
}

pub(super) fn stack(command: &StackCommand, config: Option<&Path>, json: bool) -> Outcome {
    let StackCommand::Check { repo, dir } = command;
    if !dir.is_dir() {
        return Err(Failure::NotFound(format!("{}: no such folder", dir.display())));
    }
    let settings = match repo {
        Some(_) => Some(app::configuration::load(config)?),
        None => None,
    };
    let configured = match (&settings, repo) {
        (Some(settings), Some(repo)) => Some((settings, repository(settings, repo)?)),
        _ => None,
    };
    let report = app::block_on(app::stack_check::check(dir, configured))?;
    if json {
        print_json(&report.to_json());
    } else {
        super::stack::show(&report);
    }
    Ok(if report.verdict.is_accepted() { Exit::Done } else { Exit::Refused })
}

fn repository<'a>(settings: &'a Settings, name: &str) -> Result<&'a Repository, Failure> {
    settings.repository(name).ok_or_else(|| {
        let known: Vec<&str> = settings.repositories.iter().map(|it| it.name.as_str()).collect();
        Failure::NotFound(format!("no repository is named {name}; there are: {}", known.join(", ")))
    })
}
