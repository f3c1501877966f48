//! TLS to containers, by labels.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use super::*;
use crate::domain::backend::BackendTls;
use crate::ports::{ProbeUrl, Prober};
use crate::proxy::HttpProber;

/// Signs certificates of containers and clients.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::from_ca_cert_pem(&pem, key).unwrap(), pem }
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

/// A container that speaks TLS, shows `shown` and wants a certificate of `clients`. Over HTTP/1.1 it echoes heads, over
/// HTTP/2 it tells the scheme it was asked with.
async fn container(shown: &Signed, clients: Option<&Authority>, protocols: &[&[u8]]) -> Upstream {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(shown.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Https, "tls");
    Supervisor::new().spawn("container", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            Supervisor::new().spawn("container connection", async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            });
        }
    });
    upstream
}

async fn serve(mut stream: tokio_rustls::server::TlsStream<TcpStream>) {
    let session = stream.get_ref().1;
    let server_name = session.server_name().unwrap_or("nobody").to_owned();
    if session.alpn_protocol() != Some(b"h2") {
        let mut head = Vec::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            head.push(byte[0]);
            if head.ends_with(b"\r\n\r\n") {
                let head = String::from_utf8(std::mem::take(&mut head)).unwrap();
                if head.contains("upgrade: websocket") {
                    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                    stream.write_all(format!("{switched}tunnelled").as_bytes()).await.ok();
                    stream.shutdown().await.ok();
                    return;
                }
                let body = format!("asked for {server_name} over HTTP/1.1");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
            }
        }
        return;
    }
    let answer = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let scheme = request.uri().scheme_str().unwrap_or_default().to_owned();
        let body = format!("asked for {server_name} over HTTP/2 by {scheme}");
        async move { Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from(body)))) }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.serve_connection(TokioIo::new(stream), answer).await.ok();
}

fn verified(authority: &Authority) -> BackendTls {
    BackendTls {
        authority: Some(authority.pem.clone()),
        server_name: Some("app.internal".to_owned()),
        verify: true,
        identity: None,
    }
}

fn by(upstream: &Upstream, tls: BackendTls) -> Answer {
    Answer::Proxy(Upstream { tls: Some(Arc::new(tls)), ..upstream.clone() })
}

/// The answer to a request for a container that is spoken to like this, and what a probe says of it.
async fn asked(house: &House, upstream: &Upstream, tls: BackendTls) -> (String, Result<Option<u16>, String>) {
    let labelled = Upstream { tls: Some(Arc::new(tls.clone())), ..upstream.clone() };
    let url = ProbeUrl { host: "x.qa.example".into(), proto: "https".into(), path: "/".into() };
    let probed = HttpProber::new().unwrap().probe(&labelled, &url, Duration::from_secs(10)).await;
    house.publish(&[("x", 1, by(upstream, tls))]);
    (house.plain(&get("x")).await, probed.map_err(|error| error.to_string()))
}

#[tokio::test]
async fn a_certificate_is_believed_by_its_authority_and_its_name() {
    let house = House::new(false).await;
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let upstream = container(&ours.sign("app.internal"), None, &[b"http/1.1"]).await;
    let (answer, probed) = asked(&house, &upstream, verified(&ours)).await;
    assert!(answer.contains("asked for app.internal over HTTP/1.1"), "{answer}");
    assert_eq!(probed, Ok(Some(200)));
    let named = BackendTls { server_name: Some("web".to_owned()), ..verified(&ours) };
    let unverified = BackendTls { authority: None, verify: false, ..verified(&ours) };
    let nobody = BackendTls { authority: Some("-----BEGIN CERTIFICATE-----".to_owned()), ..verified(&ours) };
    for (tls, told) in [
        (verified(&other), "drey.upstream.ca says which authority"),
        (named, "drey.upstream.server-name says which name"),
        (BackendTls { authority: None, ..verified(&ours) }, "drey.upstream.ca says which authority"),
        (nobody, "drey.upstream.ca: "),
    ] {
        let (answer, probed) = asked(&house, &upstream, tls).await;
        assert!(answer.starts_with("HTTP/1.1 502") && answer.contains(told), "{told}: {answer}");
        assert!(probed.unwrap_err().contains(told), "{told}");
    }
    let (answer, _) = asked(&house, &upstream, unverified).await;
    assert!(answer.contains("asked for app.internal"), "{answer}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_authority() {
    let house = House::new(false).await;
    let key = KeyPair::generate().unwrap();
    for is_authority in [true, false] {
        let mut params = CertificateParams::new(vec!["app.internal".to_owned()]).unwrap();
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = params.self_signed(&key).unwrap().pem();
        let shown = Signed { certificate: certificate.clone(), key: key.serialize_pem() };
        let upstream = container(&shown, None, &[b"http/1.1"]).await;
        let tls = BackendTls { authority: Some(certificate), ..verified(&Authority::new("ours")) };
        let named = BackendTls { server_name: Some("web".to_owned()), ..tls.clone() };
        assert!(asked(&house, &upstream, tls).await.0.contains("asked for app.internal"), "{is_authority}");
        assert!(asked(&house, &upstream, named).await.0.starts_with("HTTP/1.1 502"), "{is_authority}");
    }
}

#[tokio::test]
async fn a_container_that_demands_a_certificate_gets_the_one_of_the_label() {
    let house = House::new(false).await;
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    for protocols in [&[&b"http/1.1"[..]][..], &[b"h2", b"http/1.1"]] {
        let upstream = container(&ours.sign("app.internal"), Some(&ours), protocols).await;
        let shown = |signed: Signed| BackendTls {
            identity: Some(format!("{}{}", signed.certificate, signed.key).into_bytes()),
            ..verified(&ours)
        };
        let (answer, probed) = asked(&house, &upstream, shown(ours.sign("client"))).await;
        assert!(answer.contains("asked for app.internal"), "{answer}");
        assert_eq!(probed, Ok(Some(200)));
        for tls in [verified(&ours), shown(other.sign("client"))] {
            let (answer, probed) = asked(&house, &upstream, tls).await;
            let told = "drey.upstream.client-cert names the secret";
            assert!(answer.starts_with("HTTP/1.1 502") && answer.contains(told), "{answer}");
            assert!(probed.is_err(), "{probed:?}");
        }
        let keyless = BackendTls { identity: Some(ours.pem.clone().into_bytes()), ..verified(&ours) };
        let (answer, _) = asked(&house, &upstream, keyless).await;
        assert!(answer.contains("drey.upstream.client-cert: "), "{answer}");
    }
}

#[tokio::test]
async fn the_container_chooses_the_protocol_and_upgrades_go_over_http_1() {
    let house = House::new(true).await;
    let ours = Authority::new("ours");
    let upstream = container(&ours.sign("app.internal"), None, &[b"h2", b"http/1.1"]).await;
    house.publish(&[("x", 1, by(&upstream, verified(&ours)))]);
    for _ in 0..3 {
        let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
        let answer = exchange(stream, &get("x")).await;
        assert!(answer.contains("asked for app.internal over HTTP/2 by https"), "{answer}");
    }
    let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x.qa.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = exchange(stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 101") && answer.ends_with("tunnelled"), "{answer}");
    house.publish(&[("x", 2, Answer::Proxy(upstream))]);
    let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    let answer = exchange(stream, &get("x")).await;
    assert!(answer.contains("asked for nobody over HTTP/2"), "{answer}");
}
