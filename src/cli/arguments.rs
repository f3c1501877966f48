//! What may be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// One running copy of the whole application for every git branch.
#[derive(Debug, Parser)]
#[command(name = "drey", version, max_term_width = 100, arg_required_else_help = true)]
pub(super) struct Arguments {
    /// Configuration file, or etcd://HOST:PORT/KEY [else `DREY_CONFIG`, ./drey.toml, /etc/drey/drey.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// One JSON document on standard output, nothing else
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// A daemon elsewhere, with a token from `DREY_TOKEN` or `DREY_TOKEN_FILE` [else `DREY_SERVER`, else the socket]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) server: Option<String>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon (SIGTERM ends it)
    Serve,
    /// Look at configuration, engine, compose, git, names and disk: what is wrong and what to do
    Check,
    /// Repositories of the configuration
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Hooks of git repositories
    #[command(subcommand)]
    Hook(HookCommand),
    /// Slug and hostnames a branch would get; starts nothing
    Name {
        #[arg(long)]
        repo: String,
        #[arg(required = true)]
        branches: Vec<String>,
    },
    /// Compose stacks
    #[command(subcommand)]
    Stack(StackCommand),
    /// Environments; ENVIRONMENT is REPO/BRANCH
    #[command(subcommand)]
    Env(EnvCommand),
    /// What is kept of ended environments
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// What happened
    #[command(subcommand)]
    Event(EventCommand),
    /// Who may use the API from elsewhere
    #[command(subcommand)]
    Token(TokenCommand),
    /// Secrets that services of a repository's branches may ask for
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Containers of the live environments, and where they are reached on this machine
    Services(ServicesFilter),
    /// Containers that drey did not start
    #[command(subcommand)]
    Discovery(DiscoveryCommand),
    /// The proxy in front, where it is not drey itself
    #[command(subcommand)]
    Proxy(ProxyCommand),
    /// Write a consistent copy of the database while the daemon runs
    Backup { file: PathBuf },
    /// Another program's configuration as one of drey's
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Print the completion script of a shell
    Completion { shell: Shell },
}

