//! The dashboard as a browser reaches it: signing in, looking, restoring, and what others cannot make it do.

use drey::domain::dashboard::Place;
use drey::domain::environment::Phase;
use drey::domain::event::EventKind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::access::Doors;
use crate::harness::{TestHouse, branch, document, in_house, repo};

/// A branch may be called so.
const HOSTILE: &str = "<img/src=x/onerror=alert(1)>";
const DAY: i64 = 86_400_000;

/// What a browser keeps, and what it gets.
struct Browser {
    port: u16,
    /// What it sends as `Host`.
    host: String,
    /// What it sends as `Origin` of forms.
    origin: Option<String>,
    cookie: Option<String>,
}

struct Page {
    status: u16,
    head: String,
    body: String,
}

impl Browser {
    fn new(doors: &Doors) -> Self {
        let host = format!("127.0.0.1:{}", doors.port);
        Self { port: doors.port, origin: Some(format!("http://{host}")), host, cookie: None }
    }

    async fn get(&self, path: &str) -> Page {
        self.ask("GET", path, "", "").await
    }

    /// Sends a form and keeps the cookie that comes.
    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let fields = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        let form = fields.collect::<Vec<_>>().join("&");
        let origin = self.origin.as_ref().map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let header = format!("{origin}Content-Type: application/x-www-form-urlencoded\r\n");
        let page = self.ask("POST", path, &header, &form).await;
        if let Some(cookie) = page.header("set-cookie") {
            let pair = cookie.split(';').next().unwrap().to_owned();
            self.cookie = (!pair.ends_with('=')).then_some(pair);
        }
        page
    }

    async fn ask(&self, method: &str, path: &str, header: &str, body: &str) -> Page {
        let (host, length) = (&self.host, body.len());
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{cookie}{header}");
        stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Page { status, head: head.to_owned(), body: body.to_owned() }
    }

    async fn sign_in(&mut self, token: &str) -> Page {
        let page = self.post("/signin", &[("token", token)]).await;
        assert_eq!(page.status, 303, "{}", page.body);
        page
    }

    /// The field that forms of the page have.
    async fn key(&self, path: &str) -> String {
        let page = self.get(path).await;
        let (_, rest) =
            page.body.split_once("name=\"key\" value=\"").unwrap_or_else(|| panic!("{}", page.body));
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn leads_to(&self, path: &str) {
        assert_eq!((self.status, self.header("location")), (303, Some(path)), "{}", self.body);
    }

    /// Every answer has them, whatever it says.
    fn is_guarded(&self) {
        let policy = self.header("content-security-policy").unwrap_or_default();
        for part in [
            "default-src 'self'",
            "script-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{part}: {}", self.head);
        }
        assert_eq!(self.header("referrer-policy"), Some("same-origin"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
    }
}

fn encoded(text: &str) -> String {
    drey::domain::dashboard::encoded(text)
}

fn log_of(name: &str) -> String {
    Place::Log(repo(), branch(name)).path()
}

impl TestHouse {
    async fn cannot_start(&self, name: &str, reason: &str) {
        self.commit('a', "main", &[], document());
        self.commit('b', name, &['a'], document());
        self.world.with(|inside| inside.up_fails = Some(reason.into()));
        self.push(name).await;
        self.reaches(name, Phase::Failed).await;
    }

    /// An archive of `feature/x`.
    async fn archived_by_hand(&self) -> String {
        self.begin().await;
        self.tell(EventKind::EndRequested { branch: branch("feature/x"), archive: true }).await;
        self.reaches("feature/x", Phase::Archived).await.archive_id()
    }
}

#[tokio::test]
async fn whoever_follows_a_link_signs_in_and_sees_the_log() {
    in_house(|house| async move {
        let hostile = "<script>alert(1)</script>\u{1b}[31m\u{202e} dependency failed";
        house.cannot_start(HOSTILE, hostile).await;
        let doors = Doors::open(&house).await;
        let token = doors.token("qa").await;
        let (mut browser, log) = (Browser::new(&doors), log_of(HOSTILE));
        let sent_on = browser.get(&log).await;
        let sign_in = format!("/signin?next={}", encoded(&log));
        sent_on.leads_to(&sign_in);
        let form = browser.get(&sign_in).await;
        assert_eq!(form.status, 200);
        assert!(
            form.body.contains("type=\"password\"") && form.body.contains("name=\"next\""),
            "{}",
            form.body
        );
        let signed_in = browser.post("/signin", &[("token", &token), ("next", &log)]).await;
        signed_in.leads_to(&log);
        let cookie = signed_in.header("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-drey="), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=43200"), "{cookie}");
        let page = browser.get(&log).await;
        assert_eq!(page.status, 200);
        for told in
            ["failed", "&lt;script&gt;alert(1)&lt;&#x2F;script&gt; dependency failed", "&lt;img&#x2F;src=x"]
        {
            assert!(page.body.contains(told), "{told}: {}", page.body);
        }
        let home = browser.get("/").await;
        assert!(home.body.contains(&log.replace('/', "&#x2F;")), "{}", home.body);
        for page in [&sent_on, &form, &signed_in, &page, &home, &browser.get("/archives/none").await] {
            page.is_guarded();
            for bad in ["<img", "<script", "\u{1b}", "\u{202e}", &token] {
                assert!(!page.body.contains(bad) && !page.head.contains(bad), "{bad}: {}", page.body);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_goes_on_by_itself_while_something_is_done() {
    in_house(|house| async move {
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        let gate = house.world.with(|inside| inside.gate.clone());
        let closed = gate.acquire_many(100).await.unwrap();
        house.push("feature/x").await;
        let doors = Doors::open(&house).await;
        let mut browser = Browser::new(&doors);
        browser.sign_in(&doors.token("qa").await).await;
        let refresh = "http-equiv=\"refresh\"";
        assert!(browser.get(&log_of("feature/x")).await.body.contains(refresh));
        drop(closed);
        house.reaches("feature/x", Phase::Ready).await;
        let page = browser.get(&log_of("feature/x")).await;
        assert!(!page.body.contains(refresh) && page.body.contains("ready"), "{}", page.body);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_token_gets_nothing_and_is_counted() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let token = doors.token("qa").await;
        let mut browser = Browser::new(&doors);
        let long = format!("drey_{}", "a".repeat(200));
        for number in 0..21 {
            let wrong = ["drey_wrong", "", "wrong", &long, &token[..token.len() - 1]][number % 5];
            let page = browser.post("/signin", &[("token", wrong)]).await;
            assert_eq!(page.status, if number < 20 { 401 } else { 429 }, "{}", page.body);
            assert_eq!(page.header("retry-after"), (number == 20).then_some("60"));
            assert!(
                page.header("set-cookie").is_none() && !page.body.contains("drey_wrong"),
                "{}",
                page.body
            );
            page.is_guarded();
        }
        assert_eq!(
            doors.by_tcp("GET", "/api/v1/environments", Some("drey_wrong")).await.0,
            429,
            "counted as one"
        );
        browser.sign_in(&token).await;
        let large = "a".repeat(9000);
        assert_eq!(browser.post("/signin", &[("token", &large)]).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_with_its_token_its_time_or_when_somebody_signs_out() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let (qa, developer) = (doors.token("qa").await, doors.token("developer").await);
        let mut browser = Browser::new(&doors);
        browser.sign_in(&qa).await;
        assert_eq!(browser.get("/").await.status, 200);
        doors.by_socket("POST", "/api/v1/tokens/revoke", &json!({"name": "qa"})).await;
        browser.get("/").await.leads_to("/signin");

        browser.sign_in(&developer).await;
        house.world.with(|inside| inside.now += DAY / 2 - 1000);
        assert_eq!(browser.get("/").await.status, 200);
        house.world.with(|inside| inside.now += 2000);
        browser.get("/").await.leads_to("/signin");

        browser.sign_in(&developer).await;
        let (key, before) = (browser.key("/").await, browser.cookie.clone());
        let out = browser.post("/signout", &[("key", &key)]).await;
        out.leads_to("/signin");
        assert_eq!(browser.cookie, None, "{}", out.head);
        browser.cookie = before;
        browser.get("/").await.leads_to("/signin");

        let short = json!({"name": "short", "role": "qa", "expires_after": 1});
        let (_, made) = doors.by_socket("POST", "/api/v1/tokens/create", &short).await;
        browser.sign_in(made["token"].as_str().unwrap()).await;
        house.world.with(|inside| inside.now += 2000);
        browser.get("/").await.leads_to("/signin");
    })
    .await;
}

#[tokio::test]
async fn nobody_is_given_a_session_of_somebody_elses_choice() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let token = doors.token("qa").await;
        let mut browser = Browser::new(&doors);
        let chosen = format!("__Host-drey={}", "a".repeat(43));
        browser.cookie = Some(chosen.clone());
        browser.get("/").await.leads_to("/signin");
        browser.sign_in(&token).await;
        let first = browser.cookie.clone().unwrap();
        assert_ne!(first, chosen);
        browser.sign_in(&token).await;
        assert_ne!(browser.cookie.as_ref(), Some(&first), "a new one each time");
        let second = browser.cookie.replace(first.clone()).unwrap();
        browser.get("/").await.leads_to("/signin");
        for both in [format!("{second}; {chosen}"), format!("{chosen}; {second}")] {
            browser.cookie = Some(both);
            let page = browser.get("/").await;
            assert_eq!(page.status, 400, "{}", page.body);
            page.is_guarded();
        }
        browser.cookie = Some(format!("other=1; {second}"));
        assert_eq!(browser.get("/").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn signing_in_leads_to_pages_of_ours_only() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let token = doors.token("qa").await;
        let mut browser = Browser::new(&doors);
        for elsewhere in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "/signout",
            "/api/v1/tokens",
            "/archives/a\r\nSet-Cookie: x=1",
            "/environments/shop/x/log/../../../../api",
        ] {
            let form = browser.get(&format!("/signin?next={}", encoded(elsewhere))).await;
            assert!(form.status == 200 && !form.body.contains("name=\"next\""), "{}", form.body);
            browser.post("/signin", &[("token", &token), ("next", elsewhere)]).await.leads_to("/");
        }
    })
    .await;
}

#[tokio::test]
async fn a_developer_restores_an_archive_and_a_tester_is_told_why_not() {
    in_house(|house| async move {
        let id = house.archived_by_hand().await;
        let doors = Doors::open(&house).await;
        let (qa, developer) = (doors.token("qa").await, doors.token("developer").await);
        let mut browser = Browser::new(&doors);
        browser.sign_in(&qa).await;
        let (page, restore) = (format!("/archives/{id}"), format!("/archives/{id}/restore"));
        let newest = Place::Newest(repo(), branch("feature/x")).path();
        browser.get(&newest).await.leads_to(&page);
        let seen = browser.get(&page).await;
        assert!(
            seen.body.contains("needs the role developer") && !seen.body.contains("/restore"),
            "{}",
            seen.body
        );
        assert!(
            seen.body.contains("shop&#x2F;feature&#x2F;x") && seen.body.contains("data"),
            "{}",
            seen.body
        );
        let key = browser.key(&page).await;
        assert_eq!(browser.post(&restore, &[("key", &key)]).await.status, 403);

        browser.sign_in(&developer).await;
        let key = browser.key(&page).await;
        assert_eq!(browser.get(&restore).await.status, 405, "nothing is restored by looking");
        let good = browser.origin.clone();
        for origin in [None, Some("null"), Some("https://feature-x.qa.example"), Some("http://127.0.0.1:1")] {
            browser.origin = origin.map(str::to_owned);
            let forged = browser.post(&restore, &[("key", &key)]).await;
            assert_eq!(forged.status, 403, "{origin:?}: {}", forged.body);
            assert_eq!(browser.post("/signin", &[("token", &developer)]).await.status, 403, "{origin:?}");
        }
        browser.origin = good;
        for fields in [&[][..], &[("key", "")], &[("key", "wrong")], &[("key", &key), ("key", &key)]] {
            assert_eq!(browser.post(&restore, fields).await.status, 400, "{fields:?}");
        }
        house.reaches("feature/x", Phase::Archived).await;
        let events = || async { house.orchestrator.house().store.events(&Default::default()).await.unwrap() };
        assert!(events().await.iter().all(|event| event.kind.word() != "restore_requested"));

        browser.post(&restore, &[("key", &key)]).await.leads_to(&log_of("feature/x"));
        let restored = house.reaches("feature/x", Phase::Ready).await;
        assert_eq!(restored.restored.unwrap().archive, id);
        assert!(browser.get(&page).await.body.contains("has an environment again"));
        let cookie = browser.cookie.take();
        let late = browser.post(&restore, &[("key", &key)]).await;
        assert_eq!(late.status, 401);
        assert!(
            late.body.contains(&format!("/signin?next={}", encoded(&page)).replace('/', "&#x2F;")),
            "{}",
            late.body
        );
        browser.cookie = cookie;
        house.cannot_start("feature/y", "broken").await;
        let nothing = browser.get(&Place::Newest(repo(), branch("feature/y")).path()).await;
        assert!(nothing.status == 404 && nothing.body.contains("Nothing was kept"), "{}", nothing.body);
    })
    .await;
}

#[tokio::test]
async fn cookies_count_nothing_for_the_api_and_headers_nothing_for_pages() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let admin = doors.token("admin").await;
        let mut browser = Browser::new(&doors);
        let header = format!("Authorization: Bearer {admin}\r\n");
        browser.ask("GET", "/", &header, "").await.leads_to("/signin");
        browser.ask("GET", &format!("/?token={admin}"), "", "").await.leads_to("/signin");
        browser.sign_in(&admin).await;
        let api = browser.get("/api/v1/environments").await;
        assert_eq!(api.status, 401);
        let origin = format!("Origin: {}\r\n", browser.origin.clone().unwrap());
        assert_eq!(browser.ask("POST", "/api/v1/environments/shop/x/sleep", &origin, "{}").await.status, 401);
        let tokens = house.orchestrator.house().store.tokens().await.unwrap();
        assert_eq!(json!(tokens).as_array().map(Vec::len), Some(1));
    })
    .await;
}

#[tokio::test]
async fn people_sign_in_at_the_public_address_or_on_this_machine_and_nowhere_else() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let token = doors.token("qa").await;
        let mut browser = Browser::new(&doors);
        for host in ["drey.example", "feature-x.localhost:8420", "10.0.0.1:8420", "127.0.0.1.evil.example"] {
            (browser.host, browser.origin) = (host.to_owned(), Some(format!("http://{host}")));
            for path in ["/signin", "/", "/assets/drey.css"] {
                let page = browser.get(path).await;
                assert!(
                    page.status == 403 && page.body.contains("http.public_url"),
                    "{host}{path}: {}",
                    page.body
                );
                page.is_guarded();
            }
            assert_eq!(browser.post("/signin", &[("token", &token)]).await.status, 403, "{host}");
        }
        let browser = Browser::new(&doors);
        for header in ["X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "Via: 1.1 x"] {
            let page = browser.ask("GET", "/signin", &format!("{header}\r\n"), "").await;
            assert_eq!(page.status, 403, "a proxy calls it as it likes: {header}");
        }
        // A proxy before it may name another host; what the browser says of the page is what counts.
        let public = Doors::open_at(&house, Some("https://drey.example/".into())).await;
        let mut browser = Browser::new(&public);
        assert_eq!(browser.post("/signin", &[("token", &token)]).await.status, 403, "not the public address");
        browser.origin = Some("https://drey.example".to_owned());
        browser.sign_in(&token).await;
        assert_eq!(browser.get("/").await.status, 200);
        let plain = Doors::open_at(&house, Some("http://drey.example".into())).await;
        assert_eq!(Browser::new(&plain).get("/signin").await.status, 403);
    })
    .await;
}

#[tokio::test]
async fn looking_at_pages_changes_nothing() {
    in_house(|house| async move {
        let id = house.archived_by_hand().await;
        let doors = Doors::open(&house).await;
        let mut browser = Browser::new(&doors);
        browser.sign_in(&doors.token("admin").await).await;
        let store = house.orchestrator.house().store.clone();
        let state = || async {
            let events = store.events(&Default::default()).await.unwrap();
            let (environments, archives) =
                (store.environments(true).await.unwrap(), store.kept_archives().await.unwrap());
            format!("{environments:?} {archives:?} {events:?}")
        };
        let before = state().await;
        let paths = [
            log_of("feature/x"),
            format!("/archives/{id}"),
            format!("/archives/{id}/restore"),
            "/signout".to_owned(),
        ];
        for path in paths.iter().map(String::as_str).chain(["/", "/signin", "/assets/drey.css"]) {
            for method in ["GET", "HEAD"] {
                let status = browser.ask(method, path, "", "").await.status;
                assert!(matches!(status, 200 | 303 | 405), "{method} {path}: {status}");
            }
        }
        assert_eq!(state().await, before);
        assert_eq!(browser.get("/").await.status, 200, "and nobody is signed out by it");
    })
    .await;
}
