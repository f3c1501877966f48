//! The command line: thin; what it does lies in `app` or behind the daemon's socket.

mod arguments;
mod client;
mod environments;
mod exit;
mod local;
mod output;
mod records;
mod restore;
mod stack;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use client::Client;
use exit::{Exit, Outcome};

use crate::app;
use crate::config::Settings;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    // The jail comes before everything else: it execs, and wants neither threads nor a parser.
    let mut raw = std::env::args_os().skip(1);
    if raw.next().is_some_and(|first| first == "jail") {
        return app::jail(raw);
    }
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Outcome {
    if let Command::Completion { shell } = arguments.command {
        output::completion(shell, &mut Arguments::command());
        return Ok(Exit::Done);
    }
    let json = arguments.json;
    // A checkout can be judged anywhere, with no configuration at all.
    if let Command::Stack(stack) = &arguments.command {
        return local::stack(stack, arguments.config.as_deref(), json);
    }
    if matches!(arguments.command, Command::Check) {
        return local::check(arguments.config.as_deref(), json);
    }
    let settings = Settings::load(arguments.config.as_deref())?;
    match arguments.command {
        Command::Serve => local::serve(settings),
        Command::Name { repo, branches } => local::name(&settings, &repo, &branches, json),
        Command::Hook(hook) => local::hook(&settings, hook, json),
        Command::Repo(repo) => local::repo(&settings, &repo, json),
        Command::Env(command) => environments::run(&Client::new(&settings), command, json),
        Command::Archive(command) => records::archive(&Client::new(&settings), &command, json),
        Command::Event(command) => records::event(&Client::new(&settings), &command, json),
        Command::Backup { file } => records::backup(&Client::new(&settings), &file, json),
        Command::Check | Command::Stack(_) | Command::Completion { .. } => Ok(Exit::Done),
    }
}
