//! `drey migrate …`.

use super::arguments::MigrateCommand;
use super::exit::{Exit, Failure, Outcome};
use super::output::{note, print, print_json};
use crate::app;
use crate::domain::migration::Judged;

pub(super) fn run(command: &MigrateCommand, json: bool) -> Outcome {
    let MigrateCommand::Interlock { file } = command;
    if !file.is_file() {
        return Err(Failure::NotFound(format!("{}: no such file", file.display())));
    }
    let migration = app::migrate::interlock(file)?;
    if json {
        print_json(&serde_json::json!(migration));
        return Ok(Exit::Done);
    }
    print(migration.toml.trim_end());
    for Judged { option, outcome, reason, .. } in &migration.options {
        note(&format!("{option}: {}: {reason}", outcome.word()));
    }
    Ok(Exit::Done)
}