impl Command {
    /// Whether a daemon elsewhere can do it as well as one here.
    pub(super) const fn asks_a_daemon(&self) -> bool {
        match self {
            Self::Repo(_)
            | Self::Env(_)
            | Self::Archive(_)
            | Self::Event(_)
            | Self::Token(_)
            | Self::Secret(_)
            | Self::Services(_)
            | Self::Discovery(_)
            | Self::Proxy(_)
            | Self::Backup { .. } => true,
            Self::Serve
            | Self::Check
            | Self::Hook(_)
            | Self::Name { .. }
            | Self::Stack(_)
            | Self::Migrate(_)
            | Self::Completion { .. } => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum RepoCommand {
    /// Name, main branch and address of each
    List,
    /// All that is configured of one, and where its hook sends
    Show { name: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum HookCommand {
    /// Put the hook into a bare repository, or with --client into a developer's clone
    Install {
        #[arg(long)]
        repo: String,
        /// PATH is a clone: put the post-merge hook there
        #[arg(long)]
        client: bool,
        path: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum StackCommand {
    /// Would this checkout deploy? What would be refused, dropped or set, and why
    Check {
        /// Judge by this repository's settings (compose files, profiles, permissions)
        #[arg(long)]
        repo: Option<String>,
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// REPO/BRANCH
    #[arg(value_name = "ENVIRONMENT")]
    pub(super) name: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum EnvCommand {
    /// Phase, commit and address of each
    List {
        /// Ended ones too
        #[arg(long)]
        all: bool,
    },
    /// Everything about one: phase, reason, addresses, when it ends
    Show(One),
    /// Print the address
    Url {
        #[command(flatten)]
        one: One,
        /// With what lets in: whoever has the link may look until it expires
        #[arg(long)]
        link: bool,
    },
    /// The newest deployment's log, or what visitors asked for
    Log {
        #[command(flatten)]
        one: One,
        /// What visitors asked for: a line of JSON for each request
        #[arg(long)]
        access: bool,
        /// Go on until the work is done; with --access until you end it
        #[arg(short, long)]
        follow: bool,
    },
    /// Deploy the branch as it is now
    Deploy {
        #[command(flatten)]
        one: One,
        /// Show the log, and exit 0 only when it is ready
        #[arg(long)]
        wait: bool,
        /// Build although images of that content are there
        #[arg(long)]
        rebuild: bool,
        /// Ask the registries although images of that name are there
        #[arg(long)]
        pull: bool,
    },
    /// Let this commit of a fork's pull request (REPO/pull:N) run
    Approve {
        #[command(flatten)]
        one: One,
        /// All 40 digits of it, where the pull request is now
        #[arg(long, value_name = "SHA")]
        commit: String,
        /// Show the log, and exit 0 only when it is ready
        #[arg(long)]
        wait: bool,
    },
    /// Stop its containers and keep all else; a visit wakes it
    Sleep(One),
    /// Start what sleeps
    Wake(One),
    /// Keep it from expiring, and from making room for others
    Pin(One),
    /// Let it expire again
    Unpin(One),
    /// End it and keep an archive
    Archive(One),
    /// End it and keep nothing
    Destroy(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum ArchiveCommand {
    /// Newest first, at most 100
    List {
        #[arg(long)]
        repo: Option<String>,
        /// Only older ones than this: the next page
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// Removed ones too
        #[arg(long)]
        all: bool,
    },
    /// One, with its manifest by --json
    Show { id: String },
    /// Make an environment out of it: the same data, and the same address unless that is taken
    Restore {
        /// As `drey archive list` shows it
        id: String,
        /// Show the log, and exit 0 only when it is ready
        #[arg(long)]
        wait: bool,
    },
    /// Take one file or folder out of it, for instance volumes/data
    Extract {
        /// As `drey archive list` shows it
        id: String,
        /// A file, or a folder with all below
        #[arg(value_name = "PATH_IN_ARCHIVE")]
        path: String,
        /// A new path, or a folder to put it into
        #[arg(value_name = "DEST")]
        destination: PathBuf,
    },
    /// Read every byte back: is it whole?
    Verify {
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Each archive that there is
        #[arg(long)]
        all: bool,
    },
    /// Keep it, however old it gets and however much there is
    Pin { id: String },
    /// Let it go when its time comes
    Unpin { id: String },
    /// Remove it, with its commit and its images
    Remove { id: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum MigrateCommand {
    /// Interlock's TOML: prints drey's, and says on standard error what became of each option
    Interlock { file: PathBuf },
}

#[derive(Debug, Args)]
pub(super) struct ServicesFilter {
    /// Only of this repository
    #[arg(long, value_name = "NAME")]
    pub(super) repo: Option<String>,
    /// Only of this branch
    #[arg(long, value_name = "NAME")]
    pub(super) branch: Option<String>,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// Only those after this: the next page
    #[arg(long, value_name = "PLACE")]
    pub(super) after: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// Newest first, at most 100
    List {
        #[arg(long)]
        repo: Option<String>,
        #[arg(long)]
        branch: Option<String>,
        /// Only older ones than this: the next page
        #[arg(long, value_name = "ID")]
        before: Option<i64>,
    },
    /// One, and what became of it
    Show { id: i64 },
    /// Take an event once more
    Replay { id: i64 },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make one and show it, this once
    Create {
        /// qa looks and wakes; developer also deploys, approves forks, archives and restores; admin may do everything
        #[arg(long)]
        role: String,
        /// For instance 30d; without it the token counts until it is revoked
        #[arg(long, value_name = "DURATION")]
        expires: Option<String>,
        /// Whose it is, or what for
        name: String,
    },
    /// Name, role and end of each
    List,
    /// From now on it counts no more
    Revoke { name: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum DiscoveryCommand {
    /// What of them is routed, and what is not and why
    Status,
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Keep the value that comes on standard input
    Set {
        repo: String,
        name: String,
        /// Glob: only for these branches, which then get no secrets but those of this glob
        #[arg(long, value_name = "PATTERN")]
        branches: Option<String>,
    },
    /// Repository, name and branches of each
    List {
        #[arg(long)]
        repo: Option<String>,
    },
    /// Forget it
    Remove {
        repo: String,
        name: String,
        #[arg(long, value_name = "PATTERN")]
        branches: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ProxyCommand {
    /// What serves: configuration, since when, last error, environments that it refuses
    Status,
    /// Print what would be written for the routes as they are now
    Render,
}
