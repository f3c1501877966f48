//! What becomes of tunnels when an environment is deployed anew, and when the daemon ends.

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::*;

/// A container that echoes WebSocket messages until it is ended, and tells with which code it was left.
async fn websocket(
    word: &'static str,
) -> (Upstream, CancellationToken, tokio::sync::mpsc::UnboundedReceiver<u16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(listener.local_addr().unwrap(), Scheme::Http, word);
    let ending = CancellationToken::new();
    let ended = ending.clone();
    let (codes, told) = tokio::sync::mpsc::unbounded_channel();
    Supervisor::new().spawn("container", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (ended, codes) = (ended.clone(), codes.clone());
            Supervisor::new().spawn("container connection", async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                let echo = async {
                    while let Some(Ok(message)) = socket.next().await {
                        if let Message::Close(Some(frame)) = &message {
                            codes.send(frame.code.into()).ok();
                        }
                        socket.send(message).await.ok();
                    }
                };
                tokio::select! {
                    () = echo => {}
                    () = ended.cancelled() => {}
                }
            });
        }
    });
    (upstream, ending, told)
}

async fn visitor(house: &House) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(house.proxy.http_address().unwrap()).await.unwrap();
    tokio_tungstenite::client_async("ws://x.qa.example/", stream).await.unwrap().0
}

async fn is_echoed(socket: &mut WebSocketStream<TcpStream>, text: &str) -> bool {
    let message = Message::text(text);
    socket.send(message.clone()).await.is_ok()
        && matches!(socket.next().await, Some(Ok(answer)) if answer == message)
}

#[tokio::test]
async fn a_tunnel_outlives_the_route_and_ends_with_its_container() {
    let house = House::new(false).await;
    let (first, end_first, _) = websocket("first").await;
    let (second, _keep, _) = websocket("second").await;
    house.publish(&[("x", 1, Answer::Proxy(first.clone()))]);
    let mut before = visitor(&house).await;
    assert!(is_echoed(&mut before, "one").await);
    house.publish(&[("x", 2, Answer::Replacing(Some(first)))]);
    assert!(is_echoed(&mut before, "while it is replaced").await);
    house.publish(&[("x", 2, Answer::Proxy(second))]);
    assert!(is_echoed(&mut before, "its container still runs").await);
    let mut after = visitor(&house).await;
    end_first.cancel();
    assert!(!matches!(before.next().await, Some(Ok(_))), "its container is gone");
    assert!(is_echoed(&mut after, "two").await);
}

#[tokio::test]
async fn at_the_end_a_tunnel_has_its_grace_and_both_sides_are_told() {
    let house =
        House::within(false, Limits { tunnel_grace: Duration::from_millis(600), ..Limits::new() }).await;
    let (upstream, _keep, mut told) = websocket("told").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    let mut socket = visitor(&house).await;
    assert!(is_echoed(&mut socket, "before").await);
    house.supervisor.drain();
    let finished = {
        let supervisor = house.supervisor.clone();
        let (done, finished) = tokio::sync::oneshot::channel();
        Supervisor::new().spawn("end", async move {
            done.send(supervisor.finish(Duration::from_secs(30)).await).ok();
        });
        finished
    };
    for number in 0..3 {
        assert!(is_echoed(&mut socket, &format!("in the grace {number}")).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
    assert_eq!(told.recv().await, Some(1001));
    finished.await.unwrap();
}

#[tokio::test]
async fn who_is_with_an_environment_that_lies_down_is_told_and_who_comes_later_stays() {
    let house = House::new(false).await;
    let (upstream, _keep, mut told) = websocket("told").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream.clone()))]);
    let mut socket = visitor(&house).await;
    assert!(is_echoed(&mut socket, "before").await);
    house.publish(&[("x", 1, page(Phase::Asleep, ""))]);
    house.proxy.dismiss(EnvironmentId(1)).await;
    assert_eq!(house.proxy.presence(EnvironmentId(1)).tunnels, 0, "all are over when it returns");
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
    assert_eq!(told.recv().await, Some(1001));
    house.publish(&[("x", 2, Answer::Proxy(upstream))]);
    let mut later = visitor(&house).await;
    assert!(is_echoed(&mut later, "after it woke").await);
    house.proxy.dismiss(EnvironmentId(7)).await;
    assert!(is_echoed(&mut later, "another one lay down").await);
}

#[tokio::test]
async fn a_large_message_is_not_cut_by_the_end() {
    let house = House::within(false, Limits { tunnel_grace: Duration::ZERO, ..Limits::new() }).await;
    let (upstream, _keep, _) = websocket("large").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    // The head of a frame and a part of it; the rest comes when the end has begun.
    let mut stream = visitor(&house).await.into_inner();
    let mut frame = vec![0x82, 0x80 | 127];
    frame.extend(300_000_u64.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(vec![7; 300_000]);
    stream.write_all(&frame[..1000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.supervisor.drain();
    let supervisor = house.supervisor.clone();
    Supervisor::new().spawn("end", async move {
        supervisor.finish(Duration::from_secs(30)).await;
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(&frame[1000..]).await.unwrap();
    let mut received = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut received)).await.unwrap().ok();
    // What comes back was ended at a border: the farewell, alone or behind the whole echo.
    let mut frames = crate::proxy::frames::Frames::default();
    frames.pass(&received);
    assert!(frames.is_at_border() && received.ends_with(&[0x88, 0x02, 0x03, 0xe9]), "{}", received.len());
}
