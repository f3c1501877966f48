//! Deliveries to a daemon that is killed again and again: what was answered is there, once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::checker;
use crate::harness::{REPO, SECRET, World, run};

const DELIVERIES: usize = 1000;
const KILLS: usize = 20;
const SENDERS: usize = 4;
/// All of them together, and any one of them. A sender that went on for ever would hide why the test failed.
const WITHIN: Duration = Duration::from_secs(240);

#[test]
fn every_delivery_that_was_answered_is_there_once_however_often_the_daemon_dies() {
    let files = [("compose.yaml", "services: {web: {image: drey-demo/tiny:1, expose: [8080]}}\n")];
    let mut world = World::new("deliveries", &files);
    let (next, answered, begin) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let port = world.http_port();
    let again = std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|_| scope.spawn(|| send_all(port, &next, &answered))).collect();
        for kill in 1..=KILLS {
            // Some deliveries are always on their way then.
            let enough = kill * DELIVERIES / (KILLS + 1) + random(20);
            while answered.load(Ordering::Relaxed) < enough {
                assert!(begin.elapsed() < WITHIN, "the deliveries do not get through");
                std::thread::sleep(Duration::from_micros(200));
            }
            world.kill();
            world.start();
        }
        senders.into_iter().map(|sender| sender.join().unwrap()).sum::<usize>()
    });
    world.kill();
    println!("{KILLS} kills, {again} deliveries sent again, {} s", begin.elapsed().as_secs());
    let database = world.path("data/drey.db");
    let ask = |sql: &str| {
        let script =
            "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())";
        run("python3", &["-c", script, &database, sql], std::path::Path::new("/")).trim().to_owned()
    };
    let events = "SELECT count(*), count(DISTINCT delivery_id), count(DISTINCT delivery) FROM event
                  WHERE delivery_id LIKE 'killed-%'";
    assert_eq!(ask(events), format!("{DELIVERIES} {DELIVERIES} {DELIVERIES}"));
    assert_eq!(
        ask("SELECT count(*) FROM delivery WHERE delivery_id LIKE 'killed-%'"),
        DELIVERIES.to_string()
    );
    world.start();
    checker::is_whole(&world, "after the kills", 30);
}

/// Takes one number after the other and sends it until it is answered; how often one had to be sent again.
fn send_all(port: u16, next: &AtomicUsize, answered: &AtomicUsize) -> usize {
    let mut again = 0;
    let begin = Instant::now();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= DELIVERIES {
            return again;
        }
        while status_of(port, number).is_none_or(|status| status != 202) {
            again += 1;
            assert!(begin.elapsed() < WITHIN, "delivery {number} does not get through");
            std::thread::sleep(Duration::from_millis(5));
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends a tag, signed; `None` where no answer came.
fn status_of(port: u16, number: usize) -> Option<u16> {
    let body = format!("{} {:040x} refs/tags/killed-{number}\n", "0".repeat(40), number + 1);
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = format!(
        "POST /hooks/git/{REPO} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
         x-drey-delivery: killed-{number}\r\nx-drey-signature-256: sha256={signature}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_whitespace().nth(1)?.parse().ok()
}

fn random(below: usize) -> usize {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    usize::try_from(nanos / 1000).unwrap() % below
}
