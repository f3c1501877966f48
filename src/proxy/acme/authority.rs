//! The way to an authority: HTTPS to whom the system or the operator trusts, one connection for each question.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::proxy::settings::ProxyError;

/// How long an authority may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Most that an answer may have: a chain has some kilobytes.
const MOST_BYTES: usize = 1024 * 1024;

/// Asks an authority. Clones share what is trusted.
#[derive(Clone)]
pub(super) struct Client {
    tls: Arc<ClientConfig>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    /// Trusts whom the system trusts, and whoever is in the PEM file.
    pub(super) fn new(provider: &Arc<CryptoProvider>, more: Option<&Path>) -> Result<Self, ProxyError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = more {
            let wrong = |error: &dyn std::fmt::Display| {
                ProxyError::certificate(path, format!("proxy.tls.acme.directory_ca: {error}"))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
        }
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ProxyError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config) })
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
        let (mut head, body) = request.into_parts();
        let authority = head.uri.authority().ok_or("the authority named a URL without a host")?.clone();
        if head.uri.scheme_str() != Some("https") {
            return Err(format!("the authority named {}, which is not https", head.uri).into());
        }
        let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true).ok();
        let name = ServerName::try_from(authority.host().to_owned())?;
        let stream = TlsConnector::from(self.tls).connect(name, stream).await?;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.headers.insert(HOST, HeaderValue::try_from(authority.as_str())?);
        head.uri = Uri::try_from(path)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let (parts, body) = sender.send_request(Request::from_parts(head, body)).await?.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await?.to_bytes();
            Ok::<_, Failure>(BytesResponse { parts, body: Box::new(body) })
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection may end with the very bytes that complete the answer.
            ended = connection => match answer.await {
                Ok(answer) => Ok(answer),
                Err(error) => Err(ended.err().map_or(error, Into::into)),
            },
        }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, url) = (self.clone(), request.uri().clone());
        Box::pin(async move {
            match tokio::time::timeout(ANSWER_LIMIT, client.ask(request)).await {
                Ok(answer) => answer.map_err(|error| Error::Other(format!("{url}: {error}").into())),
                Err(_elapsed) => {
                    let seconds = ANSWER_LIMIT.as_secs();
                    Err(Error::Other(format!("{url}: no answer within {seconds} s").into()))
                }
            }
        })
    }
}
