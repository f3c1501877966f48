//! What a process takes from itself before it becomes another program: limits, files, network.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope, make_bitflags, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// The newest Landlock that the rules below were written for; an older kernel enforces what it knows.
const RULES: ABI = ABI::V6;

/// Programs and libraries: may be read and run.
const PROGRAMS: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// What programs read to find libraries, hosts, users, certificates and the time zone. No keys, no passwords.
const SETTINGS: [&str; 20] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssh/ssh_config",
    "/etc/ssh/ssh_config.d",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/run/systemd/resolve",
];

/// Devices that hold nothing.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Open files at once: plenty for git and compose.
const OPEN_FILES: u64 = 4096;

/// The restrictions, beyond those that hold for everyone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Confinement {
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
    pub(super) memory: Option<u64>,
    pub(super) cpu_seconds: Option<u64>,
    pub(super) file_size: Option<u64>,
    pub(super) network: bool,
}

/// Restricts the calling thread, for good; whatever it executes inherits that.
pub(super) fn enter(confinement: &Confinement) -> Result<(), String> {
    limit(confinement)?;
    // Done here and not left to Landlock: it must hold on kernels without it.
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("cannot give up privileges: {error}"))?;
    restrict(confinement).map_err(|error| format!("cannot restrict files and network: {error}"))
}

/// Whether Landlock confines what runs in the jail here: how far, or why not. Restricts nothing.
pub fn landlock_status() -> Result<&'static str, &'static str> {
    let files = |abi| {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))
    };
    let network = |rules: Ruleset| rules.handle_access(AccessNet::from_all(ABI::V4));
    if files(ABI::V4).and_then(network).and_then(Ruleset::create).is_ok() {
        return Ok("files and network");
    }
    if files(ABI::V1).and_then(Ruleset::create).is_ok() {
        return Ok("files only: the network needs Linux 6.7");
    }
    Err("the kernel has no Landlock (Linux 5.13), or it is not enabled at boot (lsm=landlock,…)")
}

fn limit(confinement: &Confinement) -> Result<(), String> {
    let limits = [
        ("address space", Resource::As, confinement.memory),
        ("processor time", Resource::Cpu, confinement.cpu_seconds),
        ("file size", Resource::Fsize, confinement.file_size),
        ("core dumps", Resource::Core, Some(0)),
        ("open files", Resource::Nofile, Some(OPEN_FILES)),
    ];
    for (name, resource, limit) in limits {
        let Some(limit) = limit else { continue };
        // Above a hard limit that is already there only root may go; the tighter one stays.
        let limit = rustix::process::getrlimit(resource).maximum.map_or(limit, |hard| hard.min(limit));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .map_err(|error| format!("cannot limit {name} to {limit}: {error}"))?;
    }
    Ok(())
}

fn restrict(confinement: &Confinement) -> Result<(), RulesetError> {
    let run = AccessFs::from_read(RULES);
    let read = run & !AccessFs::Execute;
    // Devices are never made, and nothing that was written is run.
    let write = AccessFs::from_all(RULES)
        & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | MakeSock | IoctlDev});
    let device: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile});
    let rules = ruleset(confinement.network)?
        .add_rules(path_beneath_rules(PROGRAMS, run))?
        .add_rules(path_beneath_rules(SETTINGS, read))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(path_beneath_rules(&confinement.read, read))?
        .add_rules(path_beneath_rules(&confinement.write, write))?;
    rules.restrict_self()?;
    Ok(())
}

fn ruleset(network: bool) -> Result<RulesetCreated, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .scope(Scope::from_all(RULES))?;
    if network {
        return rules.handle_access(AccessNet::BindTcp)?.create();
    }
    rules.handle_access(AccessNet::from_all(RULES))?.create()
}
