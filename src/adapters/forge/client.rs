//! One request to a forge over HTTP/1.1: the configured host and no other, in a limited time, with a limited answer.
//!
//! A connection for each request, no redirects, no proxy of the environment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::ports::{ForgeError, ForgeResult};

/// Until there is a connection, encrypted.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Most bytes of an answer: a page of comments, each as long as a forge lets it be, has room.
const ANSWER_LIMIT: usize = 4 << 20;
const AGENT: &str = concat!("drey/", env!("CARGO_PKG_VERSION"));

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The API of one forge.
pub(super) struct Client {
    authority: String,
    host: String,
    port: u16,
    /// Before each path; without a slash at its end.
    prefix: String,
    tls: Option<TlsConnector>,
    /// Until the answer is there, all of it.
    patience: Duration,
}

/// What is asked.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Behind the API's address, with its query.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<&'a Value>,
}

/// What was answered; the body is null where it is no JSON.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Client {
    /// `api` is `https://host[:port][/path]`.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn new(api: &str, patience: Duration) -> Result<Self, String> {
        let wrong = || format!("{api:?} is no address such as https://forge.example/api");
        let (scheme, rest) = api.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        if authority.contains('@') {
            return Err("a user or a token has no place in the address".to_owned());
        }
        let parsed: Authority = authority.parse().map_err(|error| format!("{}: {error}", wrong()))?;
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = path.trim_end_matches('/');
        Ok(Self {
            authority: authority.to_owned(),
            host,
            port: parsed.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            prefix: if path.is_empty() { String::new() } else { format!("/{path}") },
            tls: is_tls.then(connector).transpose()?,
            patience,
        })
    }

    /// Host and port of the forge.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Asks, and gives any answer.
    ///
    /// # Errors
    /// Passing, when there is none.
    pub(super) async fn call(&self, call: Call<'_>) -> ForgeResult<Answer> {
        let request = self.request(call)?;
        match timeout(self.patience, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                Err(self.silent(&format!("nothing came within {} s", self.patience.as_secs_f64())))
            }
        }
    }

    fn request(&self, call: Call<'_>) -> ForgeResult<Request<Full<Bytes>>> {
        let bytes = call.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.prefix, call.path))
            .header("host", &self.authority)
            .header("user-agent", AGENT)
            .header("connection", "close");
        if call.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        // Not what the error says: it may quote a header, and one of them is the token.
        request.body(Full::new(bytes)).map_err(|_error| {
            ForgeError::Refused("the request cannot be made: is there a line break in the token?".to_owned())
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> ForgeResult<Answer> {
        let stream = match timeout(CONNECT_LIMIT, self.connect()).await {
            Ok(stream) => stream.map_err(|error| self.silent(&error.to_string()))?,
            Err(_elapsed) => {
                return Err(self.silent(&format!("no connection within {} s", CONNECT_LIMIT.as_secs())));
            }
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.silent(&error.to_string()))?;
        let asked = async {
            let response =
                sender.send_request(request).await.map_err(|error| self.silent(&error.to_string()))?;
            let (head, body) = response.into_parts();
            let read = Limited::new(body, ANSWER_LIMIT).collect().await;
            let bytes = read.map_err(|error| self.silent(&error.to_string()))?.to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::pin!(asked, connection);
        tokio::select! {
            biased;
            answer = &mut asked => answer,
            // All was read; what is left of the answer is on its way.
            _ = &mut connection => asked.await,
        }
    }

    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true).ok();
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    fn silent(&self, why: &str) -> ForgeError {
        ForgeError::Passing(format!("{} does not answer: {why}", self.authority))
    }
}

/// Trusts what the system trusts, or the file that `SSL_CERT_FILE` names.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// One part of a path or query, percent-encoded.
pub(super) fn part(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// `team/shop`, its slashes kept.
pub(super) fn path(project: &str) -> String {
    project.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;

    use super::*;

    const GET: fn() -> Call<'static> =
        || Call { method: Method::GET, path: "/x?y=1".to_owned(), headers: Vec::new(), body: None };

    /// Answers one request with this; gives what was asked.
    async fn answers<S: Stream>(mut stream: S, answer: &[u8]) -> String {
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.unwrap_or(0);
        stream.write_all(answer).await.ok();
        stream.shutdown().await.ok();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    }

    #[tokio::test]
    async fn only_a_certificate_that_is_trusted_is_spoken_to() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("https://localhost:{}/api", listener.local_addr().unwrap().port());
        let mut ours = RootCertStore::empty();
        ours.add(made.cert.der().clone()).unwrap();
        for is_trusted in [false, true] {
            let mut client = Client::new(&api, CONNECT_LIMIT).ok().unwrap();
            if is_trusted {
                client.tls = trusting(ours.clone()).ok();
            }
            let served = async {
                let (stream, _) = listener.accept().await.unwrap();
                match acceptor.accept(stream).await {
                    Ok(stream) => {
                        answers(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}").await
                    }
                    Err(_refused) => String::new(),
                }
            };
            let (asked, answer) = tokio::join!(served, client.call(GET()));
            assert_eq!(asked.starts_with("GET /api/x?y=1 HTTP/1.1\r\n"), is_trusted, "{asked}");
            assert_eq!(answer.ok().map(|it| it.body["a"].as_u64()), is_trusted.then_some(Some(1)));
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), CONNECT_LIMIT);
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'1'; ANSWER_LIMIT + 1]].concat();
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            answers(stream, &endless).await
        };
        let client = client.ok().unwrap();
        let (_, answer) = tokio::join!(served, client.call(GET()));
        assert!(matches!(answer.err(), Some(ForgeError::Passing(_))));
    }

    #[test]
    fn an_address_is_read() {
        let read = |api: &str| {
            let client = Client::new(api, CONNECT_LIMIT).ok().unwrap();
            (client.host, client.port, client.prefix)
        };
        assert_eq!(read("https://git.example"), ("git.example".to_owned(), 443, String::new()));
        assert_eq!(read("http://[::1]:80/api/v4/"), ("::1".to_owned(), 80, "/api/v4".to_owned()));
        for bad in ["git.example", "ftp://x", "https://", "https://u:p@x", "https://x y"] {
            assert!(Client::new(bad, CONNECT_LIMIT).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_of_paths_are_encoded() {
        assert_eq!(part("team/größe?#"), "team%2Fgr%C3%B6%C3%9Fe%3F%23");
        assert_eq!(path("team/a b"), "team/a%20b");
    }
}
