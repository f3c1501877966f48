//! Registry credentials: which one belongs to a reference, and the short-lived folder that gives them to a child.

use std::fmt;
use std::path::{Path, PathBuf};

use bollard::auth::DockerCredentials;
use data_encoding::BASE64;
use http::{HeaderValue, Request};
use serde_json::{Map, Value, json};

use crate::ports::{PortError, PortResult};

/// The engine's own name for its default registry, under which clients file the credentials.
const DEFAULT_REGISTRY_KEY: &str = "https://index.docker.io/v1/";
const DEFAULT_REGISTRY: &str = "docker.io";

/// User and password for one registry host.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryCredential {
    /// As at the beginning of a reference, with its port: `registry.example.org:5000`.
    pub host: String,
    pub user: String,
    pub password: String,
}

impl fmt::Debug for RegistryCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredential").field("host", &self.host).field("user", &self.user).finish()
    }
}

impl RegistryCredential {
    fn is_for(&self, registry: &str) -> bool {
        canonical(&self.host) == registry
    }
}

/// A folder with a `config.json` of the credentials, readable by its owner only and removed when dropped.
#[derive(Debug)]
pub struct CredentialsFolder {
    path: PathBuf,
}

impl CredentialsFolder {
    /// Makes the folder at `path`; one that an earlier run left behind is replaced.
    pub fn create(path: PathBuf, registries: &[RegistryCredential]) -> PortResult<Self> {
        let failed = |error: std::io::Error| {
            PortError::outside(
                "the build",
                format!("cannot write the credentials folder {}: {error}", path.display()),
            )
        };
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        }
        write_private(&path, &config_json(registries)).map_err(failed)?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CredentialsFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a credentials folder could not be removed");
        }
    }
}

/// The credentials for a reference's registry, in bollard's form.
pub(super) fn for_reference(registries: &[RegistryCredential], reference: &str) -> Option<DockerCredentials> {
    let registry = registry_of(reference);
    let credential = registries.iter().find(|credential| credential.is_for(&registry))?;
    Some(DockerCredentials {
        username: Some(credential.user.clone()),
        password: Some(credential.password.clone()),
        serveraddress: Some(key(&registry)),
        ..DockerCredentials::default()
    })
}

/// The registry host of a reference: its first part when that has a dot or port or is `localhost`.
pub(super) fn registry_of(reference: &str) -> String {
    let first = reference.split_once('/').map(|(first, _)| first);
    match first {
        Some(first) if first.contains(['.', ':']) || first == "localhost" => canonical(first),
        _ => DEFAULT_REGISTRY.to_owned(),
    }
}

/// bollard encodes the header in plain base64, the engine reads the URL-safe form: the same but for two characters.
pub(super) fn mend_header<B>(mut request: Request<B>) -> Request<B> {
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth") {
        let mended: Vec<u8> = value.as_bytes().iter().copied().map(url_safe).collect();
        if let Ok(mut mended) = HeaderValue::from_bytes(&mended) {
            mended.set_sensitive(true);
            *value = mended;
        }
    }
    request
}

const fn url_safe(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

fn config_json(registries: &[RegistryCredential]) -> Value {
    let auths: Map<String, Value> = registries
        .iter()
        .map(|credential| {
            let pair = format!("{}:{}", credential.user, credential.password);
            (key(&canonical(&credential.host)), json!({ "auth": BASE64.encode(pair.as_bytes()) }))
        })
        .collect();
    json!({ "auths": auths })
}

fn key(registry: &str) -> String {
    if registry == DEFAULT_REGISTRY { DEFAULT_REGISTRY_KEY.to_owned() } else { registry.to_owned() }
}

fn canonical(host: &str) -> String {
    let host = host.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or(host).to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DEFAULT_REGISTRY.to_owned(),
        _ => host,
    }
}

/// Synchronous on purpose: a few hundred bytes, and the twin of a `Drop` that cannot wait.
fn write_private(folder: &Path, config: &Value) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join("config.json"))?;
    file.write_all(config.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(host: &str) -> RegistryCredential {
        RegistryCredential {
            host: host.to_owned(),
            user: "drey".to_owned(),
            password: "se~cret?>".to_owned(),
        }
    }

    #[test]
    fn references_find_their_registry() {
        for (reference, registry) in [
            ("redis", "docker.io"),
            ("library/redis:7", "docker.io"),
            ("docker.io/library/redis", "docker.io"),
            ("index.docker.io/library/redis", "docker.io"),
            ("localhost/app", "localhost"),
            ("localhost:5000/app:1", "localhost:5000"),
            ("Registry.Example.org/a/b@sha256:00", "registry.example.org"),
        ] {
            assert_eq!(registry_of(reference), registry, "{reference}");
        }
    }

    #[test]
    fn credentials_go_to_their_registry_only() {
        let known = [credential("docker.io"), credential("registry.example.org")];
        let hub = for_reference(&known, "redis:7").unwrap();
        assert_eq!(hub.serveraddress.as_deref(), Some(DEFAULT_REGISTRY_KEY));
        assert!(for_reference(&known, "registry.example.org/a").is_some());
        assert!(for_reference(&known, "registry.example.org:5000/a").is_none());
        assert!(for_reference(&known, "registry.example.org.evil.example/a").is_none());
    }

    #[test]
    fn the_header_becomes_url_safe() {
        let request = Request::builder().header("X-Registry-Auth", "a+b/c=").body(()).unwrap();
        let request = mend_header(request);
        assert_eq!(request.headers()["x-registry-auth"], "a-b_c=");
        assert!(request.headers()["x-registry-auth"].is_sensitive());
    }

    #[test]
    fn the_folder_is_private_and_goes_away() {
        use std::os::unix::fs::PermissionsExt as _;

        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("auth");
        std::fs::create_dir(&path).unwrap();
        let folder = CredentialsFolder::create(path.clone(), &[credential("registry.example.org")]).unwrap();
        let file = folder.path().join("config.json");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(
            config["auths"]["registry.example.org"]["auth"],
            BASE64.encode(b"drey:se~cret?>").as_str()
        );
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(!format!("{:?}", credential("x")).contains("cret"));
    }
}
