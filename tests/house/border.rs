//! The port of the webhooks, as strangers find it: over real connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use drey::domain::event::EventKind;
use drey::domain::names::RepoName;
use drey::domain::network::Network;
use drey::store::EventFilter;
use drey::web::{BorderRules, Served, Web};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{TestHouse, eventually, in_house, repo};

const SECRET: &[u8] = b"the secret of shop";
/// As a stranger would sign.
const FORGED: &[u8] = b"a guess";

fn rules() -> BorderRules {
    BorderRules { trusted_proxies: Vec::new(), rate_per_address: 20, rate_per_repository: 1000 }
}

/// Opens the port of a house, in which `shop` has a secret and `mute` has none.
async fn opened(house: &TestHouse, border: BorderRules) -> SocketAddr {
    let served = Served {
        secrets: BTreeMap::from([(repo(), SECRET.to_vec())]),
        projects: BTreeMap::new(),
        repositories: BTreeMap::from([
            (repo(), serde_json::json!({})),
            (RepoName::parse("mute").unwrap(), serde_json::json!({})),
        ]),
        border,
        traefik: None,
        public_url: None,
    };
    let folder = house.folder.path().to_owned();
    let web = Web::new(house.orchestrator.clone(), served, folder, Box::new(|_| String::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    web.serve_tcp(listener);
    address
}

/// One delivery.
struct Delivery<'a> {
    repo: &'a str,
    id: &'a str,
    secret: &'a [u8],
    body: &'a [u8],
    headers: &'a str,
}

impl<'a> Delivery<'a> {
    fn of(id: &'a str, secret: &'a [u8], body: &'a [u8]) -> Self {
        Self { repo: "shop", id, secret, body, headers: "" }
    }

    fn head(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).unwrap();
        mac.update(self.body);
        let signature = hex::encode(mac.finalize().into_bytes());
        format!(
            "POST /hooks/git/{} HTTP/1.1\r\nHost: drey\r\nContent-Length: {}\r\nX-Drey-Delivery: {}\r\n\
             X-Drey-Signature-256: sha256={signature}\r\n{}\r\n",
            self.repo,
            self.body.len(),
            self.id,
            self.headers
        )
    }

    /// Over a connection of its own: status, head and body of the answer. None where there was no answer.
    async fn send(&self, to: SocketAddr) -> Option<(u16, String, String)> {
        let mut stream = TcpStream::connect(to).await.ok()?;
        let head = self.head().replace("Host: drey\r\n", "Host: drey\r\nConnection: close\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        // Whoever is refused early need not be listened to.
        stream.write_all(self.body).await.ok();
        answer(&mut stream).await
    }

    async fn status(&self, to: SocketAddr) -> u16 {
        self.send(to).await.map_or(0, |(status, ..)| status)
    }
}

async fn answer(stream: &mut TcpStream) -> Option<(u16, String, String)> {
    let mut bytes = Vec::new();
    // A connection that is reset after the answer has still given it.
    stream.read_to_end(&mut bytes).await.ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, head.to_lowercase(), body.to_owned()))
}

/// What git says of a branch that nobody is interested in: a tag.
fn tag(number: usize) -> Vec<u8> {
    let (zero, commit) = ("0".repeat(40), format!("{number:040x}"));
    format!("{zero} {} refs/tags/v{number}\n", commit.replacen('0', "a", 1)).into_bytes()
}

/// Deliveries that are stored.
async fn stored(house: &TestHouse) -> usize {
    let filter = EventFilter { limit: 100_000, ..Default::default() };
    let events = house.orchestrator.house().store.events(&filter).await.unwrap();
    events.iter().filter(|event| matches!(event.kind, EventKind::TagCreated { .. })).count()
}

