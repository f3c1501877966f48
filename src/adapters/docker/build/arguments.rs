//! One image to build as arguments of `buildx build`. Every value is joined to its option, so that none is an option itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::ports::{BuildRequest, PortError, PortResult};

/// Where the builder reads the Dockerfile from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dockerfile {
    /// Its text, given on standard input.
    Text(Vec<u8>),
    /// The file itself: it has a `.dockerignore` of its own beside it, which the builder finds by the file's name alone.
    File(PathBuf),
}

impl Dockerfile {
    pub(super) fn of(request: &BuildRequest) -> PortResult<Self> {
        if let Some(inline) = &request.dockerfile_inline {
            return Ok(Self::Text(inline.clone().into_bytes()));
        }
        let path = request.context.join(request.dockerfile.as_deref().unwrap_or("Dockerfile"));
        let mut own_ignore = path.clone().into_os_string();
        own_ignore.push(".dockerignore");
        if Path::new(&own_ignore).exists() {
            return Ok(Self::File(path));
        }
        let read = std::fs::read(&path).map(Self::Text);
        read.map_err(|error| {
            PortError::Permanent(format!("build of {}: {}: {error}", request.service, path.display()))
        })
    }
}

/// All but the tag and what only a single run knows. Never an entitlement, and no network but none: a build gets no more
/// than the builder gives to everybody.
pub(super) fn arguments(request: &BuildRequest, dockerfile: &Dockerfile) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["build".into(), "--progress=plain".into(), "--load".into()];
    let mut say = |option: &str, value: &str| arguments.push(format!("--{option}={value}").into());
    say("builder", request.builder.as_deref().unwrap_or("default"));
    match dockerfile {
        Dockerfile::Text(_) => say("file", "-"),
        Dockerfile::File(path) => say("file", &path.to_string_lossy()),
    }
    request.args.iter().for_each(|(name, value)| say("build-arg", &format!("{name}={value}")));
    request.labels.iter().for_each(|(name, value)| say("label", &format!("{name}={value}")));
    for (name, value) in &request.additional_contexts {
        say("build-context", &format!("{name}={value}"));
    }
    for (id, file) in &request.secrets {
        say(
            "secret",
            &format!("{},{}", field(&format!("id={id}")), field(&format!("src={}", file.display()))),
        );
    }
    for (name, address) in request.extra_hosts.iter().filter_map(|host| host.split_once('=')) {
        say("add-host", &field(&format!("{name}:{address}")));
    }
    let mut set = |option: &str, value: Option<&str>| value.into_iter().for_each(|value| say(option, value));
    set("target", request.target.as_deref());
    set("platform", request.platform.as_deref());
    set("network", request.network_none.then_some("none"));
    set("cgroup-parent", request.cgroup_parent.as_deref());
    set("pull", request.pull.then_some("true"));
    set("no-cache", request.no_cache.then_some("true"));
    arguments.push(request.context.clone().into());
    arguments
}

/// One field of a line of comma-separated values.
fn field(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn request(context: &Path) -> BuildRequest {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        BuildRequest {
            service: "web".to_owned(),
            tag: "drey/shop/web:00".to_owned(),
            interim: "drey/unfinished:ab12-5-00".to_owned(),
            context: context.to_owned(),
            dockerfile: Some("docker/Dockerfile".to_owned()),
            dockerfile_inline: None,
            target: Some("--allow=security.insecure".to_owned()),
            platform: None,
            args: map("A", "$(id) ${HOME} --network=host"),
            additional_contexts: map("base", "docker-image://drey/shop/base:11"),
            network_none: true,
            extra_hosts: vec!["a=1.2.3.4,b:5.6.7.8".to_owned()],
            secrets: [("token".to_owned(), PathBuf::from("/co/a,\"b"))].into(),
            labels: map("drey.managed", "true"),
            pull: true,
            no_cache: false,
            remote: false,
            builder: None,
            cgroup_parent: Some("/drey-ab12-builds".to_owned()),
            time_limit: Duration::from_secs(60),
        }
    }

    #[test]
    fn every_value_is_a_value_and_none_an_option() {
        let arguments = arguments(&request(Path::new("/co/web")), &Dockerfile::Text(Vec::new()));
        let expected = [
            "build",
            "--progress=plain",
            "--load",
            "--builder=default",
            "--file=-",
            "--build-arg=A=$(id) ${HOME} --network=host",
            "--label=drey.managed=true",
            "--build-context=base=docker-image://drey/shop/base:11",
            "--secret=\"id=token\",\"src=/co/a,\"\"b\"",
            "--add-host=\"a:1.2.3.4,b:5.6.7.8\"",
            "--target=--allow=security.insecure",
            "--network=none",
            "--cgroup-parent=/drey-ab12-builds",
            "--pull=true",
            "/co/web",
        ];
        assert_eq!(arguments, expected);
    }

    #[test]
    fn a_dockerfile_is_given_as_text_unless_it_has_an_ignore_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path());
        let missing = Dockerfile::of(&request).unwrap_err().to_string();
        assert!(missing.contains("docker/Dockerfile"), "{missing}");
        let path = folder.path().join("docker/Dockerfile");
        std::fs::create_dir(folder.path().join("docker")).unwrap();
        std::fs::write(&path, "FROM scratch\n").unwrap();
        assert_eq!(Dockerfile::of(&request).unwrap(), Dockerfile::Text(b"FROM scratch\n".to_vec()));
        std::fs::write(folder.path().join("docker/Dockerfile.dockerignore"), "x\n").unwrap();
        assert_eq!(Dockerfile::of(&request).unwrap(), Dockerfile::File(path));
        let inline = BuildRequest { dockerfile_inline: Some("FROM a\n".to_owned()), ..request };
        assert_eq!(Dockerfile::of(&inline).unwrap(), Dockerfile::Text(b"FROM a\n".to_vec()));
    }
}
