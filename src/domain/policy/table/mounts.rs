//! What a service sees of files: mounts, configs, secrets.

use super::{Check, INSIDE, LABEL_HELP, Row, Rule, Section, Shape, allow, check};

const DECLARED: &str = "declare it at the top of the file";
const BIND_HELP: &str = "mount a file or folder of the repository (read-only), or a volume of this file";

pub(super) const DATA: &[Row] = &[
    allow("volumes").shaped(Shape::List(&MOUNT)),
    check("volumes_from", Rule::VolumesFrom, Check::VolumesFrom, "name services of this file"),
    check("tmpfs", Rule::Limits, Check::Tmpfs, "write `size=` within the limit").shaped(Shape::Plain),
    check("configs", Rule::FileReference, Check::ServiceResources, DECLARED).shaped(Shape::List(&RESOURCE)),
    check("secrets", Rule::FileReference, Check::ServiceResources, DECLARED).shaped(Shape::List(&RESOURCE)),
];

/// One entry of `volumes` of a service; judged as a whole, because each type has its own rules.
static MOUNT: Section = Section {
    rows: &[&[
        allow("type"),
        allow("source"),
        allow("target"),
        allow("read_only"),
        allow("consistency"),
        allow("bind").shaped(Shape::Section(&BIND)),
        allow("volume").shaped(Shape::Section(&VOLUME)),
        allow("tmpfs").shaped(Shape::Section(&TMPFS)),
        allow("image").shaped(Shape::Section(&IMAGE)),
    ]],
    bare: false,
    whole: Some(check("", Rule::Bind, Check::Mount, BIND_HELP)),
};

static BIND: Section = Section {
    rows: &[&[allow("propagation"), allow("create_host_path"), allow("recursive"), allow("selinux")]],
    bare: false,
    whole: None,
};

static VOLUME: Section = Section {
    rows: &[&[
        allow("nocopy"),
        allow("subpath"),
        check("labels", Rule::Label, Check::Labels, LABEL_HELP).shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};

static TMPFS: Section = Section { rows: &[&[allow("size"), allow("mode")]], bare: false, whole: None };

static IMAGE: Section = Section { rows: &[&[allow("subpath")]], bare: false, whole: None };

/// One entry of `configs` or `secrets` of a service, or of `build.secrets`.
pub(super) static RESOURCE: Section = Section {
    rows: &[&[allow("source"), allow("target"), allow("uid"), allow("gid"), allow("mode")]],
    bare: true,
    whole: None,
};

/// One entry of `env_file`.
pub(super) static ENV_FILE: Section = Section {
    rows: &[&[
        check("path", Rule::FileReference, Check::FilesToRead, INSIDE),
        allow("required"),
        allow("format"),
    ]],
    bare: true,
    whole: None,
};
