//! Who may look: over real sockets, each way in and each way around.

use std::time::Duration;

use super::*;
use crate::domain::visitors::{Links, Login, Place, Use};

const DAY: Duration = Duration::from_secs(86_400);

fn links() -> Links {
    Links::new([7; 32], DAY)
}

fn route(environment: i64, access: &Access, answer: Answer) -> Route {
    Route {
        environment: EnvironmentId(environment),
        generation: Generation(1),
        name: format!("shop/{environment}"),
        service: "web".into(),
        paths: Vec::new(),
        access: access.clone(),
        answer,
    }
}

fn signed(environment: i64, what: Use, until: Timestamp) -> String {
    let name = format!("shop/{environment}");
    links().sign(what, Place { environment: EnvironmentId(environment), name: &name }, until).text
}

fn tomorrow() -> Timestamp {
    Today.now().plus(DAY)
}

/// Branches `x` (1) and `y` (2) with this access, both with the same container behind.
async fn guarded(access: Access) -> (House, Arc<AtomicUsize>) {
    let house = House::new(false).await;
    let (upstream, count) = echo("app").await;
    publish(&house, &access, &Answer::Proxy(upstream));
    (house, count)
}

fn publish(house: &House, access: &Access, answer: &Answer) {
    let hosts = [("x", 1), ("x--api", 1), ("y", 2)]
        .map(|(host, id)| (format!("{host}.qa.example"), route(id, access, answer.clone())));
    house.proxy.publish(RouteTable { hosts: hosts.into(), families: BTreeMap::new() });
}

async fn ask(house: &House, host: &str, path: &str, headers: &str) -> String {
    let head = format!("Host: {host}.qa.example\r\nConnection: close\r\n{headers}");
    house.plain(&format!("GET {path} HTTP/1.1\r\n{head}\r\n")).await
}

