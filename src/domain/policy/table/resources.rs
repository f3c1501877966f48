//! The top of the document, and its networks, volumes, configs and secrets.

use super::service::SERVICE;
use super::{
    Check, INSIDE, LABEL_HELP, LEAVE_OUT, Row, Rule, Section, Shape, allow, check, dropped, refused,
};

const OWN: &str = "declare it without `external` and `name`: every branch gets its own";
const MODEL: &str = "a model is run by a program of the host";

const TOP: &[Row] = &[
    allow("version"),
    check("name", Rule::Name, Check::ProjectName, "leave it out: drey names the project"),
    allow("services").shaped(Shape::Map(&SERVICE)),
    allow("networks").shaped(Shape::Map(&NETWORK)),
    allow("volumes").shaped(Shape::Map(&VOLUME)),
    allow("configs").shaped(Shape::Map(&CONFIG)),
    allow("secrets").shaped(Shape::Map(&SECRET)),
    refused("include", Rule::FileReference, "an include was not resolved by Compose", "use a newer Compose"),
    refused("models", Rule::Model, MODEL, "run the model as a service of your own"),
];

/// The whole document.
pub(in super::super) static DOCUMENT: Section = Section { rows: &[TOP], bare: false, whole: None };

static NETWORK: Section = Section {
    rows: &[&[
        check(
            "name",
            Rule::ExternalNetwork,
            Check::KeptName,
            "drey names it after the branch, so that no other network is joined",
        ),
        refused("external", Rule::ExternalNetwork, "an external network belongs to somebody else", OWN),
        check("driver", Rule::NetworkDriver, Check::NetworkDriver, "leave `driver` out: drey makes a bridge"),
        check(
            "driver_opts",
            Rule::NetworkDriver,
            Check::NetworkDriverOptions,
            "only com.docker.network.driver.mtu may be set",
        )
        .shaped(Shape::Free),
        dropped("ipam", Rule::NetworkDriver, "subnets are given by drey", "reach services by their names")
            .shaped(Shape::Section(&IPAM)),
        allow("internal"),
        allow("enable_ipv4"),
        allow("enable_ipv6"),
        dropped("attachable", Rule::NetworkDriver, "nothing from outside may join the network", LEAVE_OUT),
        check("labels", Rule::Label, Check::Labels, LABEL_HELP).shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};

static IPAM: Section = Section {
    rows: &[&[
        allow("driver"),
        allow("options").shaped(Shape::Free),
        allow("config").shaped(Shape::List(&IPAM_POOL)),
    ]],
    bare: false,
    whole: None,
};

static IPAM_POOL: Section = Section {
    rows: &[&[
        allow("subnet"),
        allow("ip_range"),
        allow("gateway"),
        allow("aux_addresses").shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};

static VOLUME: Section = Section {
    rows: &[&[
        check(
            "name",
            Rule::ExternalVolume,
            Check::KeptName,
            "drey names it after the branch, so that no other volume is used or removed",
        ),
        refused("external", Rule::ExternalVolume, "an external volume belongs to somebody else", OWN),
        check("driver", Rule::VolumeDriver, Check::VolumeDriver, "leave `driver` out, or write `local`"),
        check(
            "driver_opts",
            Rule::VolumeDriver,
            Check::VolumeDriverOptions,
            "only a tmpfs may be made: type and device `tmpfs`, and in `o` size, uid, gid and mode",
        )
        .shaped(Shape::Free),
        check("labels", Rule::Label, Check::Labels, LABEL_HELP).shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};

const RESOURCE_NAME: Row =
    check("name", Rule::ExternalResource, Check::KeptName, "drey names it after the branch");
const RESOURCE_FILE: Row = check("file", Rule::FileReference, Check::ResourceFile, INSIDE);
const RESOURCE_ENVIRONMENT: Row = refused(
    "environment",
    Rule::HostEnvironment,
    "the value would come from the daemon's environment",
    "use `file`, or `content` with a ${VARIABLE} that the operator set for the repository",
);
const RESOURCE_EXTERNAL: Row =
    refused("external", Rule::ExternalResource, "it belongs to another stack", "use `file` or `content`");
const RESOURCE_TEMPLATE: Row =
    refused("template_driver", Rule::ExternalResource, "templates are filled in by the engine", LEAVE_OUT);
const RESOURCE_LABELS: Row = check("labels", Rule::Label, Check::Labels, LABEL_HELP).shaped(Shape::Free);

static CONFIG: Section = Section {
    rows: &[&[
        RESOURCE_NAME,
        RESOURCE_FILE,
        RESOURCE_ENVIRONMENT,
        allow("content"),
        RESOURCE_EXTERNAL,
        RESOURCE_TEMPLATE,
        RESOURCE_LABELS,
    ]],
    bare: false,
    whole: None,
};

static SECRET: Section = Section {
    rows: &[&[
        RESOURCE_NAME,
        RESOURCE_FILE,
        RESOURCE_ENVIRONMENT,
        RESOURCE_EXTERNAL,
        RESOURCE_TEMPLATE,
        RESOURCE_LABELS,
        refused("driver", Rule::ExternalResource, "it would be read by a plugin of the host", "use `file`"),
        refused(
            "driver_opts",
            Rule::ExternalResource,
            "it would be read by a plugin of the host",
            "use `file`",
        )
        .shaped(Shape::Free),
    ]],
    bare: false,
    whole: None,
};
