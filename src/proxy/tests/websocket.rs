//! A socket through the proxy is the same as one without it.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;

const LARGE: usize = 16 * 1024 * 1024;

fn roomy() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(2 * LARGE)).max_frame_size(Some(2 * LARGE))
}

/// A container that sends back what it gets, whole.
pub(super) async fn echoing() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("echoing", async move {
        while let Ok((stream, _)) = listener.accept().await {
            Supervisor::new().spawn("echoing connection", async move {
                let accepted = tokio_tungstenite::accept_async_with_config(stream, Some(roomy())).await;
                let mut socket = accepted.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    let echoed = message.is_text() || message.is_binary();
                    if echoed && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Upstream::new(address, Scheme::Http, "echoing")
}

fn piece(kind: Data, bytes: &[u8], is_final: bool) -> Message {
    Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(kind), is_final))
}

fn closing(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() }))
}

/// What is sent, one socket each.
fn conversations() -> Vec<Vec<Message>> {
    let text = "größe ✓ ".repeat(1000);
    let large: Vec<u8> = (0..LARGE).map(|number| number.to_le_bytes()[0]).collect();
    let bytes = |length: usize| Message::binary(vec![7; length]);
    let fragments = vec![
        piece(Data::Text, b"fra", false),
        Message::Ping("between".into()),
        piece(Data::Continue, "g\u{fc}".as_bytes(), false),
        Message::Pong("nobody asked".into()),
        Message::Ping(vec![0; 125].into()),
        piece(Data::Continue, b"", false),
        piece(Data::Continue, b"ments", true),
        closing(1000, "done"),
    ];
    let mut all = vec![
        vec![Message::text(text), bytes(0), Message::text(""), closing(1000, "")],
        [0, 1, 125, 126, 127, 65_535, 65_536, 65_537]
            .map(bytes)
            .into_iter()
            .chain([closing(1001, "away")])
            .collect(),
        fragments,
        large
            .chunks(1 << 20)
            .enumerate()
            .map(|(number, chunk)| {
                let kind = if number == 0 { Data::Binary } else { Data::Continue };
                piece(kind, chunk, (number + 1) << 20 == LARGE)
            })
            .chain([closing(1000, "")])
            .collect(),
        vec![Message::binary(large), closing(4999, "large")],
        // Against the rules: a continuation of nothing, and a fragmented ping.
        vec![piece(Data::Continue, b"of nothing", true)],
        vec![Message::Close(None)],
        (0..200).map(|number| Message::text(format!("{number}"))).chain([closing(3000, "many")]).collect(),
    ];
    all.extend([1000, 1002, 1003, 1007, 1008, 1011, 3999, 4000].map(|code| vec![closing(code, "why")]));
    all
}

/// All that comes back, with the end.
async fn hold<S: AsyncRead + AsyncWrite + Unpin>(stream: S, said: Vec<Message>) -> Vec<String> {
    let url = "ws://x.qa.example/";
    let (socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(roomy())).await.unwrap();
    let (mut writer, mut reader): (_, futures_util::stream::SplitStream<WebSocketStream<S>>) = socket.split();
    let speaking = async {
        for message in said {
            if writer.send(message).await.is_err() {
                return;
            }
        }
    };
    let listening = async {
        let mut heard = Vec::new();
        while let Some(message) = reader.next().await {
            let ended = message.is_err();
            heard.push(match message {
                Ok(Message::Binary(bytes)) => format!(
                    "{} bytes {:?}",
                    bytes.len(),
                    bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()
                ),
                Ok(other) => format!("{other:?}"),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => "closed".to_owned(),
                Err(error) => format!("broken: {error}"),
            });
            if ended {
                break;
            }
        }
        heard
    };
    let both = async { tokio::join!(speaking, listening) };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("an end").1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conversation_is_the_same_as_without_a_proxy() {
    let house = House::new(true).await;
    let upstream = echoing().await;
    house.publish(&[("x", 1, Answer::Proxy(upstream.clone()))]);
    for (number, said) in conversations().into_iter().enumerate() {
        let direct = hold(TcpStream::connect(upstream.address).await.unwrap(), said.clone()).await;
        let through = hold(house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap(), said).await;
        assert!(!direct.is_empty(), "{number}");
        assert_eq!(through, direct, "{number}");
    }
}
