//! Requests, and sockets that stay open, while routes change all the time.

use std::sync::atomic::AtomicBool;

use tokio_tungstenite::tungstenite::Message;

use super::clients::{Client, worded};
use super::websocket::echoing;
use super::*;

const CHANGES: i64 = 1000;

/// Asks until told to stop, at least so often; each time over a new connection where `renews`.
async fn ask_on(house: &House, is_http2: bool, renews: bool, least: usize, stop: &AtomicBool) -> usize {
    let mut client = Client::open(house, "steady.qa.example", is_http2).await;
    let mut asked = 0;
    while asked < least || !stop.load(Ordering::Relaxed) {
        if renews {
            client = Client::open(house, "steady.qa.example", is_http2).await;
        }
        assert_eq!(client.get("steady.qa.example").await, (200, "steady".to_owned()));
        asked += 1;
    }
    asked
}

async fn change(house: &House, stop: &AtomicBool, routes: impl Fn(i64) -> Vec<(&'static str, i64, Answer)>) {
    for generation in 1..=CHANGES {
        house.publish(&routes(generation));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_no_socket_closes_while_other_branches_change() {
    let house = House::new(true).await;
    let (steady, other, socket) = (worded("steady").await, worded("other").await, echoing().await);
    let routes = |generation: i64| {
        let changing = match generation % 4 {
            0 => page(Phase::Asleep, "it sleeps"),
            1 => Answer::Replacing(None),
            2 => Answer::Replacing(Some(other.clone())),
            _ => Answer::Proxy(other.clone()),
        };
        vec![
            ("steady", 1, Answer::Proxy(steady.clone())),
            ("socket", 1, Answer::Proxy(socket.clone())),
            ("other", generation, changing),
        ]
    };
    house.publish(&routes(0));
    let stream = house.tls("socket.qa.example", &[b"http/1.1"]).await.unwrap();
    let (mut open, _) = tokio_tungstenite::client_async("ws://socket.qa.example/", stream).await.unwrap();
    let stop = AtomicBool::new(false);
    let ((), first, second, third, fourth, fifth, sixth) = tokio::join!(
        change(&house, &stop, routes),
        ask_on(&house, false, false, 5000, &stop),
        ask_on(&house, false, false, 5000, &stop),
        ask_on(&house, true, false, 5000, &stop),
        ask_on(&house, true, false, 5000, &stop),
        ask_on(&house, false, true, 150, &stop),
        ask_on(&house, true, true, 150, &stop),
    );
    assert!(first + second + third + fourth + fifth + sixth >= 20_000);
    open.send(Message::text("still there")).await.unwrap();
    assert_eq!(open.next().await.unwrap().unwrap(), Message::text("still there"));
}

/// The branch that is asked for moves itself, from one container to the next and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_its_own_branch_moves() {
    let house = House::new(true).await;
    let (one, two) = (worded("steady").await, worded("steady").await);
    let routes = |generation: i64| {
        let upstream = if generation % 2 == 0 { one.clone() } else { two.clone() };
        vec![("steady", generation, Answer::Proxy(upstream))]
    };
    house.publish(&routes(0));
    let stop = AtomicBool::new(false);
    let ((), first, second, third) = tokio::join!(
        change(&house, &stop, routes),
        ask_on(&house, false, false, 1000, &stop),
        ask_on(&house, true, false, 1000, &stop),
        ask_on(&house, true, true, 50, &stop),
    );
    assert!(first + second + third >= 2050);
}
