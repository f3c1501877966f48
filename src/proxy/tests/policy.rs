//! Repositories that ask more of a visitor's TLS than others.

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, SupportedProtocolVersion};

use super::*;
use crate::config::{RepositoryTls, TlsVersion};
use crate::domain::names::RepoName;
use crate::proxy::TlsRules;

/// A client's certificate and whoever signed it.
struct Client {
    authority: String,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

fn client() -> Client {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "clients");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let mut params = CertificateParams::new(vec!["tester".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &Issuer::from_params(&authority, &authority_key)).unwrap();
    Client { authority: pem, certificate: certificate.der().clone(), key }
}

/// `shop.qa.example` asks for nothing, `vault` for a client's certificate, `modern` for TLS 1.3.
async fn house(client: &Client) -> House {
    let house = House::new(true).await;
    let file = house.folder.path().join("clients.pem");
    std::fs::write(&file, &client.authority).unwrap();
    house.proxy.set_tls_rules(&rules(&file)).unwrap();
    publish(&house);
    house
}

fn rules(client_ca: &std::path::Path) -> TlsRules {
    let vault = RepositoryTls { client_ca: Some(client_ca.to_owned()), ..RepositoryTls::default() };
    let modern = RepositoryTls { min_version: TlsVersion::Tls13, client_ca: None };
    let repositories = [("vault", vault), ("modern", modern), ("shop", RepositoryTls::default())];
    let repositories = repositories.map(|(name, tls)| (RepoName::parse(name).unwrap(), tls)).into();
    TlsRules { repositories, hsts: None }
}

fn publish(house: &House) {
    let route = |repo: &str| {
        let page = Page { phase: Phase::Archived, reason: None, outcome: None, is_tired: false };
        let route = Route {
            access: Default::default(),
            environment: EnvironmentId(1),
            generation: Generation(1),
            name: format!("{repo}/x/y"),
            service: "web".into(),
            paths: Vec::new(),
            answer: Answer::Page(page),
        };
        (format!("{repo}.qa.example"), route)
    };
    let hosts = ["shop", "vault", "modern"].map(route).into();
    house.proxy.publish(RouteTable { hosts, ..RouteTable::default() });
}

/// A client that trusts the house's authority.
fn config(
    house: &House,
    versions: &[&'static SupportedProtocolVersion],
    client: Option<&Client>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(house.folder.path().join("ca.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    Arc::new(match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::try_from(client.key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![client.certificate.clone()], key).unwrap()
        }
    })
}

async fn connect(
    house: &House,
    config: &Arc<ClientConfig>,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(house.proxy.https_address().unwrap()).await?;
    TlsConnector::from(config.clone()).connect(ServerName::try_from(name).unwrap(), stream).await
}

/// The status of the answer; none where there is no answer.
async fn ask(house: &House, config: &Arc<ClientConfig>, name: &'static str, host: &str) -> Option<u16> {
    let stream = connect(house, config, name).await.ok()?;
    status(stream, host).await
}

async fn status(stream: TlsStream<TcpStream>, host: &str) -> Option<u16> {
    exchange(stream, &get(host)).await.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn a_repository_may_demand_a_certificate_of_its_visitors() {
    let (ours, others) = (client(), client());
    let house = house(&ours).await;
    let both = [&TLS13, &TLS12];
    for versions in [&both[..], &both[1..]] {
        let (nobody, stranger) = (config(&house, versions, None), config(&house, versions, Some(&others)));
        assert_eq!(ask(&house, &nobody, "shop.qa.example", "shop").await, Some(410));
        assert_eq!(ask(&house, &nobody, "vault.qa.example", "vault").await, None);
        assert_eq!(ask(&house, &stranger, "vault.qa.example", "vault").await, None);
        let known = config(&house, versions, Some(&ours));
        assert_eq!(ask(&house, &known, "vault.qa.example", "vault").await, Some(410));
        assert_eq!(ask(&house, &known, "shop.qa.example", "shop").await, Some(410));
    }
}

#[tokio::test]
async fn a_repository_may_demand_a_newer_version() {
    let house = house(&client()).await;
    let (old, new) = (config(&house, &[&TLS12], None), config(&house, &[&TLS13], None));
    assert_eq!(ask(&house, &old, "shop.qa.example", "shop").await, Some(410));
    assert_eq!(ask(&house, &new, "modern.qa.example", "modern").await, Some(410));
    let refused = connect(&house, &old, "modern.qa.example").await.unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
}

#[tokio::test]
async fn no_connection_of_one_policy_carries_requests_for_another() {
    let known = client();
    let house = house(&known).await;
    let config = config(&house, &[&TLS13], Some(&known));
    let names = ["shop.qa.example", "vault.qa.example", "modern.qa.example", "unknown.qa.example"];
    for name in names {
        for host in ["shop", "vault", "modern", "unknown"] {
            let answer = ask(&house, &config, name, host).await;
            let plain = ["shop", "unknown"];
            let is_same = name.starts_with(host)
                || (plain.contains(&host) && plain.iter().any(|plain| name.starts_with(plain)));
            let right = if host == "unknown" { 404 } else { 410 };
            assert_eq!(answer, Some(if is_same { right } else { 421 }), "{host} over {name}");
        }
    }
}

#[tokio::test]
async fn a_session_is_resumed_under_its_own_policy() {
    let known = client();
    let house = house(&known).await;
    let config = config(&house, &[&TLS13], Some(&known));
    for name in ["shop.qa.example", "vault.qa.example"] {
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = connect(&house, &config, name).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            // The ticket comes with what is read.
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 410"));
            kinds.push(stream.get_ref().1.handshake_kind());
        }
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)], "{name}");
    }
}

