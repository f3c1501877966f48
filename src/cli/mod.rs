//! The command line: thin; what it does lies in `app` or behind the daemon's socket.

mod archives;
mod arguments;
mod client;
mod discovery;
mod environments;
mod exit;
mod local;
mod migrate;
mod output;
mod proxy;
mod records;
mod repositories;
mod restore;
mod secrets;
mod services;
mod stack;
mod tokens;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use client::Client;
use exit::{Exit, Failure, Outcome};

use crate::app;
use crate::app::remote::Server;

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
    if let Command::Migrate(command) = &arguments.command {
        return migrate::run(command, json);
    }
    if matches!(arguments.command, Command::Check) {
        return local::check(arguments.config.as_deref(), json);
    }
    let elsewhere = Server::named(arguments.server.as_deref()).map_err(Failure::Usage)?;
    if let (Some(server), true) = (&elsewhere, arguments.command.asks_a_daemon()) {
        return ask(&Client::elsewhere(server), arguments.command, json);
    }
    let settings = app::configuration::load(arguments.config.as_deref())?;
    match arguments.command {
        Command::Serve => local::serve(settings),
        Command::Name { repo, branches } => local::name(&settings, &repo, &branches, json),
        Command::Hook(hook) => local::hook(&settings, hook, json),
        Command::Repo(repo) => local::repo(&settings, &repo, json),
        command @ (Command::Env(_)
        | Command::Archive(_)
        | Command::Event(_)
        | Command::Token(_)
        | Command::Secret(_)
        | Command::Services(_)
        | Command::Discovery(_)
        | Command::Proxy(_)
        | Command::Backup { .. }
        | Command::Check
        | Command::Stack(_)
        | Command::Migrate(_)
        | Command::Completion { .. }) => ask(&Client::new(&settings), command, json),
    }
}

/// What only a daemon can do.
fn ask(client: &Client<'_>, command: Command, json: bool) -> Outcome {
    match command {
        Command::Repo(repo) => repositories::run(client, &repo, json),
        Command::Env(command) => environments::run(client, command, json),
        Command::Archive(command) => records::archive(client, &command, json),
        Command::Event(command) => records::event(client, &command, json),
        Command::Token(command) => tokens::run(client, &command, json),
        Command::Secret(command) => secrets::run(client, &command, json),
        Command::Services(filter) => services::run(client, &filter, json),
        Command::Discovery(command) => discovery::run(client, &command, json),
        Command::Proxy(command) => proxy::run(client, &command, json),
        Command::Backup { file } => records::backup(client, &file, json),
        Command::Serve
        | Command::Name { .. }
        | Command::Hook(_)
        | Command::Check
        | Command::Stack(_)
        | Command::Migrate(_)
        | Command::Completion { .. } => Ok(Exit::Done),
    }
}
