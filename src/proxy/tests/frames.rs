//! HTTP/2 frame by frame: what no well-behaved client library would send.

use tokio_rustls::client::TlsStream;

use super::*;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// What came back for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Status(u16),
    /// The stream was refused.
    Reset,
    /// The whole connection was.
    Gone,
}

/// A connection that writes frames as it is told.
pub(super) struct Frames {
    stream: TlsStream<TcpStream>,
}

impl Frames {
    pub(super) async fn open(house: &House, name: &'static str) -> Self {
        let mut stream = house.tls(name, &[b"h2"]).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Self { stream };
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// A request on stream 1, as it stands: its headers, then the pieces of its body.
    pub(super) async fn ask(&mut self, headers: &[(&str, &str)], body: &[&str]) -> Came {
        let block: Vec<u8> = headers.iter().flat_map(|(name, value)| literal(name, value)).collect();
        let ends = if body.is_empty() { END_STREAM } else { 0 };
        self.send(HEADERS, END_HEADERS | ends, 1, &block).await;
        for (number, piece) in body.iter().enumerate() {
            let ends = if number + 1 == body.len() { END_STREAM } else { 0 };
            self.send(DATA, ends, 1, piece.as_bytes()).await;
        }
        let came = tokio::time::timeout(Duration::from_secs(10), self.answer()).await;
        came.expect("an answer")
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The other side may have refused already.
        self.stream.write_all(&frame).await.ok();
    }

    async fn answer(&mut self) -> Came {
        loop {
            let mut head = [0; 9];
            if self.stream.read_exact(&mut head).await.is_err() {
                return Came::Gone;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if self.stream.read_exact(&mut payload).await.is_err() {
                return Came::Gone;
            }
            match head[3] {
                HEADERS => return Came::Status(status(&payload)),
                RST_STREAM => return Came::Reset,
                GOAWAY => return Came::Gone,
                _ => {}
            }
        }
    }
}

/// A header without compression, not to be remembered (RFC 7541, 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The status, from the static table or spelled out (RFC 7541, appendix A).
fn status(block: &[u8]) -> u16 {
    match block[0] {
        0x88 => 200,
        0x8c => 400,
        0x8d => 404,
        other => panic!("a block that begins with {other:#x}"),
    }
}
