//! Hosts whose paths lead to different services.

use super::*;
use crate::domain::path::PathPrefix;
use crate::domain::route::PathRoute;

fn below(prefix: &str, strip: bool, answer: Answer) -> PathRoute {
    PathRoute { prefix: PathPrefix::parse(prefix).unwrap(), strip, service: prefix.to_owned(), answer }
}

impl House {
    fn publish_paths(&self, answer: Answer, paths: Vec<PathRoute>) {
        let route = Route {
            environment: EnvironmentId(1),
            generation: Generation(1),
            name: "shop/x".into(),
            service: "web".into(),
            access: Access::Open,
            answer,
            paths,
        };
        let hosts = [("x.qa.example".to_owned(), route)].into();
        self.proxy.publish(RouteTable { hosts, families: BTreeMap::new() });
    }

    async fn at(&self, path: &str) -> String {
        self.plain(&format!("GET {path} HTTP/1.1\r\nHost: x.qa.example\r\nConnection: close\r\n\r\n")).await
    }
}

#[tokio::test]
async fn the_longest_path_wins_and_the_rest_goes_to_the_whole_host() {
    let house = House::new(false).await;
    let [web, api, docs] = [echo("web").await.0, echo("api").await.0, echo("docs").await.0];
    let paths =
        vec![below("/docs/api", true, Answer::Proxy(api)), below("/docs", false, Answer::Proxy(docs))];
    house.publish_paths(Answer::Proxy(web), paths);
    for (path, seen) in [
        ("/", "web\nGET / HTTP"),
        ("/docsx", "web\nGET /docsx HTTP"),
        ("/x/docs", "web\nGET /x/docs HTTP"),
        ("/docs", "docs\nGET /docs HTTP"),
        ("/docs/a?b=/c", "docs\nGET /docs/a?b=/c HTTP"),
        ("/docs/api", "api\nGET / HTTP"),
        ("/docs/api?y=1", "api\nGET /?y=1 HTTP"),
        ("/docs/api/v1/x?y=1", "api\nGET /v1/x?y=1 HTTP"),
    ] {
        let answer = house.at(path).await;
        assert!(answer.contains(seen), "{path}: {answer}");
        assert_eq!(answer.contains("x-forwarded-prefix: /docs/api"), seen.starts_with("api"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_that_waited_sees_the_path_that_it_asked_for() {
    let house = House::new(false).await;
    house.publish(&[("x", 1, Answer::Replacing(None))]);
    let address = house.proxy.http_address().unwrap();
    let (asked, asking) = tokio::sync::oneshot::channel();
    house.supervisor.spawn("visitor", async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let request = "GET /api/v1 HTTP/1.1\r\nHost: x.qa.example\r\nConnection: close\r\n\r\n";
        asked.send(exchange(stream, request).await).ok();
    });
    let [web, api] = [echo("web").await.0, echo("api").await.0];
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = Upstream::new(gone, Scheme::Http, "gone");
    // First a container that takes no connection, then the one that does: the prefix is taken off once.
    let replacing = below("/api", true, Answer::Replacing(Some(gone)));
    house.publish_paths(Answer::Proxy(web.clone()), vec![replacing]);
    house.publish_paths(Answer::Proxy(web), vec![below("/api", true, Answer::Proxy(api))]);
    let answer = asking.await.unwrap();
    assert!(answer.contains("api\nGET /v1 HTTP"), "{answer}");
}

#[tokio::test]
async fn a_path_may_be_down_while_the_rest_serves() {
    let house = House::new(false).await;
    let web = echo("web").await.0;
    house.publish_paths(Answer::Proxy(web), vec![below("/api", false, page(Phase::Failed, "it broke"))]);
    assert!(house.at("/").await.contains("web\n"));
    let answer = house.plain(&browse("x", "/api/v1")).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("it broke"), "{answer}");
}
