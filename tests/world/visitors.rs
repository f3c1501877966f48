//! A branch that is not for everybody, on the real engine: by link, by token, and not at all.

use serde_json::Value;

use crate::harness::{REPO, World};

const COMPOSE: &str = r#"
services:
  web:
    image: drey-demo/tiny:1
    command: [serve, "8080", /www]
    expose: [8080]
    volumes: ["./www:/www"]
"#;

/// As a browser that keeps cookies in the file and follows where it is sent: status, body.
fn browse(world: &World, url: &str, more: &[&str]) -> (u16, String) {
    let jar = world.path("cookies");
    let host = url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap();
    let resolve = format!("{host}:127.0.0.1");
    let authority = world.path("ca.pem");
    let mut arguments = vec!["-s", "-m", "15", "-L", "-b", &jar, "-c", &jar, "--cacert", &authority];
    arguments.extend(["--resolve", &resolve, "-w", "\n%{http_code}"]);
    arguments.extend(more);
    arguments.push(url);
    let output = std::process::Command::new("curl").args(&arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[test]
fn a_push_shows_the_link_that_lets_in() {
    let more = "access = \"link\"\nlink_expires = \"1h\"\n";
    let files =
        [("compose.yaml", COMPOSE), ("www/index.html", "the shop\n"), ("www/robots.txt", "welcome\n")];
    let world = World::configured("visitors", &files, more);
    let said = world.push("feature/x", &[("note", "one")]);
    let environment = world.reaches("feature/x", "ready");
    let url = environment["url"].as_str().unwrap().to_owned();
    let name = format!("{REPO}/feature/x");
    let (status, page) = world.get("feature-x").unwrap();
    assert_eq!(status, 403, "{page}");
    assert!(!page.contains(&name), "{page}");

    let link = world.drey(&["env", "url", "--link", &name]).unwrap().trim().to_owned();
    assert!(link.starts_with(&format!("{url}/?drey=")), "{link}");
    assert_eq!(world.drey(&["env", "url", &name]).unwrap().trim(), url);
    assert_eq!(browse(&world, &link, &[]), (200, "the shop\n".to_owned()));
    assert_eq!(browse(&world, &format!("{url}/"), &[]).0, 200, "the cookie is enough");
    world.push("feature/y", &[("note", "two")]);
    let other = world.reaches("feature/y", "ready")["url"].as_str().unwrap().to_owned();
    assert_eq!(browse(&world, &format!("{other}/"), &[]).0, 403, "it is for one branch");
    let (_, mark) = link.split_once('?').unwrap();
    assert_eq!(browse(&world, &format!("{other}/?{mark}"), &[]).0, 403, "so is the link");

    let token = world.drey(&["token", "create", "--role", "qa", "ci"]).unwrap();
    let header = format!("Drey-Token: {}", token.trim());
    assert_eq!(browse(&world, &format!("{other}/"), &["-H", &header]).0, 200);
    world.drey(&["token", "revoke", "ci"]).unwrap();
    assert_eq!(browse(&world, &format!("{other}/"), &["-H", &header]).0, 403);
    let (status, robots) = browse(&world, &format!("{other}/robots.txt"), &[]);
    assert!(status == 200 && robots.contains("Disallow: /"), "{robots}");

    let shown: Value = serde_json::from_str(&world.drey(&["env", "list", "--json"]).unwrap()).unwrap();
    assert!(!shown.to_string().contains("drey="), "no list has a link: {shown}");
    assert!(said.contains(&format!("feature/x → {url}/?drey=")), "{said}");
    let log = std::fs::read_to_string(world.path("daemon.log")).unwrap();
    assert!(!log.contains(mark), "no log has a link");
}

#[test]
fn what_visitors_ask_for_is_seen_as_long_as_the_branch_lives() {
    let files = [("compose.yaml", COMPOSE), ("www/index.html", "the shop\n")];
    let world = World::new("visits", &files);
    world.push("feature/x", &[]);
    let url = world.reaches("feature/x", "ready")["url"].as_str().unwrap().to_owned();
    world.serves("feature-x", "the shop");
    assert_eq!(browse(&world, &format!("{url}/?password=secret"), &[]).0, 200);
    assert_eq!(browse(&world, &format!("{url}/none"), &[]).0, 404);
    let name = format!("{REPO}/feature/x");
    let log = || world.drey(&["env", "log", "--access", &name]).unwrap();
    world.eventually("the requests are in the log", 10, || log().contains("\"path\":\"/none\""));
    let lines: Vec<Value> = log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let asked: Vec<_> = lines.iter().map(|line| (line["path"].as_str().unwrap(), &line["status"])).collect();
    assert!(asked.ends_with(&[("/?password=*", &200.into()), ("/none", &404.into())]), "{asked:?}");
    assert!(!log().contains("secret"), "{}", log());
    let document = world.drey(&["env", "log", "--access", "--json", &name]).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["items"].as_array().unwrap().len(), lines.len());

    let figures = || browse(&world, &format!("http://{}/metrics", world.address()), &[]).1;
    let label = format!("environment=\"{name}\"");
    let missing = format!("drey_environment_requests_total{{{label},status=\"4xx\"}} 1\n");
    assert!(figures().contains(&missing), "{}", figures());
    world.drey(&["env", "archive", &name]).unwrap();
    assert_eq!(world.archived("feature/x"), "manual");
    world.eventually("its series end with it", 10, || !figures().contains(&label));
    let list: Value = serde_json::from_str(&world.drey(&["archive", "list", "--json"]).unwrap()).unwrap();
    let id = list["items"][0]["id"].as_str().unwrap();
    let file = world.path("access.jsonl");
    world.drey(&["archive", "extract", id, "logs/access.jsonl", &file]).unwrap();
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(kept.contains("\"path\":\"/none\""), "{kept}");
    // The archive is told of as soon as it is whole; the files go after the containers.
    let left = || {
        let folders = std::fs::read_dir(world.path("data/environments")).unwrap().flatten();
        folders.map(|entry| entry.path().join("logs/access.jsonl")).find(|log| log.exists())
    };
    world.eventually("nothing of the log is left", 30, || left().is_none());
}
