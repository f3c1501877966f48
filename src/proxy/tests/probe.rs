//! The prober against servers that say little.

use super::*;
use crate::ports::{ProbeUrl, Prober};
use crate::proxy::HttpProber;

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Supervisor::new().spawn("brief", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap_or(0);
            assert!(read > 0, "the prober asks");
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.ok();
        }
    });
    let upstream = Upstream::new(address, Scheme::Http, "brief");
    let url = ProbeUrl { path: "/".into(), host: "x.qa.example".into(), proto: "https".into() };
    let prober = HttpProber::new().unwrap();
    for _ in 0..100 {
        let answer = prober.probe(&upstream, &url, Duration::from_secs(5)).await;
        assert!(matches!(answer, Ok(Some(204))), "{answer:?}");
    }
}
