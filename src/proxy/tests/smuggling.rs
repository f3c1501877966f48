//! Requests that two servers might read in two ways: refused, and the container sees nothing of what follows.

use super::frames::{Came, Frames};
use super::*;

const HOST: &str = "Host: x.qa.example\r\n";
/// What an attacker hides: it must never arrive.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x.qa.example\r\n\r\n";

async fn target() -> (House, Arc<AtomicUsize>) {
    let house = House::new(true).await;
    let (upstream, count) = echo("target").await;
    house.publish(&[("x", 1, Answer::Proxy(upstream))]);
    (house, count)
}

/// Headers that follow `POST / HTTP/1.1` and the one right host, each with a body.
const AMBIGUOUS: &[(&str, &str)] = &[
    // Two ways to say how long it is.
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\nG"),
    ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
    ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ("Content-Length: 5, 5\r\n", "hello"),
    ("Content-Length: 5\r\nContent-length : 0\r\n", "hello"),
    // Lengths that are none.
    ("Content-Length: +5\r\n", "hello"),
    ("Content-Length: -1\r\n", "hello"),
    ("Content-Length: 0x5\r\n", "hello"),
    ("Content-Length: 5 \x0b\r\n", "hello"),
    ("Content-Length: 5;\r\n", "hello"),
    ("Content-Length:\r\n", ""),
    ("Content-Length: 18446744073709551621\r\n", "hello"),
    // Codings that are none, or more than one.
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding:\r\n", "0\r\n\r\n"),
    // Names that are none: blanks before the colon, folded lines, controls.
    ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"),
    (" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
    ("X: y\r\n\tz\r\n", ""),
    ("X\0: y\r\n", ""),
    ("X: y\0z\r\n", ""),
    ("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    (": y\r\n", ""),
    ("X\r\n", ""),
    ("X y: z\r\n", ""),
    // A bare line feed ends a line for some, not for others.
    ("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Content-Length: 5\n", "hello"),
    // More than one host.
    ("Host: y.qa.example\r\n", ""),
    ("Host: x.qa.example\r\n", ""),
    ("Host : y.qa.example\r\n", ""),
];

/// Whole heads.
const HEADS: &[&str] = &[
    "GET http://y.qa.example/ HTTP/1.1\r\nHost: x.qa.example\r\n\r\n",
    "GET http://x.qa.example@y.qa.example/ HTTP/1.1\r\nHost: x.qa.example\r\n\r\n",
    "GET x.qa.example/ HTTP/1.1\r\nHost: x.qa.example\r\n\r\n",
    "GET / HTTP/1.1\nHost: x.qa.example\n\n",
    "GET / HTTP/1.1\r\nHost: x.qa.example\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x.qa.example, y.qa.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x.qa.example/../y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: user@x.qa.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
    "GET /\0 HTTP/1.1\r\nHost: x.qa.example\r\n\r\n",
    "GET / x HTTP/1.1\r\nHost: x.qa.example\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: x.qa.example\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: x.qa.example\r\n\r\n",
    "GE\tT / HTTP/1.1\r\nHost: x.qa.example\r\n\r\n",
    "CONNECT x.qa.example:443 HTTP/1.1\r\nHost: x.qa.example:443\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: x.qa.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
];

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_hides_nothing() {
    let (house, count) = target().await;
    let posts =
        AMBIGUOUS.iter().map(|(headers, body)| format!("POST / HTTP/1.1\r\n{HOST}{headers}\r\n{body}"));
    let mut passed = Vec::new();
    for request in posts.chain(HEADS.iter().map(|head| (*head).to_owned())) {
        let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
        let both = format!("{request}{HIDDEN}");
        let asked = exchange(stream, &both);
        let answer = tokio::time::timeout(Duration::from_secs(2), asked).await.unwrap_or_default();
        if !answer.starts_with("HTTP/1.1 400") || answer.matches("HTTP/1.").count() != 1 {
            passed.push(format!("{request:?}: {answer:?}"));
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

/// What is wrong in a body is seen when its head is on its way already: the hidden request must not be.
#[tokio::test]
async fn chunks_that_are_none_end_the_connection() {
    let (house, count) = target().await;
    for body in [
        "5;a=\"\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n0 \r\nx",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
    ] {
        let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
        let before = count.load(Ordering::Relaxed);
        let answer = exchange(stream, &format!("{head}{body}{HIDDEN}")).await;
        assert!(!answer.contains("/hidden"), "{body:?}: {answer}");
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1 + answer.matches("POST / HTTP/1.1 ").count(),
            "{body:?}: {answer}"
        );
        assert!(count.load(Ordering::Relaxed) <= before + 1, "{body:?}");
    }
}

const PSEUDO: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":authority", "x.qa.example"), (":path", "/")];

#[tokio::test]
async fn http_2_carries_nothing_that_becomes_ambiguous_on_its_way() {
    let (house, count) = target().await;
    let added: &[&[(&str, &str)]] = &[
        &[("connection", "close")],
        &[("connection", "x-secret"), ("x-secret", "1")],
        &[("keep-alive", "timeout=5")],
        &[("proxy-connection", "keep-alive")],
        &[("upgrade", "websocket")],
        &[("transfer-encoding", "chunked")],
        &[("te", "chunked")],
        &[("host", "y.qa.example")],
        &[("host", "x.qa.example"), ("host", "x.qa.example")],
        &[("content-length", "4")],
        &[("content-length", "6")],
        &[("content-length", "5"), ("content-length", "6")],
        &[("content-length", "x")],
        &[("X-Upper", "1")],
        &[("x", "a\r\nTransfer-Encoding: chunked")],
        &[("x", "a\nb")],
        &[("x", "a\0b")],
        &[("x\r\ny", "a")],
        &[("x y", "a")],
        &[("x:", "a")],
        &[("", "a")],
        &[(":path", "/second")],
        &[(":unknown", "1")],
        &[(":status", "200")],
    ];
    let mut heads: Vec<Vec<(&str, &str)>> = added.iter().map(|more| [&PSEUDO[..], more].concat()).collect();
    let other = |name: &str, value: &'static str| {
        PSEUDO.map(|(own, text)| if own == name { (own, value) } else { (own, text) }).to_vec()
    };
    heads.extend([
        other(":authority", "y@x.qa.example"),
        other(":authority", "127.0.0.1"),
        other(":authority", ""),
        other(":path", ""),
        other(":path", "/ HTTP/1.1\r\nX: y\r\n\r\nGET /hidden"),
        other(":path", "no-slash"),
        other(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nPOST"),
        other(":method", ""),
        PSEUDO[1..].to_vec(),
        [&[("x", "before")], &PSEUDO[..]].concat(),
    ]);
    for head in heads {
        let mut frames = Frames::open(&house, "x.qa.example").await;
        let came = frames.ask(&head, &["hello"]).await;
        assert!(matches!(came, Came::Status(400) | Came::Reset | Came::Gone), "{head:?}: {came:?}");
        assert_eq!(count.load(Ordering::Relaxed), 0, "{head:?}");
    }
    let mut frames = Frames::open(&house, "x.qa.example").await;
    let whole = [&PSEUDO[..], &[("content-length", "5"), ("te", "trailers")]].concat();
    assert_eq!(frames.ask(&whole, &["hel", "lo"]).await, Came::Status(200));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
