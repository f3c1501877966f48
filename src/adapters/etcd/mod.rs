//! A configuration that lies in etcd (version 3), through the JSON that its servers speak beside gRPC.
//!
//! See <https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/>.

mod address;
mod lines;

use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls;
use address::Address;
use lines::{Connection, Lines};

/// Until one server answered, all of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// etcd takes values up to 1.5 MiB; in base64, and with what is around it.
const LARGEST: usize = 4 << 20;

/// One key of one cluster.
#[derive(Clone, Debug)]
pub struct Etcd {
    address: Address,
}

/// What lies at the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub text: String,
    /// Of the whole cluster, when it was read: changes are watched from the next one on.
    pub revision: i64,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Etcd {
    /// `etcd://host:port[,host:port…]/key`, or `etcds://` with `?ca=FILE&cert=FILE&key=FILE`.
    ///
    /// # Errors
    /// When it is something else; says what is right.
    pub fn parse(address: &str) -> Result<Self, String> {
        Ok(Self { address: Address::parse(address)? })
    }

    /// Of the first server that answers.
    ///
    /// # Errors
    /// When none does, or there is no such key; in words for people.
    pub async fn get(&self) -> Result<Held, String> {
        let key = BASE64.encode(self.address.key.as_bytes());
        let question = json!({"key": key});
        let answer = self.each(|server| self.ask(server, &question)).await?;
        let absent = || {
            let key = &self.address.key;
            format!("there is no key {key}; put one: etcdctl put {key} < drey.toml")
        };
        let revision = number(&answer["header"]["revision"]).unwrap_or_default();
        let value = answer["kvs"][0]["value"].as_str().ok_or_else(absent)?;
        let bytes = BASE64.decode(value.as_bytes()).map_err(|error| format!("its value: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|error| format!("its value is no text: {error}"))?;
        Ok(Held { text, revision })
    }

    /// Returns when something happened to the key after `revision`.
    ///
    /// # Errors
    /// When the stream ended before: ask again what lies there.
    pub async fn changed_after(&self, revision: i64) -> Result<(), String> {
        let key = BASE64.encode(self.address.key.as_bytes());
        let from = revision.saturating_add(1).to_string();
        let order = json!({"create_request": {"key": key, "start_revision": from}});
        self.each(|server| self.watch(server, &order)).await
    }

    /// Asks one server after the other.
    async fn each<'a, T, F>(&'a self, ask: impl Fn(&'a (String, u16)) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, String>>,
    {
        let mut told = Vec::new();
        for server in &self.address.servers {
            match ask(server).await {
                Ok(answer) => return Ok(answer),
                Err(why) => told.push(format!("{}:{}: {why}", server.0, server.1)),
            }
        }
        Err(told.join("; "))
    }

    async fn ask(&self, server: &(String, u16), question: &Value) -> Result<Value, String> {
        let asked = async {
            let mut lines = self.open(server, "/v3/kv/range", question).await?;
            lines.next().await?.ok_or_else(|| "said nothing".to_owned())
        };
        let answer = timeout(ANSWER_LIMIT, asked).await;
        let answer = answer
            .unwrap_or_else(|_elapsed| Err(format!("gave no answer within {} s", ANSWER_LIMIT.as_secs())))?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    async fn watch(&self, server: &(String, u16), order: &Value) -> Result<(), String> {
        let mut lines = self.open(server, "/v3/watch", order).await?;
        while let Some(line) = lines.next().await? {
            let result = &line["result"];
            if result["events"].as_array().is_some_and(|events| !events.is_empty()) {
                return Ok(());
            }
            if result.is_null() || result["canceled"] == true {
                return Err(format!("the watch was ended: {line}"));
            }
        }
        Err("the watch ended".to_owned())
    }

    /// The answer's body, which may go on for ever.
    async fn open(&self, server: &(String, u16), path: &str, body: &Value) -> Result<Lines, String> {
        let stream = timeout(ANSWER_LIMIT, self.connect(server)).await;
        let stream = stream
            .unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let mut connection: Connection = Box::pin(connection);
        let request = Request::post(path)
            .header("host", format!("{}:{}", server.0, server.1))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| error.to_string())?;
        let mut sent = Box::pin(sender.send_request(request));
        let mut is_over = false;
        let response = tokio::select! {
            response = &mut sent => response,
            ended = &mut connection => {
                ended.map_err(|error| error.to_string())?;
                is_over = true;
                // A short answer came with the end.
                sent.await
            }
        };
        let response = response.map_err(|error| error.to_string())?;
        // Its errors are JSON too, with a text under `error`.
        let body: Incoming = response.into_body();
        Ok(Lines::new(
            body.map_err(|error| error.to_string()).boxed(),
            (!is_over).then_some(connection),
            LARGEST,
        ))
    }

    async fn connect(&self, (host, port): &(String, u16)) -> std::io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        match &self.address.tls {
            Some(files) => Ok(Box::new(tls::connect(tcp, host, files).await?)),
            None => Ok(Box::new(tcp)),
        }
    }
}

/// Numbers of 64 bits are texts in the JSON of protocol buffers.
fn number(value: &Value) -> Option<i64> {
    value.as_str().map_or_else(|| value.as_i64(), |text| text.parse().ok())
}

#[cfg(test)]
mod tests;
