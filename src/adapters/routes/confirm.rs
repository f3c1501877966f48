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
    let answer = tokio::time::timeout(LIMIT, converse(address)).await.ok()?.ok()?;
    let (head, mark) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200")?;
    Some(mark.trim().to_owned())
}

async fn converse(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /generation HTTP/1.0\r\nHost: drey-confirm\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await?;
    Ok(answer)
}
