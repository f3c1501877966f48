//! What a Dockerfile may take: images like those of a service, and nothing else from the network by the builder's own hand.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::image;
use super::permissions::Permissions;
use super::rule::Rule;
use crate::domain::images;

/// The argument that names another front end than the file does.
const SYNTAX_ARGUMENT: &str = "BUILDKIT_SYNTAX";
/// The front ends that come with the builder's own releases.
const FRONT_ENDS: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// Everything that is refused of a Dockerfile, as the end of the key of its build; empty where it may be built.
/// `contexts` are names that the build gives a meaning of its own.
pub fn dockerfile(
    text: &str,
    args: &BTreeMap<String, String>,
    contexts: &BTreeSet<&String>,
    permissions: &Permissions,
) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    let used = images::all_base_images(text, args);
    for used in used.iter().filter(|used| !contexts.contains(used)) {
        if let Some(reason) = image::refusal(used, permissions) {
            found.push((
                Rule::Image,
                format!("the Dockerfile uses the image `{}`, which {reason}", plain(used)),
            ));
        }
    }
    for front_end in images::syntax(text).iter().chain(args.get(SYNTAX_ARGUMENT)) {
        let reason = image::refusal(front_end, permissions);
        if reason.is_some() || !is_known(front_end, permissions) {
            let name = plain(front_end);
            let message = format!(
                "the Dockerfile is read by `{name}`, which would steer the builder; leave `syntax` out, or name \
                 docker/dockerfile"
            );
            found.push((Rule::Build, message));
        }
    }
    if !permissions.allows("build-remote") {
        for source in images::remote_sources(text, args) {
            let message = format!(
                "`ADD {}` has the builder itself fetch it, from where it reaches what belongs to the host; fetch it with \
                 RUN, put it into the repository, or ask the operator for `build-remote`",
                plain(&source)
            );
            found.push((Rule::Remote, message));
        }
    }
    found
}

/// Of the builder's makers; or from a registry that the operator has chosen by name.
fn is_known(front_end: &str, permissions: &Permissions) -> bool {
    let lower = front_end.to_ascii_lowercase();
    let name = lower.strip_prefix("docker.io/").unwrap_or(&lower);
    let name = name.split(['@', ':']).next().unwrap_or_default();
    FRONT_ENDS.contains(&name) || !permissions.registries().iter().any(|registry| registry == "*")
}

fn plain(text: &str) -> String {
    text.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str, args: &[(&str, &str)], allow: &[&str]) -> Vec<&'static str> {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let allow: Vec<String> = allow.iter().map(ToString::to_string).collect();
        let permissions = Permissions::new(&allow, &["*".to_owned()]).unwrap();
        let known = "ours".to_owned();
        dockerfile(text, &args, &BTreeSet::from([&known]), &permissions)
            .iter()
            .map(|(rule, _)| rule.as_str())
            .collect()
    }

    #[test]
    fn a_dockerfile_takes_what_a_service_may_take() {
        let fine =
            "# syntax=docker/dockerfile:1.7\nFROM nginx:1\nCOPY --from=ours / /\nRUN wget http://h/x\n";
        assert_eq!(rules(fine, &[], &[]), [""; 0]);
        assert_eq!(rules("FROM drey/other/web:1\n", &[], &[]), ["IMAGE"]);
        assert_eq!(rules("ARG X=a\nFROM ${X%a}\n", &[], &[]), ["IMAGE"]);
        assert_eq!(rules("# syntax=evil/dockerfile\nFROM nginx\n", &[], &[]), ["BUILD"]);
        assert_eq!(rules("# syntax=docker/dockerfiles\nFROM nginx\n", &[], &[]), ["BUILD"]);
        assert_eq!(rules("FROM nginx\n", &[("BUILDKIT_SYNTAX", "evil/x")], &[]), ["BUILD"]);
        let adding = "FROM nginx\nADD http://169.254.169.254/latest /x\n";
        assert_eq!(rules(adding, &[], &[]), ["REMOTE"]);
        assert_eq!(rules(adding, &[], &["build-remote"]), [""; 0]);
    }
}