/// Status and header of an answer.
fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_link_lets_in_and_the_application_sees_nothing_of_it() {
    let (house, count) = guarded(Access::Link(links())).await;
    let answer = ask(&house, "x", "/", "").await;
    assert_eq!(status(&answer), "403", "{answer}");
    let link = signed(1, Use::Link, tomorrow());
    let answer = ask(&house, "x", &format!("/a/b?p=1&drey={link}&q=2"), "").await;
    assert_eq!(status(&answer), "303", "{answer}");
    // On the way each host of the branch gives its cookie.
    let location = header(&answer, "location").unwrap();
    let entrance = location.strip_prefix("http://x--api.qa.example").unwrap();
    let entered = ask(&house, "x--api", entrance, "").await;
    assert_eq!(header(&entered, "location"), Some("http://x.qa.example/a/b?p=1&q=2"), "{entered}");
    assert!(header(&entered, "set-cookie").is_some_and(|cookie| cookie.starts_with("drey-visitor=")));
    assert_eq!(status(&ask(&house, "y", entrance, "").await), "403", "another branch is not on the way");
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    assert_eq!(header(&answer, "referrer-policy"), Some("no-referrer"));
    let cookie = header(&answer, "set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(count.load(Ordering::Relaxed), 0, "the link itself reaches nobody");
    assert!(house.proxy.take_visits().is_empty(), "nor does it count");

    let cookie = cookie.split(';').next().unwrap();
    let sent = format!("Cookie: a=1; {cookie}; b=2\r\nAuthorization: Bearer of-the-app\r\n");
    let answer = ask(&house, "x", "/a/b?p=1&q=2", &sent).await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.to_lowercase().contains("cookie: a=1; b=2\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("authorization: bearer of-the-app"), "{answer}");
    assert!(!answer.contains("drey-visitor") && !answer.contains(&link), "{answer}");
    assert_eq!(house.proxy.take_visits().len(), 1);

    // The link again, by somebody who is in already; and in the body's place, by a program.
    let answer = ask(&house, "x", &format!("/?drey={link}"), &sent).await;
    assert_eq!(status(&answer), "303", "{answer}");
    let post = format!("POST /p?drey={link}&q HTTP/1.1\r\nHost: x.qa.example\r\nConnection: close\r\n\r\n");
    let answer = house.plain(&post).await;
    assert!(answer.contains("POST /p?q HTTP/1.1"), "{answer}");
    // All hosts of an environment are alike.
    assert_eq!(status(&ask(&house, "x--api", &format!("/?drey={link}"), "").await), "303");
}

#[tokio::test]
async fn over_tls_the_cookie_is_bound_to_the_host() {
    let house = House::new(true).await;
    let (upstream, _) = echo("app").await;
    publish(&house, &Access::Link(links()), &Answer::Proxy(upstream));
    let link = signed(1, Use::Link, tomorrow());
    let stream = house.tls("x.qa.example", &[b"http/1.1"]).await.unwrap();
    let request = format!("GET /?drey={link} HTTP/1.1\r\nHost: x.qa.example\r\nConnection: close\r\n\r\n");
    let answer = exchange(stream, &request).await;
    let cookie = header(&answer, "set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-drey-visitor=") && cookie.ends_with("; Secure"), "{cookie}");
}

#[tokio::test]
async fn no_other_link_and_no_other_cookie_lets_in() {
    let (house, count) = guarded(Access::Link(links())).await;
    let good = signed(1, Use::Link, tomorrow());
    let other_key = Links::new([8; 32], DAY);
    let place = Place { environment: EnvironmentId(1), name: "shop/1" };
    let long_ago = Today.now().minus(DAY);
    let flipped = if good.ends_with('A') { "E" } else { "A" };
    let tampered = format!("{}{flipped}", &good[..good.len() - 1]);
    let later = format!("9{}", &good[1..]);
    for (bad, why) in [
        (signed(2, Use::Link, tomorrow()), "for another branch"),
        (signed(1, Use::Cookie, tomorrow()), "damaged"),
        (signed(1, Use::Link, long_ago), "has expired"),
        (signed(1, Use::Link, Today.now()), "has expired"),
        (other_key.sign(Use::Link, place, tomorrow()).text, "damaged"),
        (tampered, "damaged"),
        (later, "damaged"),
        (good[..good.len() - 1].to_owned(), "damaged"),
        (String::new(), "damaged"),
    ] {
        let answer = ask(&house, "x", &format!("/?drey={bad}"), "").await;
        assert_eq!(status(&answer), "403", "{bad}: {answer}");
        assert!(answer.contains(why) && header(&answer, "set-cookie").is_none(), "{bad}: {answer}");
    }
    let cookie = signed(1, Use::Cookie, tomorrow());
    for (host, cookie) in [
        ("y", cookie.clone()),
        ("x", good.clone()),
        ("x", signed(1, Use::Cookie, long_ago)),
        ("x", signed(2, Use::Cookie, tomorrow())),
        ("x", other_key.sign(Use::Cookie, place, tomorrow()).text),
        ("x", format!("{cookie}x")),
    ] {
        let answer = ask(&house, host, "/", &format!("Cookie: drey-visitor={cookie}\r\n")).await;
        assert_eq!(status(&answer), "403", "{host} {cookie}: {answer}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 0);
    let several = format!("Cookie: drey-visitor=old; drey-visitor={cookie}\r\n");
    assert_eq!(status(&ask(&house, "x", "/", &several).await), "200", "an old cookie beside a good one");
}

#[tokio::test]
async fn whoever_may_not_look_learns_nothing_and_moves_nothing() {
    let house = House::new(false).await;
    let mut knocks = house.proxy.knocks().unwrap();
    let mut seen = Vec::new();
    for access in [Access::Link(links()), Access::Token, Access::Basic([Login::new("anna", "horse")].into())]
    {
        for answer in [
            page(Phase::Asleep, "secret"),
            page(Phase::Failed, "secret"),
            page(Phase::Waking, "secret"),
            page(Phase::Archived, "secret"),
            Answer::Replacing(None),
        ] {
            publish(&house, &access, &answer);
            for accept in ["text/html", "*/*"] {
                let text =
                    ask(&house, "x", "/.well-known/acme-challenge/t", &format!("Accept: {accept}\r\n")).await;
                assert!(["401", "403"].contains(&status(&text)), "{answer:?}: {text}");
                assert!(!text.contains("secret") && !text.contains("shop/"), "{text}");
                let plain = ask(&house, "x", "/", &format!("Accept: {accept}\r\n")).await;
                seen.push((access.word(), accept, plain));
            }
        }
    }
    for (word, accept, text) in &seen {
        let (_, _, first) = seen.iter().find(|(other, of, _)| other == word && of == accept).unwrap();
        let body = |text: &str| text.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_eq!(body(text), body(first), "it depends on how the branch stands");
    }
    assert!(knocks.try_recv().is_err(), "nobody was woken");
    assert!(house.proxy.take_visits().is_empty(), "nothing counted");
}

#[tokio::test]
async fn a_token_lets_programs_in_wherever_one_is_asked_for() {
    let hash = |token: &str| -> [u8; 32] {
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), token))
            .into()
    };
    let logins: Arc<[Login]> = [Login::new("anna", "correct horse")].into();
    for access in [Access::Link(links()), Access::Token, Access::Basic(logins), Access::Open] {
        let (house, _) = guarded(access.clone()).await;
        house.proxy.know([(hash("drey_a"), None), (hash("drey_old"), Some(Today.now()))].into());
        let is_open = access == Access::Open;
        for (token, lets_in) in [("drey_a", true), ("drey_old", is_open), ("drey_b", is_open), ("", is_open)]
        {
            let answer = ask(&house, "x", "/", &format!("Drey-Token: {token}\r\n")).await;
            assert_eq!(status(&answer) == "200", lets_in, "{access:?} {token}: {answer}");
            assert!(!lets_in || !answer.to_lowercase().contains("drey-token"), "{answer}");
        }
        house.proxy.know(BTreeMap::new());
        let answer = ask(&house, "x", "/", "Drey-Token: drey_a\r\n").await;
        assert_eq!(status(&answer) == "200", is_open, "revoked: {answer}");
    }
}

