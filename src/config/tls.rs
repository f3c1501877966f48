//! `[proxy.tls]`: which certificates visitors are shown.

use std::path::PathBuf;

use super::acme::{Acme, AcmeChallenge};
use super::reader::Section;

/// `[proxy.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// An authority of drey's own, made at the first start.
    LocalCa,
    /// Certificates of the operator's own; there is one at least. The first is for whoever names no host.
    Files(Vec<CertificateFiles>),
    /// Certificates of an authority that is asked for them (RFC 8555).
    Acme(Acme),
}

/// `[repo.tls]`: what the hosts of a repository ask of their visitors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryTls {
    pub min_version: TlsVersion,
    /// PEM file of the authorities whose signature a visitor's certificate must have; none: nobody needs one.
    pub client_ca: Option<PathBuf>,
}

/// Versions that are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

impl RepositoryTls {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let min_version = section.read("min_version", |value| match value.as_str() {
            Some("1.2") => Ok(TlsVersion::Tls12),
            Some("1.3") => Ok(TlsVersion::Tls13),
            Some(_) | None => Err("must be \"1.2\" or \"1.3\"".to_owned()),
        });
        let read =
            Self { min_version: min_version.unwrap_or_default(), client_ca: section.path("client_ca") };
        section.finish();
        read
    }
}

/// A certificate with its chain, leaf first, and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsMode {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mode = section.text("mode").unwrap_or_else(|| "local-ca".to_owned());
        let files = files(section);
        let acme =
            (mode == "acme" || section.gives("acme")).then(|| Acme::read(&mut section.section("acme")));
        section.finish();
        if acme.is_some() && mode != "acme" {
            section.fault("acme", "is for `mode = \"acme\"`");
        }
        if mode != "files" && !files.is_empty() {
            section.fault(
                "mode",
                "must be \"files\" where `certificate`, `key` or [[proxy.tls.file]] are given",
            );
        }
        match (mode.as_str(), acme) {
            ("local-ca", _) => Self::LocalCa,
            ("acme", Some(acme)) => Self::Acme(acme),
            ("files", _) if !files.is_empty() => Self::Files(files),
            ("files", _) => {
                if !section.has_fault("file") {
                    section.fault("mode", "\"files\" needs `certificate` and `key`, paths of PEM files");
                }
                Self::LocalCa
            }
            _ => {
                section.fault("mode", "must be \"local-ca\", \"files\" or \"acme\"");
                Self::LocalCa
            }
        }
    }

    /// What of it needs a listener that is not there: the key, and why.
    pub(super) fn unreachable(
        &self,
        has_https: bool,
        has_http: bool,
    ) -> Option<(&'static str, &'static str)> {
        let Self::Acme(acme) = self else { return None };
        match acme.challenge {
            _ if !has_https => Some(("https", "is needed for `proxy.tls.mode = \"acme\"`")),
            AcmeChallenge::Http01 if !has_http => {
                Some(("http", "is needed for `challenge = \"http-01\"`: the authority asks on port 80"))
            }
            AcmeChallenge::Http01 | AcmeChallenge::TlsAlpn01 | AcmeChallenge::Dns01 => None,
        }
    }
}

/// `certificate` and `key`, then each `[[proxy.tls.file]]`.
fn files(section: &mut Section<'_>) -> Vec<CertificateFiles> {
    let first = pair(section);
    let more = section.sections("file").into_iter().filter_map(|mut file| {
        let pair = pair(&mut file);
        file.needed("certificate", pair.is_some(), "is needed, and so is `key`: paths of PEM files");
        file.finish();
        pair
    });
    first.into_iter().chain(more).collect()
}

