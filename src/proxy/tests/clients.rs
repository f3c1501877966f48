//! Clients that ask many things over one connection, and containers that answer quickly.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

/// A container that answers each request without a body with its word.
pub(super) async fn worded(word: &'static str) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("worded", async move {
        while let Ok((stream, _)) = listener.accept().await {
            Supervisor::new().spawn("worded connection", say(stream, word));
        }
    });
    Upstream::new(address, Scheme::Http, word)
}

async fn say(mut stream: TcpStream, word: &'static str) {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{word}", word.len());
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        head.extend_from_slice(&buffer[..read]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// One TLS connection.
pub(super) struct Client {
    sender: Sender,
    is_http2: bool,
}

impl Client {
    pub(super) async fn open(house: &House, name: &'static str, is_http2: bool) -> Self {
        let protocol: &[u8] = if is_http2 { b"h2" } else { b"http/1.1" };
        let stream = TokioIo::new(house.tls(name, &[protocol]).await.unwrap());
        let sender = if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            Supervisor::new().spawn("client", async move { connection.await.unwrap_or_default() });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.unwrap();
            Supervisor::new().spawn("client", async move { connection.await.unwrap_or_default() });
            Sender::Http1(sender)
        };
        Self { sender, is_http2 }
    }

    /// The status and the body. `target` is what the request line or `:authority` names, where it names anything.
    pub(super) async fn ask(&mut self, target: Option<&str>, host: Option<&str>) -> (u16, String) {
        let uri = target.map_or("/".to_owned(), |target| format!("https://{target}/"));
        let mut request = http::Request::get(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.body(Empty::new()).unwrap();
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Sender::Http2(sender) => sender.send_request(request).await.unwrap(),
        };
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// A plain request for one host.
    pub(super) async fn get(&mut self, host: &str) -> (u16, String) {
        if self.is_http2 { self.ask(Some(host), None).await } else { self.ask(None, Some(host)).await }
    }

    /// After a refusal in HTTP/1 it is not.
    pub(super) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed() && sender.is_ready(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }
}
