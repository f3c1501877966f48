//! What a build may take and reach.

use super::mounts::RESOURCE;
use super::{
    Check, ENVIRONMENT_HELP, INSIDE, LABEL_HELP, LEAVE_OUT, Rule, Section, Shape, allow, check, dropped,
    refused,
};

const TAGS: &str = "drey names what is built by its content";
const ENTITLED: &str = "it asks the builder for powers over the host";
const CONTEXTS: &str =
    "use a folder of the repository, `service:NAME`, or `docker-image://` with an allowed image";
const CACHE: &str =
    "leave it out: drey builds nothing twice; `type=registry` of an allowed registry may be read";

pub(super) static BUILD: Section = Section {
    rows: &[&[
        allow("context"),
        check("dockerfile", Rule::FileReference, Check::Dockerfile, INSIDE),
        allow("dockerfile_inline"),
        allow("target"),
        allow("no_cache"),
        allow("no_cache_filter"),
        allow("pull"),
        allow("platforms"),
        allow("provenance"),
        check(
            "sbom",
            Rule::Image,
            Check::Sbom,
            "write true or false: a generator is an image that would be run",
        ),
        check("args", Rule::HostEnvironment, Check::Environment, ENVIRONMENT_HELP).shaped(Shape::Free),
        check("additional_contexts", Rule::FileReference, Check::AdditionalContexts, CONTEXTS)
            .shaped(Shape::Free),
        refused("ssh", Rule::Build, "it hands over the host's agent or keys", LEAVE_OUT).shaped(Shape::Free),
        check("secrets", Rule::FileReference, Check::BuildSecrets, "declare it at the top of the file")
            .shaped(Shape::List(&RESOURCE)),
        check("network", Rule::Build, Check::BuildNetwork, "write `none` or `default`, or leave it out"),
        refused("entitlements", Rule::Build, ENTITLED, LEAVE_OUT),
        refused("privileged", Rule::Build, ENTITLED, LEAVE_OUT),
        refused("isolation", Rule::Build, ENTITLED, LEAVE_OUT),
        check("cache_from", Rule::Build, Check::CacheFrom, CACHE),
        refused(
            "cache_to",
            Rule::Build,
            "it writes files of the host, or to a registry as the host",
            LEAVE_OUT,
        ),
        refused(
            "tags",
            Rule::Image,
            TAGS,
            "leave it out: a name on a shared engine could replace somebody else's image",
        ),
        check("labels", Rule::Label, Check::Labels, LABEL_HELP).shaped(Shape::Free),
        check(
            "extra_hosts",
            Rule::HostGateway,
            Check::ExtraHosts,
            "leave it out, or ask the operator for `extra-host:ADDRESS`",
        )
        .shaped(Shape::Free),
        dropped("shm_size", Rule::Limits, "builds have drey's own limits", LEAVE_OUT),
        dropped("ulimits", Rule::Limits, "builds have drey's own limits", LEAVE_OUT)
            .shaped(Shape::Map(&ULIMIT)),
    ]],
    bare: false,
    whole: None,
};

static ULIMIT: Section =
    Section { rows: &[&[allow("single"), allow("soft"), allow("hard")]], bare: true, whole: None };
