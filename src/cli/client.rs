//! HTTP over the daemon's unix socket, or to a daemon elsewhere.

use std::path::PathBuf;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::exit::Failure;
use crate::app::block_on;
use crate::app::remote::{Server, Stream};
use crate::config::Settings;
pub(super) use crate::domain::dashboard::encoded;

/// Talks to the daemon.
pub(super) struct Client<'a> {
    way: Way<'a>,
}

enum Way<'a> {
    Socket(PathBuf),
    Server(&'a Server),
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { way: Way::Socket(settings.data_dir.join("drey.sock")) }
    }

    pub(super) const fn elsewhere(server: &'a Server) -> Self {
        Self { way: Way::Server(server) }
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body))
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        block_on(async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let bytes = response.into_body().collect().await.map_err(failed)?.to_bytes();
            let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            refused(status, &value)?;
            Ok(value)
        })
    }

    /// The body of an answer that is no refusal.
    async fn body(&self, path: &str) -> Result<Incoming, Failure> {
        let response = self.send(Method::GET, path, None).await?;
        let status = response.status();
        let body = response.into_body();
        if !status.is_success() {
            let bytes = body.collect().await.map_err(failed)?.to_bytes();
            refused(status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null))?;
            return Err(failed("it has no content"));
        }
        Ok(body)
    }

    /// Text as it comes, piece by piece.
    pub(super) fn stream(&self, path: &str, mut each: impl FnMut(&str)) -> Result<(), Failure> {
        block_on(async {
            let mut body = self.body(path).await?;
            let mut rest = Vec::new();
            while let Some(frame) = body.frame().await {
                rest.extend_from_slice(frame.map_err(failed)?.data_ref().map_or(&[], |data| data));
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    each(String::from_utf8_lossy(&line).trim_end_matches('\n'));
                }
            }
            Ok(())
        })
    }

    /// Bytes as they come, for as long as `each` wants more.
    pub(super) fn download(&self, path: &str, mut each: impl FnMut(Bytes) -> bool) -> Result<(), Failure> {
        block_on(async {
            let mut body = self.body(path).await?;
            while let Some(frame) = body.frame().await {
                let wanted = frame.map_err(failed)?.into_data().map_or(true, &mut each);
                if !wanted {
                    return Ok(());
                }
            }
            Ok(())
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = match &self.way {
            Way::Socket(_) => request.header("host", "drey"),
            Way::Server(server) => {
                request.header("host", server.authority()).header("authorization", server.authorization())
            }
        };
        let request = request.body(Full::new(bytes)).map_err(failed)?;
        crate::app::drive(connection);
        sender.send_request(request).await.map_err(failed)
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        match &self.way {
            Way::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|error| {
                    let socket = socket.display();
                    Failure::Failed(format!(
                        "no daemon answers at {socket} ({error}); start it with `drey serve`, or name one elsewhere with \
                         --server"
                    ))
                })?;
                Ok(Box::new(stream))
            }
            Way::Server(server) => server.connect().await.map_err(|error| {
                Failure::Failed(format!("no daemon answers at {} ({error})", server.authority()))
            }),
        }
    }
}

fn refused(status: StatusCode, answer: &Value) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let error = &answer["error"];
    let message = error["message"].as_str().unwrap_or("the daemon gave no reason").to_owned();
    let message = match error["id"].as_str() {
        Some(id) if status.is_server_error() => format!("{message} ({id})"),
        Some(_) | None => message,
    };
    Err(match status {
        StatusCode::NOT_FOUND => Failure::NotFound(message),
        StatusCode::BAD_REQUEST => Failure::Usage(message),
        _ => Failure::Failed(message),
    })
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("the daemon's answer broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_one_part_of_a_path() {
        assert_eq!(encoded("feature/größe?#"), "feature%2Fgr%C3%B6%C3%9Fe%3F%23");
    }
}
