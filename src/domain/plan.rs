//! Steps and plans: what to do to get from what is there to what is wanted. Values that print.

use std::fmt;

use super::jobs::Job;

/// One outside action. Each can run twice: "already there" and "already gone" are success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Build {
        service: String,
        tag: String,
    },
    Pull {
        image: String,
    },
    CreateNetwork {
        name: String,
    },
    CreateVolume {
        name: String,
    },
    /// The volumes get what the archive has.
    Fill {
        archive: String,
    },
    WriteBinds,
    /// The route holds requests while containers are replaced.
    Hold,
    Up {
        recreate: bool,
    },
    /// Containers that are all there are started, each after those that it waits for.
    Start,
    /// They are frozen where they are.
    Pause,
    /// Frozen ones go on.
    Unpause,
    /// As soon as what the job needs is sound; awaits its end.
    RunJob {
        job: Job,
    },
    /// Its service does not run, and nothing is started for an end.
    SkipJob {
        job: Job,
    },
    AwaitReady {
        within_seconds: u64,
    },
    Publish,
    PruneBinds,
    /// The route goes before the containers.
    Withdraw,
    Stop,
    SaveLogs {
        container: String,
        name: String,
    },
    Archive {
        id: String,
    },
    RemoveContainer {
        id: String,
        name: String,
    },
    RemoveNetwork {
        name: String,
    },
    RemoveVolume {
        name: String,
    },
    RemoveImage {
        tag: String,
    },
    RemoveFiles,
    /// The row says that it is over; slug and subnets are free.
    Release,
}

impl Step {
    /// Its kind, whatever it is about.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Build { .. } => "build",
            Self::Pull { .. } => "pull",
            Self::CreateNetwork { .. } => "create_network",
            Self::CreateVolume { .. } => "create_volume",
            Self::Fill { .. } => "fill",
            Self::WriteBinds => "write_binds",
            Self::Hold => "hold",
            Self::Up { .. } => "up",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::RunJob { .. } => "run_job",
            Self::SkipJob { .. } => "skip_job",
            Self::AwaitReady { .. } => "await_ready",
            Self::Publish => "publish",
            Self::PruneBinds => "prune_binds",
            Self::Withdraw => "withdraw",
            Self::Stop => "stop",
            Self::SaveLogs { .. } => "save_logs",
            Self::Archive { .. } => "archive",
            Self::RemoveContainer { .. } => "remove_container",
            Self::RemoveNetwork { .. } => "remove_network",
            Self::RemoveVolume { .. } => "remove_volume",
            Self::RemoveImage { .. } => "remove_image",
            Self::RemoveFiles => "remove_files",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build { service, tag } => write!(f, "build {service} as {tag}"),
            Self::Pull { image } => write!(f, "pull {image}"),
            Self::CreateNetwork { name } => write!(f, "create network {name}"),
            Self::CreateVolume { name } => write!(f, "create volume {name}"),
            Self::Fill { archive } => write!(f, "fill the volumes from archive {archive}"),
            Self::WriteBinds => write!(f, "write bound files"),
            Self::Hold => write!(f, "hold requests"),
            Self::Up { recreate: false } => write!(f, "up"),
            Self::Up { recreate: true } => write!(f, "up, all containers anew"),
            Self::Start => write!(f, "start the containers"),
            Self::Pause => write!(f, "freeze the containers"),
            Self::Unpause => write!(f, "let the containers go on"),
            Self::RunJob { job } => write!(f, "run job {job}"),
            Self::SkipJob { job } => write!(f, "skip job {job}"),
            Self::AwaitReady { within_seconds } => write!(f, "wait until ready, {within_seconds} s at most"),
            Self::Publish => write!(f, "publish the routes"),
            Self::PruneBinds => write!(f, "remove bound files of former deployments"),
            Self::Withdraw => write!(f, "withdraw the routes"),
            Self::Stop => write!(f, "stop the containers"),
            Self::SaveLogs { name, .. } => write!(f, "save the logs of {name}"),
            Self::Archive { id } => write!(f, "write and verify archive {id}"),
            Self::RemoveContainer { name, .. } => write!(f, "remove container {name}"),
            Self::RemoveNetwork { name } => write!(f, "remove network {name}"),
            Self::RemoveVolume { name } => write!(f, "remove volume {name}"),
            Self::RemoveImage { tag } => write!(f, "remove image {tag}"),
            Self::RemoveFiles => write!(f, "remove the environment's files"),
            Self::Release => write!(f, "release slug and subnets"),
        }
    }
}

/// A step and why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    pub step: Step,
    pub reason: String,
}

/// Steps in their order. An empty plan: everything is as wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    pub fn push(&mut self, step: Step, reason: impl Into<String>) {
        self.steps.push(PlannedStep { step, reason: reason.into() });
    }

    /// Whether a step of it removes the container.
    pub fn removes(&self, container: &str) -> bool {
        let removes = |step: &Step| matches!(step, Step::RemoveContainer { id, .. } if id == container);
        self.steps.iter().any(|planned| removes(&planned.step))
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for Plan {
    /// One step a line: `<step>: <reason>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for PlannedStep { step, reason } in &self.steps {
            writeln!(f, "{step}: {reason}")?;
        }
        Ok(())
    }
}
