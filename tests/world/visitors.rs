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
