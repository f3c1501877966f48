//! `drey migrate interlock`: another program's configuration as one of drey's.

use std::path::Path;

use anyhow::Context;

use crate::config;
use crate::domain::migration::{self, Migration};

/// # Errors
/// When the file cannot be read, or is no TOML.
pub fn interlock(file: &Path) -> anyhow::Result<Migration> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let values = config::foreign(&text)
        .map_err(|why| anyhow::anyhow!("{}: is no configuration of Interlock: {why}", file.display()))?;
    Ok(migration::interlock(&values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    const INTERLOCK: &str = r#"
ListenAddr = "127.0.0.1:8080"
DockerURL = "tcp://127.0.0.1:2376"
TLSCACert = "/certs/ca.pem"
TLSCert = "/certs/cert.pem"
TLSKey = "/certs/key.pem"
PollInterval = "3s"

[[Extensions]]
Name = "nginx"
Port = 80
SSLPort = 443
MaxConn = 1024
ProxyConnectTimeout = 600
SSLProtocols = "SSLv3 TLSv1"

[Rules.web]
Type = "image"
Regex = "nginx:.*"
"#;

    #[test]
    fn what_is_made_is_a_configuration_without_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("interlock.toml");
        std::fs::write(&file, INTERLOCK).unwrap();
        let made = interlock(&file).unwrap();
        assert_eq!(made.options.len(), 13, "{:?}", made.options);
        let ours = folder.path().join("drey.toml");
        std::fs::write(&ours, &made.toml).unwrap();
        let settings = Settings::from_parts(Some(&ours), &[]).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.proxy.provider.kind, config::ProviderKind::Nginx);
        assert!(settings.discovery.enabled && settings.discovery.poll_interval.as_secs() == 3);
        assert_eq!(settings.proxy.https.unwrap().port(), 443);
        assert_eq!(settings.proxy.limits.connections, Some(1024));
        assert!(settings.engine.tls.unwrap().identity.is_some());
        std::fs::write(&file, "[[Extensions").unwrap();
        let told = interlock(&file).unwrap_err().to_string();
        assert!(told.contains("interlock.toml: is no configuration of Interlock"), "{told}");
    }
}
