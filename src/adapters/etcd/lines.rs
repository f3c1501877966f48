//! JSON documents of a body, a line each, as they come.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use serde_json::Value;

/// Moves the connection on while the body is read.
pub(super) type Connection = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// What is left of an answer.
pub(super) struct Lines {
    body: BoxBody<Bytes, String>,
    /// None once it has nothing more to do.
    connection: Option<Connection>,
    read: Vec<u8>,
    longest: usize,
}

impl Lines {
    pub(super) fn new(body: BoxBody<Bytes, String>, connection: Option<Connection>, longest: usize) -> Self {
        Self { body, connection, read: Vec::new(), longest }
    }

    /// The next document; none at the end.
    ///
    /// # Errors
    /// When the connection fails, a line is too long, or no JSON.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    return parsed(&line).map(Some);
                }
                continue;
            }
            if self.read.len() > self.longest {
                return Err(format!("said more than {} bytes in one line", self.longest));
            }
            match self.more().await? {
                Some(bytes) => self.read.extend_from_slice(&bytes),
                None if self.read.trim_ascii().is_empty() => return Ok(None),
                None => return parsed(&std::mem::take(&mut self.read)).map(Some),
            }
        }
    }

    async fn more(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = tokio::select! {
                frame = self.body.frame() => frame,
                ended = moved_on(self.connection.as_mut()) => {
                    self.connection = None;
                    ended.map_err(|error| error.to_string())?;
                    continue;
                }
            };
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(bytes) = frame?.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Ends with the connection; never where there is none.
async fn moved_on(connection: Option<&mut Connection>) -> Result<(), hyper::Error> {
    match connection {
        Some(connection) => connection.await,
        None => std::future::pending().await,
    }
}

fn parsed(line: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(line).map_err(|error| format!("said no JSON: {error}"))
}
