//! The certificates over the years.

use super::*;
use crate::proxy::local_ca::LocalCa;
use crate::proxy::tls::Tls;

fn settings(folder: &tempfile::TempDir, domain: &str) -> ProxySettings {
    ProxySettings {
        https: None,
        http: None,
        domain: domain.into(),
        tls: TlsSettings::LocalCa { directory: folder.path().to_owned() },
        dashboard_url: None,
        robots: Default::default(),
        access_log: None,
    }
}

/// What the server shows to a client that trusts the authority in the folder, if it believes it.
async fn shown(tls: &Tls, folder: &tempfile::TempDir, name: &'static str) -> std::io::Result<Vec<u8>> {
    shown_to(Arc::new(trusting(folder, &[])), tls, name).await
}

async fn shown_to(client: Arc<ClientConfig>, tls: &Tls, name: &'static str) -> std::io::Result<Vec<u8>> {
    let connector = TlsConnector::from(client);
    let (client, server) = tokio::io::duplex(65_536);
    let acceptor = tls.acceptor.clone();
    Supervisor::new().spawn("server", async move {
        acceptor.accept(server).await.ok();
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
    let client = crate::proxy::upstream_tls::unverified(&provider).unwrap();
    let first = shown_to(client.clone(), &tls, "x.qa.example").await.unwrap();
    tls.renewal.renew(now.plus(Duration::from_secs(300 * 86_400))).unwrap();
    assert_eq!(shown_to(client.clone(), &tls, "x.qa.example").await.unwrap(), first);
    tls.renewal.renew(now.plus(Duration::from_secs(370 * 86_400))).unwrap();
    let (leaf, _) = LocalCa::new(folder.path().to_owned()).leaf();
    let second = CertificateDer::from_pem_file(leaf).unwrap();
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