fn pair(section: &mut Section<'_>) -> Option<CertificateFiles> {
    match (section.path("certificate"), section.path("key")) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (Some(_), None) => {
            section.needed(
                "key",
                false,
                "is needed beside `certificate`: the path of its private key in PEM",
            );
            None
        }
        (None, Some(_)) => {
            section.needed("certificate", false, "is needed beside `key`: the path of its chain in PEM");
            None
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn tls(text: &str) -> Result<TlsMode, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let proxy = "[proxy]\ndomain = \"qa.example\"\nhttps = \"127.0.0.1:8443\"\n[proxy.tls]\n";
        std::io::Write::write_all(&mut file, format!("{proxy}{text}").as_bytes()).unwrap();
        let read = Settings::from_parts(Some(file.path()), &[]);
        read.map(|read| read.proxy.tls).map_err(|faults| faults.to_string())
    }

    #[test]
    fn certificates_are_pairs_of_files() {
        let pair = |name: &str| CertificateFiles {
            certificate: PathBuf::from(format!("/{name}.pem")),
            key: PathBuf::from(format!("/{name}.key")),
        };
        assert_eq!(tls("").unwrap(), TlsMode::LocalCa);
        let first = "mode = \"files\"\ncertificate = \"/a.pem\"\nkey = \"/a.key\"\n";
        let second = "[[proxy.tls.file]]\ncertificate = \"/b.pem\"\nkey = \"/b.key\"\n";
        assert_eq!(tls(first).unwrap(), TlsMode::Files(vec![pair("a")]));
        assert_eq!(tls(&format!("{first}{second}")).unwrap(), TlsMode::Files(vec![pair("a"), pair("b")]));
        assert_eq!(tls(&format!("mode = \"files\"\n{second}")).unwrap(), TlsMode::Files(vec![pair("b")]));
        for (text, fault) in [
            ("mode = \"files\"", "proxy.tls.mode"),
            ("certificate = \"/a.pem\"\nkey = \"/a.key\"", "proxy.tls.mode"),
            ("mode = \"files\"\ncertificate = \"/a.pem\"", "proxy.tls.key"),
            ("mode = \"files\"\n[[proxy.tls.file]]\nkey = \"/b.key\"", "proxy.tls.file[0].certificate"),
            ("mode = \"files\"\n[[proxy.tls.file]]", "proxy.tls.file[0].certificate"),
            ("mode = \"certbot\"", "proxy.tls.mode"),
        ] {
            let error = tls(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }

    #[test]
    fn a_repository_asks_for_more_only_where_there_is_tls() {
        let repository = |proxy: &str, tls: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let repo = "[[repo]]\nname = \"shop\"\nurl = \"/srv/shop.git\"";
            let text = format!("[proxy]\ndomain = \"qa.example\"\n{proxy}\n{repo}\n{tls}");
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            let read = Settings::from_parts(Some(file.path()), &[]);
            read.map(|read| read.repositories[0].tls.clone()).map_err(|faults| faults.to_string())
        };
        let https = "https = \"127.0.0.1:8443\"";
        assert_eq!(repository(https, "").unwrap(), RepositoryTls::default());
        let read = repository(https, "tls = { min_version = \"1.3\", client_ca = \"/c.pem\" }").unwrap();
        assert_eq!((read.min_version, read.client_ca), (TlsVersion::Tls13, Some(PathBuf::from("/c.pem"))));
        for (proxy, tls, fault) in [
            (https, "[repo.tls]\nmin_version = \"1.1\"", "repo[0].tls.min_version"),
            (https, "[repo.tls]\nclient_key = \"x\"", "repo[0].tls.client_key"),
            ("http = \"127.0.0.1:80\"", "[repo.tls]\nclient_ca = \"/c.pem\"", "repo[0].tls"),
            ("http = \"127.0.0.1:80\"\nhsts = \"180d\"", "", "proxy.hsts"),
            ("https = \"127.0.0.1:8443\"\nhsts = \"soon\"", "", "proxy.hsts"),
        ] {
            let error = repository(proxy, tls).unwrap_err();
            assert!(error.contains(fault), "{proxy} {tls}: {error}");
        }
    }

    #[test]
    fn acme_says_who_signs_and_how_it_is_proven() {
        let acme = |text: &str| match tls(&format!("mode = \"acme\"\n[proxy.tls.acme]\n{text}")) {
            Ok(TlsMode::Acme(acme)) => Ok(acme),
            Ok(other) => panic!("{other:?}"),
            Err(faults) => Err(faults),
        };
        let read =
            acme("challenge = \"dns-01\"\nhook = [\"/bin/hook\", \"x\"]\nemail = \"a@b.example\"").unwrap();
        assert!(
            read.directory.contains("acme-v02.api.letsencrypt") && read.contact == ["mailto:a@b.example"]
        );
        assert_eq!((read.hook.len(), read.orders_per_hour, read.propagation.as_secs()), (2, 10, 30));
        let read = acme("challenge = \"tls-alpn-01\"\nstaging = true").unwrap();
        assert!(read.directory.contains("staging"));
        for (text, fault) in [
            ("", "proxy.tls.acme.challenge"),
            ("challenge = \"dns-02\"", "proxy.tls.acme.challenge"),
            ("challenge = \"dns-01\"", "proxy.tls.acme.hook"),
            ("challenge = \"tls-alpn-01\"\nhook = [\"/x\"]", "proxy.tls.acme.hook"),
            ("challenge = \"http-01\"", "proxy.http"),
            ("challenge = \"tls-alpn-01\"\ndirectory = \"http://ca.example/\"", "proxy.tls.acme.directory"),
            ("challenge = \"tls-alpn-01\"\nemail = \"ops\"", "proxy.tls.acme.email"),
            ("challenge = \"tls-alpn-01\"\norders_per_hour = 0", "proxy.tls.acme.orders_per_hour"),
            (
                "challenge = \"tls-alpn-01\"\nstaging = true\ndirectory = \"https://ca.example/dir\"",
                "proxy.tls.acme.staging",
            ),
        ] {
            let error = acme(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
        assert!(
            tls("[proxy.tls.acme]\nchallenge = \"http-01\"").unwrap_err().contains("proxy.tls.acme: is for")
        );
    }
}
