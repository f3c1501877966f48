//! A fuzz of WebSocket tunnels: whatever either end sends, allowed or not, the other one gets just that and in just that order,
//! and each conversation comes to the end that it has without a proxy.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::*;
use dice::Dice;
use frames::{Piece, Side, close};

mod dice;
mod frames;
mod python;
mod table;

const HEAD: &str = "GET /socket HTTP/1.1\r\nHost: x.qa.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const GRANTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const LIMIT: Duration = Duration::from_secs(30);
/// Conversations of random bytes.
const ROUNDS: u64 = 120;

/// A container that keeps to the rules: it echoes messages, and ends with the code that a breach of them has.
async fn strict() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, "strict");
    Supervisor::new().spawn("strict", async move {
        while let Ok((stream, _)) = listener.accept().await {
            Supervisor::new().spawn("strict connection", async move {
                let large = Some(32 << 20);
                let config = WebSocketConfig::default().max_message_size(large).max_frame_size(large);
                let accepted = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await;
                converse(accepted.unwrap()).await;
            });
        }
    });
    upstream
}

async fn converse(mut socket: WebSocketStream<TcpStream>) {
    let breach = loop {
        match socket.next().await {
            Some(Ok(message)) if message.is_text() || message.is_binary() => {
                if socket.send(message).await.is_err() {
                    break None;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    let code = breach.as_ref().and_then(code_of);
    let stream = socket.get_mut();
    if let Some(code) = code {
        let mut reason = breach.map(|error| error.to_string()).unwrap_or_default();
        reason.truncate(120);
        stream.write_all(&close(code, reason).bytes(Side::Server)).await.ok();
    }
    stream.shutdown().await.ok();
    // To the end, or what it said last might be lost with the connection.
    tokio::io::copy(stream, &mut tokio::io::sink()).await.ok();
}

fn code_of(breach: &Error) -> Option<u16> {
    let is = [
        (matches!(breach, Error::Protocol(_)), 1002),
        (matches!(breach, Error::Utf8(_)), 1007),
        (matches!(breach, Error::Capacity(_)), 1009),
    ];
    is.into_iter().find_map(|(is, code)| is.then_some(code))
}

/// Asks for a socket and returns when it is granted.
async fn open(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    let head = head_of(stream).await;
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
}

async fn head_of(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
    head
}

/// Says all of it, closes its half, and returns all that comes back until the other half is closed.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, said: &[Piece]) -> Vec<u8> {
    open(&mut stream).await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let speaking = async {
        for piece in said {
            // Whoever hears no more has closed, and said why.
            if writer.write_all(&piece.bytes(Side::Client)).await.is_err() {
                return;
            }
        }
        writer.shutdown().await.ok();
    };
    let mut heard = Vec::new();
    let both = async { tokio::join!(speaking, reader.read_to_end(&mut heard)).1 };
    tokio::time::timeout(LIMIT, both).await.expect("an end").expect("a clean one");
    heard
}

/// The codes and reasons are in what is heard: the last frame is the server's close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_breach_of_the_rules_ends_as_without_a_proxy() {
    let (house, plain) = (House::new(true).await, House::new(false).await);
    let upstream = strict().await;
    house.publish(&[("x", 1, Answer::Proxy(upstream.clone()))]);
    plain.publish(&[("x", 1, Answer::Proxy(upstream.clone()))]);
    let cases = table::cases();
    assert!(cases.len() > 150, "{}", cases.len());
    for (number, table::Case { name, said }) in cases.iter().enumerate() {
        let direct = say(TcpStream::connect(upstream.address).await.unwrap(), said).await;
        let through = if number % 2 == 0 {
            say(house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap(), said).await
        } else {
            say(TcpStream::connect(plain.proxy.http_address().unwrap()).await.unwrap(), said).await
        };
        let told = |heard: &[u8]| format!("{} bytes, {:?}", heard.len(), heard.last_chunk::<32>());
        assert!(through == direct, "{name}: {} instead of {}", told(&through), told(&direct));
    }
}

/// What one end does in a conversation that knows no rules.
struct Script {
    chunks: Vec<Vec<u8>>,
    /// Hears the other one out before it closes its half.
    closes_last: bool,
}

impl Script {
    /// Frames of the table and bytes that are none, cut anywhere.
    fn thrown(dice: &mut Dice, cases: &[table::Case], side: Side, closes_last: bool) -> Self {
        let mut bytes = Vec::new();
        for _ in 0..dice.below(12) {
            let case = &cases[dice.below(cases.len())];
            for piece in &case.said {
                bytes.extend(piece.bytes(side));
            }
            let garbage = if dice.one_in(3) { dice.below(40) } else { 0 };
            bytes.extend((0..garbage).map(|_| dice.byte()));
        }
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let length = if dice.one_in(4) { 1 } else { 1 + dice.below(100_000) };
            let rest = bytes.split_off(length.min(bytes.len()));
            chunks.push(std::mem::replace(&mut bytes, rest));
        }
        Self { chunks, closes_last }
    }

    fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    /// Returns what was heard.
    async fn play(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Vec<u8> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (over, is_over) = oneshot::channel();
        let mut heard = Vec::new();
        let listening = async {
            reader.read_to_end(&mut heard).await.expect("a clean end");
            over.send(()).ok();
        };
        let speaking = async {
            for chunk in &self.chunks {
                writer.write_all(chunk).await.expect("somebody who hears");
                writer.flush().await.expect("somebody who hears");
            }
            if self.closes_last {
                is_over.await.ok();
            }
            writer.shutdown().await.ok();
        };
        tokio::join!(listening, speaking);
        heard
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_is_changed_whatever_it_means_and_whoever_closes_first() {
    let house = House::new(true).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, "raw");
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    // Without the largest: many short conversations find more than few long ones.
    let mut cases = table::cases();
    cases.retain(|case| {
        case.said.iter().map(|piece| piece.bytes(Side::Client).len()).sum::<usize>() < 100_000
    });
    for seed in 0..ROUNDS {
        let mut dice = Dice::new(seed);
        let client_closes_last = dice.one_in(2);
        let client = Script::thrown(&mut dice, &cases, Side::Client, client_closes_last);
        let server = Script::thrown(&mut dice, &cases, Side::Server, !client_closes_last);
        let visiting = async {
            let mut stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
            open(&mut stream).await;
            client.play(stream).await
        };
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            head_of(&mut stream).await;
            // The first frames come in the same packet as the head.
            let first = server.chunks.first().map_or(&[][..], Vec::as_slice);
            stream.write_all(&[GRANTED, first].concat()).await.unwrap();
            let rest = Script { chunks: server.chunks.iter().skip(1).cloned().collect(), ..server };
            (rest.play(stream).await, [first, &rest.bytes()].concat())
        };
        let both = async { tokio::join!(visiting, serving) };
        let (by_client, (by_server, from_server)) =
            tokio::time::timeout(LIMIT, both).await.unwrap_or_else(|_| panic!("seed {seed} has no end"));
        assert!(by_server == client.bytes(), "seed {seed}: what the container got");
        assert!(by_client == from_server, "seed {seed}: what the client got");
    }
}