#[tokio::test]
async fn a_password_lets_in_and_stays_with_the_proxy() {
    let (house, count) =
        guarded(Access::Basic([Login::new("anna", "correct horse"), Login::new("ben", "x:y")].into())).await;
    let basic =
        |login: &str| format!("Authorization: Basic {}\r\n", data_encoding::BASE64.encode(login.as_bytes()));
    let answer = ask(&house, "x", "/", "").await;
    assert_eq!(status(&answer), "401");
    assert_eq!(header(&answer, "www-authenticate"), Some("Basic realm=\"branch\", charset=\"UTF-8\""));
    for wrong in ["anna:wrong", "ben:correct horse", "anna", ""] {
        assert_eq!(status(&ask(&house, "x", "/", &basic(wrong)).await), "401", "{wrong}");
    }
    let bearer = "Authorization: Bearer drey_a\r\n";
    assert_eq!(status(&ask(&house, "x", "/", bearer).await), "401");
    let twice = [basic("anna:correct horse"), basic("anna:correct horse")].concat();
    assert_eq!(status(&ask(&house, "x", "/", &twice).await), "401");
    assert_eq!(count.load(Ordering::Relaxed), 0);
    for login in ["anna:correct horse", "ben:x:y"] {
        let answer = ask(&house, "x", "/", &basic(login)).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert!(!answer.to_lowercase().contains("authorization"), "{answer}");
    }
}

#[tokio::test]
async fn an_open_branch_still_hides_what_lets_into_others() {
    let (house, _) = guarded(Access::Open).await;
    let cookie = signed(1, Use::Cookie, tomorrow());
    let answer = ask(&house, "x", "/?drey=mine", &format!("Cookie: drey-visitor={cookie}\r\n")).await;
    assert!(answer.contains("GET /?drey=mine HTTP/1.1") && !answer.contains("drey-visitor"), "{answer}");
    let link = signed(2, Use::Link, tomorrow());
    let answer = ask(&house, "x", &format!("//evil.example/?drey={link}"), "").await;
    assert_eq!(status(&answer), "303", "{answer}");
    assert_eq!(header(&answer, "location"), Some("/.//evil.example/"));
    assert_eq!(header(&answer, "set-cookie"), None);
}

#[tokio::test]
async fn a_change_of_who_may_look_counts_at_once() {
    let (house, _) = guarded(Access::Open).await;
    assert_eq!(status(&ask(&house, "x", "/", "").await), "200");
    let (upstream, _) = echo("app").await;
    publish(&house, &Access::Link(links()), &Answer::Proxy(upstream));
    assert_eq!(status(&ask(&house, "x", "/", "").await), "403");
}

#[tokio::test]
async fn search_engines_are_kept_out_and_challenges_are_not() {
    let (house, count) = guarded(Access::Link(links())).await;
    for host in ["x", "x--api", "nobody"] {
        let answer = ask(&house, host, "/robots.txt", "").await;
        assert!(answer.ends_with("\r\n\r\nUser-agent: *\nDisallow: /\n"), "{host}: {answer}");
    }
    let head = "HEAD /robots.txt HTTP/1.1\r\nHost: x.qa.example\r\nConnection: close\r\n\r\n";
    assert!(house.plain(head).await.ends_with("\r\n\r\n"));
    assert_eq!(count.load(Ordering::Relaxed), 0);
    let answer = ask(&house, "x", "/.well-known/acme-challenge/t", "").await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(house.proxy.take_visits().is_empty(), "whoever asks for one is no visitor");
    for way in ["../../admin", "%2e%2e/admin", "..;/admin", "t/../../admin", "", "t?x=1", "t%2f..%2fadmin"] {
        let answer = ask(&house, "x", &format!("/.well-known/acme-challenge/{way}"), "").await;
        assert!(["403", "400"].contains(&status(&answer)), "{way}: {answer}");
    }
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(status(&ask(&house, "x", "/.well-known/acme-challenge/t", upgrade).await), "403");
    assert_eq!(status(&ask(&house, "x", "/.well-known/other", "").await), "403");
}
