//! A headless Chromium, driven through its debugging port.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::eventually;

/// A browser that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// One tab of a browser of its own.
pub(crate) struct Chromium {
    process: Child,
    socket: WebSocketStream<TcpStream>,
    last: u64,
    shots: PathBuf,
}

impl Chromium {
    /// With every name of `*.qa.example` on this machine.
    #[expect(clippy::disallowed_methods, reason = "a test starts a browser")]
    pub(crate) async fn open(profile: &Path) -> Self {
        let process = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--host-resolver-rules=MAP *.qa.example 127.0.0.1", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = || -> Option<u16> {
            let written = std::fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
            written.lines().next()?.parse().ok()
        };
        eventually("the browser starts", async || port().is_some()).await;
        let port = port().unwrap();
        let url = tab(port).await;
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
        std::fs::create_dir_all(&shots).unwrap();
        Self { process, socket, last: 0, shots }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let asked = json!({"id": self.last, "method": method, "params": params});
        self.socket.send(Message::text(asked.to_string())).await.unwrap();
        loop {
            let told = tokio::time::timeout(LIMIT, self.socket.next()).await.unwrap().unwrap().unwrap();
            let Message::Text(text) = told else { continue };
            let mut told: Value = serde_json::from_str(&text).unwrap();
            if told["id"] == self.last {
                return told["result"].take();
            }
        }
    }

    /// What a script in the page says; null while the page is exchanged for another.
    pub(crate) async fn says(&mut self, script: &str) -> Value {
        let mut told = self.call("Runtime.evaluate", json!({"expression": script})).await;
        told["result"]["value"].take()
    }

    /// Waits until a script says yes.
    pub(crate) async fn until(&mut self, script: &str) {
        let began = Instant::now();
        while self.says(script).await != true {
            if began.elapsed() > LIMIT {
                let page = self.says("location.href + '\\n' + document.documentElement.outerHTML").await;
                panic!("never: {script}\n{}", page.as_str().unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Goes to an address and waits until the page is there.
    pub(crate) async fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url})).await;
        self.until("document.readyState === 'complete' && location.protocol !== 'about:'").await;
    }

    /// Waits until the page of this path is there.
    pub(crate) async fn arrives(&mut self, path: &str) {
        self.until(&format!("document.readyState === 'complete' && location.pathname === {}", json!(path)))
            .await;
    }

    /// What is to be read on the page.
    pub(crate) async fn text(&mut self) -> String {
        self.says("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the link or button with this text.
    pub(crate) async fn click(&mut self, text: &str) {
        let found = format!(
            "[...document.querySelectorAll('a, button')].find((it) => it.innerText === {})",
            json!(text)
        );
        self.until(&format!("!!{found}")).await;
        self.says(&format!("{found}.click()")).await;
    }

    /// Keeps pictures of the page: by day, by night, and on a small screen. Nothing of it may be wider than the screen.
    pub(crate) async fn photograph(&mut self, name: &str) {
        for (kind, width, scheme) in
            [("light", 1000, "light"), ("dark", 1000, "dark"), ("narrow", 400, "light")]
        {
            let size = json!({"width": width, "height": 760, "deviceScaleFactor": 1, "mobile": false});
            self.call("Emulation.setDeviceMetricsOverride", size).await;
            let scheme = json!({"name": "prefers-color-scheme", "value": scheme});
            self.call("Emulation.setEmulatedMedia", json!({"features": [scheme]})).await;
            let wide = self.says("document.documentElement.scrollWidth").await;
            assert!(wide.as_u64().unwrap() <= width, "{name} is {wide} wide on a screen of {width}");
            let shot = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
            let image = BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
            assert!(image.len() > 1000, "{name}");
            std::fs::write(self.shots.join(format!("{name}-{kind}.png")), image).unwrap();
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Where the first tab is driven.
async fn tab(port: u16) -> String {
    let began = Instant::now();
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request =
            format!("GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        // It keeps the connection open: the list is there when it can be read.
        let (mut answer, mut tabs) = (Vec::new(), Value::Null);
        while tabs.is_null() && stream.read_buf(&mut answer).await.unwrap() > 0 {
            let text = String::from_utf8_lossy(&answer);
            let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            tabs = serde_json::from_str(body).unwrap_or_default();
        }
        let tab = tabs.as_array().into_iter().flatten().find(|tab| tab["type"] == "page");
        if let Some(url) = tab.and_then(|tab| tab["webSocketDebuggerUrl"].as_str()) {
            return url.to_owned();
        }
        assert!(began.elapsed() < LIMIT, "the browser has no tab: {tabs}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
