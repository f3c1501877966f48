//! Names at random, in the handshake, the target and the header: no answer comes from an environment that was not named.

use super::clients::{Client, worded};
use super::*;

const WORDS: [&str; 6] = ["alpha", "beta", "gamma", "delta", "alpha--api", "x"];
const NAMES: [&str; 4] = ["alpha.qa.example", "beta.qa.example", "nobody.qa.example", "qa.example"];
const PAIRS: usize = 10_000;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    /// A way to write a host, and whom it names.
    fn host(&mut self) -> (String, Option<&'static str>) {
        let word = WORDS[self.roll(WORDS.len())];
        let plain = format!("{word}.qa.example");
        match self.roll(12) {
            0 => (plain.to_uppercase(), Some(word)),
            1 => (format!("{plain}:8443"), Some(word)),
            2 => (format!("{plain}."), Some(word)),
            3 => (format!("{word}x.qa.example"), None),
            4 => (format!("{word}.{plain}"), None),
            5 => (format!("{plain}.evil.example"), None),
            6 => (format!("{word}--nothing.qa.example"), None),
            _ => (plain, Some(word)),
        }
    }
}

async fn ask(
    client: &mut Client,
    dice: &mut Dice,
    is_http2: bool,
) -> (String, Option<&'static str>, (u16, String)) {
    let (written, named) = dice.host();
    // Two that differ name nobody; each of these costs a connection in HTTP/1.
    if dice.roll(30) == 0 {
        let (other, _) = dice.host();
        let named = named.filter(|_| written.eq_ignore_ascii_case(&other));
        let answer = client.ask(Some(&written), Some(&other)).await;
        return (format!("{written} and {other}"), named, answer);
    }
    let answer = match dice.roll(3) {
        0 => client.ask(Some(&written), Some(&written)).await,
        1 if is_http2 => client.ask(Some(&written), None).await,
        _ => client.get(&written).await,
    };
    (written, named, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pair_of_names_leads_to_a_wrong_environment() {
    let house = House::new(true).await;
    let mut routes = Vec::new();
    for word in WORDS {
        routes.push((word, 1, Answer::Proxy(worded(word).await)));
    }
    house.publish(&routes);
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut found = 0;
    let (mut http1, mut http2): (Vec<Client>, Vec<Client>) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let is_http2 = pair % 2 == 0;
        let clients = if is_http2 { &mut http2 } else { &mut http1 };
        clients.retain(Client::is_open);
        if clients.len() < NAMES.len() || pair % 100 == 0 {
            let name = NAMES[dice.roll(NAMES.len())];
            clients.insert(0, Client::open(&house, name, is_http2).await);
            clients.truncate(NAMES.len());
        }
        let chosen = dice.roll(clients.len());
        let (written, named, (status, body)) = ask(&mut clients[chosen], &mut dice, is_http2).await;
        match named {
            Some(word) => {
                assert_eq!((status, body.as_str()), (200, word), "{written}");
                found += 1;
            }
            None => {
                assert!(matches!(status, 400 | 404) && !WORDS.contains(&body.as_str()), "{written}: {body}");
            }
        }
    }
    assert!(found > PAIRS / 2, "{found}");
}