#[tokio::test]
async fn new_rules_count_at_once_and_a_fault_changes_nothing() {
    let known = client();
    let house = house(&known).await;
    let nobody = config(&house, &[&TLS13], None);
    let before = connect(&house, &nobody, "shop.qa.example").await.unwrap();
    let error = house.proxy.set_tls_rules(&rules(std::path::Path::new("/nonexistent.pem"))).unwrap_err();
    assert!(error.to_string().contains("/nonexistent.pem: [repo.tls] client_ca"), "{error}");
    assert_eq!(ask(&house, &nobody, "vault.qa.example", "vault").await, None);

    let file = house.folder.path().join("clients.pem");
    let mut changed = rules(&file);
    let vault = changed.repositories.remove(&RepoName::parse("vault").unwrap()).unwrap();
    changed.repositories.insert(RepoName::parse("shop").unwrap(), vault);
    changed.hsts = Some(Duration::from_secs(86_400));
    house.proxy.set_tls_rules(&changed).unwrap();
    assert_eq!(ask(&house, &nobody, "vault.qa.example", "vault").await, Some(410));
    assert_eq!(ask(&house, &nobody, "shop.qa.example", "shop").await, None);
    assert_eq!(status(before, "shop").await, Some(421));

    let secure = exchange(connect(&house, &nobody, "vault.qa.example").await.unwrap(), &get("vault")).await;
    assert!(secure.to_ascii_lowercase().contains("strict-transport-security: max-age=86400\r\n"), "{secure}");
    assert!(!house.plain(&get("vault")).await.to_ascii_lowercase().contains("strict-transport"));
    house.proxy.set_tls_rules(&rules(&file)).unwrap();
    let known = config(&house, &[&TLS13], Some(&known));
    let secure = exchange(connect(&house, &known, "vault.qa.example").await.unwrap(), &get("vault")).await;
    assert!(secure.starts_with("HTTP/1.1 410") && !secure.to_ascii_lowercase().contains("strict-transport"));
}

#[tokio::test]
async fn before_the_first_table_a_handshake_waits_to_know_whose_host_it_is() {
    let known = client();
    let house = House::new(true).await;
    let file = house.folder.path().join("clients.pem");
    std::fs::write(&file, &known.authority).unwrap();
    house.proxy.set_tls_rules(&rules(&file)).unwrap();
    let nobody = config(&house, &[&TLS12], None);
    let early = connect(&house, &nobody, "vault.qa.example");
    let published = async {
        tokio::task::yield_now().await;
        publish(&house);
    };
    let (early, ()) = tokio::join!(early, published);
    assert!(early.is_err());
}

#[tokio::test]
async fn one_connection_of_http2_goes_on_after_a_request_that_is_not_for_it() {
    let house = house(&client()).await;
    let stream = house.tls("shop.qa.example", &[b"h2"]).await.unwrap();
    let (executor, io) = (TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    house.supervisor.spawn("client", async move {
        connection.await.ok();
    });
    for (host, status) in [("shop", 410), ("vault", 421), ("modern", 421), ("shop", 410)] {
        let request = http::Request::get(format!("https://{host}.qa.example/"));
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{host}");
    }
}
