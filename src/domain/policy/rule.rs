//! The names of the rules, as findings and the user guide show them.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! rules {
    ($($(#[$meta:meta])* $variant:ident = $text:literal,)*) => {
        /// Which rule a finding comes from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$meta])* $variant,)*
        }

        impl Rule {
            /// The short upper-case name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

rules! {
    /// Annotations steer the container runtime.
    Annotation = "ANNOT",
    /// The engine's own socket.
    ApiSocket = "APISOCK",
    /// Files of the host inside containers.
    Bind = "BIND",
    /// What a build may reach.
    Build = "BUILD",
    /// Linux capabilities.
    Capability = "CAP",
    /// Control groups.
    Cgroup = "CGROUP",
    /// Devices of the host.
    Device = "DEV",
    /// Names that a container answers to on a network.
    DnsAlias = "DNSALIAS",
    /// Containers of other projects by name.
    ExternalLink = "EXTLINK",
    /// Networks of others.
    ExternalNetwork = "EXTNET",
    /// Configs and secrets of others.
    ExternalResource = "EXTRES",
    /// Volumes of others.
    ExternalVolume = "EXTVOL",
    /// Files named by the compose file.
    FileReference = "FILEREF",
    /// Life-cycle hooks of a service.
    Hook = "HOOK",
    /// Values out of the daemon's environment.
    HostEnvironment = "HOSTENV",
    /// Extra names for addresses.
    HostGateway = "HOSTGW",
    /// Which images may be used.
    Image = "IMAGE",
    /// Inter-process communication name space.
    Ipc = "IPCNS",
    /// Labels that other programs obey.
    Label = "LABEL",
    /// Quotas and counts.
    Limits = "LIMITS",
    /// Where logs go.
    Log = "LOG",
    /// Language models run by the host.
    Model = "MODEL",
    /// Global names on the engine.
    Name = "NAME",
    /// How networks are made.
    NetworkDriver = "NETDRV",
    /// Network name space.
    NetworkMode = "NETNS",
    /// Process name space.
    Pid = "PIDNS",
    /// Ports of the host.
    Port = "PORT",
    /// Privileged mode.
    Privileged = "PRIV",
    /// Programs of the host that provide a service.
    Provider = "PROVIDER",
    /// Sources in the network.
    Remote = "REMOTE",
    /// Restart policies.
    Restart = "RESTART",
    /// Container runtimes.
    Runtime = "RUNTIME",
    /// Security options.
    SecurityOption = "SECOPT",
    /// Settings of the stack for drey itself.
    Setting = "SETTING",
    /// Keys of Swarm mode.
    Swarm = "SWARM",
    /// Kernel settings.
    Sysctl = "SYSCTL",
    /// User name space.
    UserNamespace = "USERNS",
    /// Host name space.
    Uts = "UTSNS",
    /// How volumes are made.
    VolumeDriver = "VOLDRV",
    /// Volumes of other containers.
    VolumesFrom = "VOLFROM",
    /// File watching.
    Watch = "WATCH",
    /// The form of the file itself.
    Yaml = "YAML",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