#[tokio::test]
async fn nobody_learns_which_repositories_there_are() {
    in_house(|house| async move {
        let to = opened(&house, rules()).await;
        let body = tag(1);
        let mut answers = Vec::new();
        for repo in ["shop", "mute", "unknown", "UP%20per"] {
            let (status, head, told) =
                Delivery { repo, ..Delivery::of("1", FORGED, &body) }.send(to).await.unwrap();
            assert_eq!(status, 401, "{repo}");
            let without = |text: &str, word: &str| -> String {
                text.lines().filter(|line| !line.starts_with(word)).collect()
            };
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            answers
                .push((without(&without(&head, "date"), "content-length"), told["error"]["message"].clone()));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        // One that is configured without a secret takes nothing, whatever is signed with.
        for secret in [SECRET, b""] {
            let delivery = Delivery { repo: "mute", ..Delivery::of("1", secret, &body) };
            assert_eq!(delivery.status(to).await, 401);
        }
        assert_eq!(stored(&house).await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_signature_is_over_the_bytes_and_comes_before_all_reading() {
    in_house(|house| async move {
        let to = opened(&house, rules()).await;
        // What cannot be read is not even looked at without a signature.
        assert_eq!(Delivery::of("1", FORGED, b"\xff\x00{").status(to).await, 401);
        assert_eq!(Delivery::of("1", SECRET, b"\xff\x00{").status(to).await, 400);
        let body = tag(1);
        let head = Delivery::of("1", SECRET, &body).head();
        let changed = [&body[..body.len() - 2], b"2\n"].concat();
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(head.replace("Host", "Connection: close\r\nHost").as_bytes()).await.unwrap();
        stream.write_all(&changed).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().0, 401);
        // In pieces, in chunks: the bytes count, not how they come.
        let mut stream = TcpStream::connect(to).await.unwrap();
        let head = Delivery::of("2", SECRET, &body).head();
        let length = format!("Content-Length: {}", body.len());
        stream
            .write_all(head.replace(&length, "Connection: close\r\nTransfer-Encoding: chunked").as_bytes())
            .await
            .unwrap();
        for part in body.chunks(7) {
            let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
            stream.write_all(&chunk).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().0, 202);
        assert_eq!(stored(&house).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_comes_again_does_nothing() {
    in_house(|house| async move {
        let to = opened(&house, rules()).await;
        let body = tag(1);
        let first = Delivery::of("same", SECRET, &body).send(to).await.unwrap();
        let second = Delivery::of("same", SECRET, &body).send(to).await.unwrap();
        assert_eq!((first.0, &first.2), (202, &second.2));
        assert_eq!((second.0, stored(&house).await), (202, 1));
    })
    .await;
}

#[tokio::test]
async fn what_is_no_plain_body_is_refused() {
    in_house(|house| async move {
        let to = opened(&house, rules()).await;
        let body = tag(1);
        let form = b"payload=%7B%7D".as_slice();
        for (headers, body, status) in [
            ("Content-Encoding: gzip\r\n", body.as_slice(), 415),
            ("Content-Type: multipart/form-data; boundary=x\r\n", &body, 415),
            ("Content-Type: application/x-www-form-urlencoded\r\n", form, 415),
            // So curl and others call every body that nobody gave a name.
            ("Content-Type: application/x-www-form-urlencoded\r\n", &body, 202),
        ] {
            let delivery = Delivery { headers, ..Delivery::of("1", SECRET, body) };
            assert_eq!(delivery.status(to).await, status, "{headers}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_has_its_limit_whatever_it_announces() {
    in_house(|house| async move {
        let to = opened(&house, rules()).await;
        let large = vec![b'a'; 25 * 1024 * 1024 + 1];
        let (status, ..) = Delivery::of("1", SECRET, &large).send(to).await.unwrap();
        assert_eq!(status, 413, "by what it announces");
        let mut stream = TcpStream::connect(to).await.unwrap();
        let head =
            Delivery::of("2", SECRET, b"").head().replace("Content-Length: 0", "Transfer-Encoding: chunked");
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = [b"100000\r\n".as_slice(), &large[..1 << 20], b"\r\n"].concat();
        for _ in 0..30 {
            if stream.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let answered = answer(&mut stream).await;
        assert!(answered.is_none_or(|(status, ..)| status == 413), "by what came");
        assert_eq!(Delivery::of("3", SECRET, &tag(1)).status(to).await, 202);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_fails_often_is_held_back_and_its_good_deliveries_are_not() {
    in_house(|house| async move {
        let to = opened(&house, BorderRules { rate_per_address: 3, ..rules() }).await;
        let body = tag(1);
        let forged = (0..40).map(|_| async { Delivery::of("x", FORGED, &body).send(to).await.unwrap() });
        let answers = futures_util::future::join_all(forged).await;
        let held_back: Vec<_> = answers.iter().filter(|(status, ..)| *status == 429).collect();
        assert!(held_back.len() >= 30, "{}", held_back.len());
        assert!(held_back.iter().all(|(_, head, _)| head.contains("retry-after: 1")));
        assert!(answers.iter().all(|(status, ..)| matches!(status, 401 | 429)));
        let flood = (0..10).map(|_| async { Delivery::of("x", FORGED, &body).status(to).await });
        let honest = async {
            for number in 0..10 {
                let (id, body) = (number.to_string(), tag(number));
                assert_eq!(Delivery::of(&id, SECRET, &body).status(to).await, 202);
            }
        };
        tokio::join!(futures_util::future::join_all(flood), honest);
        assert_eq!(stored(&house).await, 10);
    })
    .await;
}

#[tokio::test]
async fn a_repository_has_its_rate_and_strangers_do_not_use_it_up() {
    in_house(|house| async move {
        let border = BorderRules { rate_per_address: 1000, rate_per_repository: 5, ..rules() };
        let to = opened(&house, border).await;
        let body = tag(1);
        for _ in 0..20 {
            assert_eq!(Delivery::of("x", FORGED, &body).status(to).await, 401);
        }
        let ids: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        let sent = ids.iter().map(|id| async { Delivery::of(id, SECRET, &body).send(to).await.unwrap() });
        let answers = futures_util::future::join_all(sent).await;
        let taken = answers.iter().filter(|(status, ..)| *status == 202).count();
        assert!((5..30).contains(&taken), "{taken}");
        let refused = answers.iter().find(|(status, ..)| *status != 202).unwrap();
        assert_eq!(refused.0, 429);
        assert!(refused.1.contains("retry-after: 1"), "{}", refused.1);
        assert_eq!(stored(&house).await, taken);
    })
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_count() {
    in_house(|house| async move {
        let trusted_proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
        let to = opened(&house, BorderRules { trusted_proxies, rate_per_address: 2, ..rules() }).await;
        let body = tag(1);
        let from = |client: &'static str| Delivery { headers: client, ..Delivery::of("x", FORGED, &body) };
        let noisy = (0..20).map(|_| async { from("X-Forwarded-For: 203.0.113.1\r\n").status(to).await });
        assert!(futures_util::future::join_all(noisy).await.contains(&429));
        assert_eq!(from("X-Forwarded-For: 203.0.113.2\r\n").status(to).await, 401);
    })
    .await;
    in_house(|house| async move {
        let to = opened(&house, BorderRules { rate_per_address: 2, ..rules() }).await;
        let body = tag(1);
        let clients: Vec<String> = (0..20).map(|it| format!("X-Forwarded-For: 203.0.113.{it}\r\n")).collect();
        let sent = clients.iter().map(|headers| async {
            Delivery { headers, ..Delivery::of("x", FORGED, &body) }.status(to).await
        });
        assert!(futures_util::future::join_all(sent).await.contains(&429), "nobody is believed");
    })
    .await;
}

#[tokio::test]
async fn whoever_says_nothing_keeps_nobody_out() {
    in_house(|house| async move {
        let to = opened(&house, rules()).await;
        let body = tag(1);
        let mut silent = Vec::new();
        for number in 0..600 {
            let Ok(mut stream) = TcpStream::connect(to).await else { break };
            let head = Delivery::of("x", FORGED, &[b'a'; 5000]).head();
            let begin = if number % 2 == 0 { head.as_bytes() } else { &head.as_bytes()[..20] };
            stream.write_all(begin).await.ok();
            silent.push(stream);
        }
        assert_eq!(Delivery::of("1", SECRET, &body).status(to).await, 202);
        drop(silent);
    })
    .await;
}

/// Thousand forged deliveries at once, again and again, and honest ones beside them. `DREY_HOSTILE=full`: for a minute,
/// which leaves other tests no processor: `--test-threads=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_flood_of_forged_deliveries_every_honest_one_is_taken() {
    let is_full = std::env::var_os("DREY_HOSTILE").is_some_and(|value| value == "full");
    let time = Duration::from_secs(if is_full { 60 } else { 3 });
    in_house(|house| async move {
        let to = opened(&house, rules()).await;
        let end = Instant::now() + time;
        let mut flood = tokio::task::JoinSet::new();
        for number in 0..1000 {
            flood.spawn(async move {
                let (body, mut sent) = (tag(number), 0);
                let repo = if number % 3 == 0 { "unknown" } else { "shop" };
                while Instant::now() < end {
                    let status = Delivery { repo, ..Delivery::of("x", FORGED, &body) }.status(to).await;
                    assert!(matches!(status, 0 | 401 | 429), "{status}");
                    sent += 1;
                }
                sent
            });
        }
        let (mut times, mut number) = (Vec::new(), 0);
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while Instant::now() < end {
            let begun = Instant::now();
            let (id, body) = (format!("honest-{number}"), tag(number));
            assert_eq!(Delivery::of(&id, SECRET, &body).status(to).await, 202);
            times.push(begun.elapsed());
            number += 1;
            pace.tick().await;
        }
        let forged: usize = flood.join_all().await.into_iter().sum();
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        println!("{} honest, {forged} forged in {time:?}: p99 {} ms", times.len(), p99.as_millis());
        eventually("all honest ones are stored", || async { stored(&house).await == number }).await;
    })
    .await;
}
