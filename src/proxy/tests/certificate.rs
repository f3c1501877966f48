//! The certificates over the years.

use super::super::upstream_tls::{Offer, TlsClient};
use super::*;
use crate::config::CertificateFiles;
use crate::proxy::local_ca::LocalCa;
use crate::proxy::tls::Tls;

fn settings(folder: &tempfile::TempDir, domain: &str) -> ProxySettings {
    ProxySettings {
        https: None,
        http: None,
        domain: domain.into(),
        tls: TlsSettings::LocalCa { directory: folder.path().to_owned() },
        dashboard_url: None,
        hold: HoldSettings::default(),
        robots: Default::default(),
        bounds: Default::default(),
    }
}

/// What the server shows to a client that trusts the authority in the folder, if it believes it.
async fn shown(tls: &Tls, folder: &tempfile::TempDir, name: &'static str) -> std::io::Result<Vec<u8>> {
    shown_to(Arc::new(trusting(folder, &[])), tls, name).await
}

async fn shown_to(client: Arc<ClientConfig>, tls: &Tls, name: &'static str) -> std::io::Result<Vec<u8>> {
    let connector = TlsConnector::from(client);
    let (client, server) = tokio::io::duplex(65_536);
    let (handshakes, config) = (tls.handshakes.clone(), tls.policies.of(None).config.clone());
    Supervisor::new().spawn("server", async move {
        handshakes.receive(server, |_| config).await.ok();
    });
    let stream = connector.connect(ServerName::try_from(name).unwrap(), client).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

#[tokio::test]
async fn a_leaf_is_renewed_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Arc::new(ring::default_provider());
    let now = Timestamp::from_millis(1_780_000_000_000);
    let tls = Tls::new(&settings(&folder, "qa.example"), &provider, now).unwrap();
    // The client's clock is the real one: it is not to look at dates.
    let any = TlsClient::new(None, &provider).unwrap();
    let client = any.config(Offer::Http1);
    let first = shown_to(client.clone(), &tls, "x.qa.example").await.unwrap();
    tls.renewal.renew(now.plus(Duration::from_secs(300 * 86_400))).unwrap();
    assert_eq!(shown_to(client.clone(), &tls, "x.qa.example").await.unwrap(), first);
    tls.renewal.renew(now.plus(Duration::from_secs(370 * 86_400))).unwrap();
    let leaf = LocalCa::new(folder.path().to_owned()).leaf();
    let second = CertificateDer::from_pem_file(leaf.certificate).unwrap();
    let now_shown = shown_to(client, &tls, "x.qa.example").await.unwrap();
    assert!(now_shown == second.to_vec() && now_shown != first);
}

#[tokio::test]
async fn the_authority_signs_for_its_domain_only() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Arc::new(ring::default_provider());
    let now = Today.now();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let tls = Tls::new(&settings(&folder, "qa.example"), &provider, now).unwrap();
    assert!(shown(&tls, &folder, "x.qa.example").await.is_ok());
    let first = read("ca.pem");
    // Below its domain it stays; for another one there is a new one.
    let tls = Tls::new(&settings(&folder, "deep.qa.example"), &provider, now).unwrap();
    assert!(shown(&tls, &folder, "x.deep.qa.example").await.is_ok());
    assert_eq!(read("ca.pem"), first);
    // As a thief of the key would: the scope on disk says one thing, the certificate another.
    std::fs::remove_file(folder.path().join("ca.domain")).unwrap();
    let tls = Tls::new(&settings(&folder, "other.example"), &provider, now).unwrap();
    assert_eq!(read("ca.pem"), first);
    assert!(shown(&tls, &folder, "x.other.example").await.is_err());
    std::fs::write(folder.path().join("ca.domain"), "qa.example\n").unwrap();
    let tls = Tls::new(&settings(&folder, "other.example"), &provider, now).unwrap();
    assert_ne!(read("ca.pem"), first);
    assert!(shown(&tls, &folder, "x.other.example").await.is_ok());
}

/// A certificate that signs itself, and its key.
pub(crate) fn write(files: &CertificateFiles, names: &[&str], (from, until): (Timestamp, Timestamp)) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let moment = |at: Timestamp| time::OffsetDateTime::from_unix_timestamp(at.as_millis() / 1000).unwrap();
    (params.not_before, params.not_after) = (moment(from), moment(until));
    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&files.certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&files.key, pair.serialize_pem()).unwrap();
}

#[tokio::test]
async fn files_are_chosen_by_name_and_taken_up_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Arc::new(ring::default_provider());
    let now = Timestamp::from_millis(1_780_000_000_000);
    let valid = (now, now.plus(Duration::from_secs(90 * 86_400)));
    let pair = |name: &str| CertificateFiles {
        certificate: folder.path().join(format!("{name}.pem")),
        key: folder.path().join(format!("{name}.key")),
    };
    let (wild, vip) = (pair("wild"), pair("vip"));
    write(&wild, &["*.qa.example"], valid);
    write(&vip, &["vip.qa.example"], valid);
    let files = TlsSettings::Files(vec![wild.clone(), vip.clone()]);
    let tls =
        Tls::new(&ProxySettings { tls: files, ..settings(&folder, "qa.example") }, &provider, now).unwrap();
    let client = TlsClient::new(None, &provider).unwrap().config(Offer::Http1);
    let of = |files: &CertificateFiles| CertificateDer::from_pem_file(&files.certificate).unwrap().to_vec();
    let shown = async |name| shown_to(client.clone(), &tls, name).await.unwrap();
    assert_eq!((shown("x.qa.example").await, shown("vip.qa.example").await), (of(&wild), of(&vip)));

    let before = of(&wild);
    assert!(!tls.renewal.look(now, false), "nothing has changed");
    std::fs::write(&wild.certificate, "broken").unwrap();
    assert!(tls.renewal.look(now, false));
    assert_eq!(shown("x.qa.example").await, before);
    assert!(!tls.renewal.look(now, false), "it is told once");
    write(&wild, &["*.qa.example"], valid);
    assert!(tls.renewal.look(now, false));
    assert!(shown("x.qa.example").await == of(&wild) && of(&wild) != before);
}
