//! Which configuration a proxy serves by, where it tells that over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long it may take to say it.
const LIMIT: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: u64 = 4096;

/// The mark; none where nothing answers, or something else.
pub(super) async fn ask(address: SocketAddr) -> Option<String> {
    let mark = asked(&address.to_string(), "/generation", "drey-confirm").await?;
    Some(mark.trim().to_owned())
}

/// What a page of an API says; none where it is not there.
pub(super) async fn get(api: &str, path: &str) -> Option<String> {
    asked(api, path, api).await
}

async fn asked(address: &str, path: &str, host: &str) -> Option<String> {
    let answer = tokio::time::timeout(LIMIT, converse(address, path, host)).await.ok()?.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200")?;
    Some(body.to_owned())
}

async fn converse(address: &str, path: &str, host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await?;
    Ok(answer)
}
