//! The API from elsewhere: without a token, with one of each role, and what may change by looking.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use drey::domain::traefik::{Frame, Syntax};
use drey::web::{BorderRules, Served, Web};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::harness::{TestHouse, in_house};

/// The daemon's doors on a house.
pub(crate) struct Doors {
    pub(crate) port: u16,
    socket: PathBuf,
}

/// What Traefik is told besides the routes.
fn frame() -> Frame {
    Frame {
        domain: "qa.example".to_owned(),
        syntax: Syntax::V3,
        gate: "http://127.0.0.1:8480".to_owned(),
        entry_points: vec!["websecure".to_owned()],
        redirected: Vec::new(),
        https_port: None,
        tls: true,
        resolver: None,
        direct: true,
        tells_keys: false,
        hsts: None,
        robots_by_app: false,
        policies: BTreeMap::new(),
    }
}

impl Doors {
    pub(crate) async fn open(house: &TestHouse) -> Self {
        Self::open_at(house, None).await
    }

    /// With the address that people reach the daemon at.
    pub(crate) async fn open_at(house: &TestHouse, public_url: Option<String>) -> Self {
        let border = BorderRules::default();
        let (secrets, projects, repositories) = Default::default();
        let traefik = Some(frame());
        let served = Served { secrets, projects, repositories, border, traefik, public_url };
        let folder = house.folder.path().to_owned();
        let web =
            Web::new(house.orchestrator.clone(), served, folder.clone(), Box::new(|_| "figures".to_owned()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        web.serve_tcp(listener);
        let socket = folder.join("drey.sock");
        std::fs::remove_file(&socket).ok();
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
        web.serve_socket(listener);
        Self { port, socket }
    }

    pub(crate) async fn by_tcp(&self, method: &str, path: &str, token: Option<&str>) -> (u16, Value) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let header = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        ask(stream, method, path, &header, "").await
    }

    pub(crate) async fn by_socket(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        ask(stream, method, path, "", &body.to_string()).await
    }

    pub(crate) async fn token(&self, role: &str) -> String {
        let asked = json!({"name": role, "role": role});
        let (status, made) = self.by_socket("POST", "/api/v1/tokens/create", &asked).await;
        assert_eq!(status, 200, "{made}");
        made["token"].as_str().unwrap().to_owned()
    }

    /// Method, path and least role of every route that is not open to all.
    async fn routes(&self) -> Vec<(String, String, String)> {
        let (_, document) = self.by_socket("GET", "/api/v1/openapi.json", &Value::Null).await;
        let mut routes = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let least = operation["x-drey-role"].as_str().unwrap().to_owned();
                let path = path.replace("{repo}", "shop").replace("{branch}", "feature%2Fnone");
                let path = path.replace("{id}", "1").replace("{name}", "shop");
                routes.push((method.to_uppercase(), path, least));
            }
        }
        routes.retain(|(_, _, least)| least != "anyone");
        assert!(routes.len() > 20, "{routes:?}");
        routes
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    method: &str,
    path: &str,
    header: &str,
    body: &str,
) -> (u16, Value) {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        for open in ["/healthz", "/metrics"] {
            assert_eq!(doors.by_tcp("GET", open, None).await.0, 200, "{open}");
        }
        for (number, (method, path, _)) in doors.routes().await.into_iter().enumerate() {
            let wrong = [None, Some("drey_wrong"), Some("")][number % 3];
            let (status, answer) = doors.by_tcp(&method, &path, wrong).await;
            let expected = if number < 20 { 401 } else { 429 };
            assert_eq!(status, expected, "{method} {path}: {answer}");
            assert!(answer["error"]["id"].is_string(), "{answer}");
        }
        let token = doors.token("qa").await;
        assert_eq!(
            doors.by_tcp("GET", "/api/v1/environments", Some(&token)).await.0,
            200,
            "a good one passes"
        );
    })
    .await;
}

#[tokio::test]
async fn each_role_has_its_routes_and_no_others() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let roles = ["qa", "developer", "admin"];
        let mut tokens = Vec::new();
        for role in roles {
            tokens.push(doors.token(role).await);
        }
        for (method, path, least) in doors.routes().await {
            // "socket" is beyond every role.
            let needed = roles.iter().position(|role| *role == least).unwrap_or(roles.len());
            for (rank, token) in tokens.iter().enumerate() {
                let (status, answer) = doors.by_tcp(&method, &path, Some(token)).await;
                let told = format!("{method} {path} as {}: {status} {answer}", roles[rank]);
                assert_ne!(status, 401, "{told}");
                assert_eq!(status == 403, rank < needed, "{told}");
            }
            assert_ne!(
                doors.by_socket(&method, &path, &json!({})).await.0,
                403,
                "the socket is admin: {path}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn looking_changes_nothing() {
    in_house(|house| async move {
        house.begin().await;
        let doors = Doors::open(&house).await;
        let admin = doors.token("admin").await;
        let store = house.orchestrator.house().store.clone();
        let state = || async {
            let events = store.events(&Default::default()).await.unwrap();
            format!(
                "{:?} {events:?} {:?}",
                store.environments(true).await.unwrap(),
                store.tokens().await.unwrap()
            )
        };
        let before = state().await;
        for (method, path, _) in doors.routes().await {
            let (status, answer) = doors.by_tcp("GET", &path, Some(&admin)).await;
            let told = format!("{path}: {status} {answer}");
            assert_eq!(status == 405, method == "POST", "{told}");
            assert!(status != 401 && status < 500, "{told}");
        }
        assert_eq!(state().await, before);
    })
    .await;
}

#[tokio::test]
async fn a_token_ends_when_it_is_revoked_or_its_time_is_over() {
    in_house(|house| async move {
        let doors = Doors::open(&house).await;
        let (qa, developer) = (doors.token("qa").await, doors.token("developer").await);
        let (status, again) =
            doors.by_socket("POST", "/api/v1/tokens/create", &json!({"name": "qa", "role": "admin"})).await;
        assert_eq!(status, 409, "{again}");
        let (_, list) = doors.by_socket("GET", "/api/v1/tokens", &Value::Null).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        assert!(!list.to_string().contains(&qa["drey_".len()..]), "a token is shown once");
        let database = std::fs::read(house.database().with_extension("db-wal")).unwrap();
        assert!(!database.windows(qa.len()).any(|window| window == qa.as_bytes()), "nor is it stored");

        let revoked = doors.by_socket("POST", "/api/v1/tokens/revoke", &json!({"name": "qa"})).await;
        assert_eq!(revoked.0, 200);
        assert_eq!(doors.by_tcp("GET", "/api/v1/environments", Some(&qa)).await.0, 401);
        assert_eq!(doors.by_tcp("GET", "/api/v1/environments", Some(&developer)).await.0, 200);

        let short = json!({"name": "short", "role": "qa", "expires_after": 1});
        let (_, made) = doors.by_socket("POST", "/api/v1/tokens/create", &short).await;
        let token = made["token"].as_str().unwrap();
        assert_eq!(doors.by_tcp("GET", "/api/v1/environments", Some(token)).await.0, 200);
        house.world.with(|inside| inside.now += 2000);
        assert_eq!(doors.by_tcp("GET", "/api/v1/environments", Some(token)).await.0, 401);
    })
    .await;
}
