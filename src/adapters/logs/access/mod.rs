//! What visitors asked for, as lines of JSON: taken without waiting, written by one task.

mod rotation;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::mpsc;

use self::rotation::Rotated;
use crate::domain::names::EnvironmentId;
use crate::domain::outsiders;
use crate::domain::time::Timestamp;
use crate::ports::meters;
use crate::ports::{AccessLog, AccessRecord, LogMark, PortError, PortResult, Redactor};

pub(super) use self::rotation::is_access_log;

/// Requests that wait for the writer; further ones are lost.
const QUEUE: usize = 8192;
/// How long is gathered for one write.
const GATHER: Duration = Duration::from_millis(100);

/// `DATA_DIR/environments/<id>/logs/access.jsonl`, and older ones beside it.
pub struct FileAccessLog {
    root: PathBuf,
    queue: mpsc::Sender<AccessRecord>,
}

/// Writes what [`FileAccessLog`] took.
pub struct AccessWriter {
    root: PathBuf,
    queue: mpsc::Receiver<AccessRecord>,
    redactor: Arc<Redactor>,
}

impl FileAccessLog {
    /// `root` is `DATA_DIR/environments`. The writer has to be run.
    pub fn new(root: PathBuf, redactor: Arc<Redactor>) -> (Self, AccessWriter) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self { root: root.clone(), queue: sender }, AccessWriter { root, queue, redactor })
    }
}

#[async_trait]
impl AccessLog for FileAccessLog {
    fn record(&self, record: AccessRecord) {
        // It has no folder, and nobody who would ask for it.
        if outsiders::is_outside(record.environment) {
            return;
        }
        if self.queue.try_send(record).is_err() {
            meters::access_lost(1);
        }
    }

    async fn read(
        &self,
        environment: EnvironmentId,
        since: Option<LogMark>,
    ) -> PortResult<(Vec<String>, LogMark)> {
        let log = Rotated::new(folder(&self.root, environment));
        let read = tokio::task::spawn_blocking(move || log.read(since)).await;
        read.map_err(std::io::Error::other)
            .flatten()
            .map_err(|error| PortError::Transient(format!("the access log cannot be read: {error}")))
    }
}

impl AccessWriter {
    /// Until `ending`, and then what is there already.
    pub async fn run(mut self, ending: impl Future<Output = ()>) {
        let mut ending = std::pin::pin!(ending);
        let mut records = Vec::new();
        loop {
            tokio::select! {
                taken = self.queue.recv_many(&mut records, QUEUE) => if taken == 0 { return },
                () = &mut ending => break,
            }
            self.write(std::mem::take(&mut records)).await;
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = &mut ending => break,
            }
        }
        self.queue.close();
        while self.queue.recv_many(&mut records, QUEUE).await > 0 {
            self.write(std::mem::take(&mut records)).await;
        }
    }

    async fn write(&self, records: Vec<AccessRecord>) {
        let mut texts: BTreeMap<EnvironmentId, (String, u64)> = BTreeMap::new();
        for record in &records {
            let (text, lines) = texts.entry(record.environment).or_default();
            text.push_str(&self.redactor.text(&line(record)));
            text.push('\n');
            *lines += 1;
        }
        let root = self.root.clone();
        let written = tokio::task::spawn_blocking(move || {
            for (environment, (text, lines)) in texts {
                if let Err(error) = Rotated::new(folder(&root, environment)).append(&text) {
                    meters::access_lost(lines);
                    tracing::debug!(%error, environment.id = environment.0, "its access log cannot be written on");
                }
            }
        });
        if written.await.is_err() {
            tracing::warn!("the access log was not written on");
        }
    }
}

fn folder(root: &Path, environment: EnvironmentId) -> PathBuf {
    root.join(environment.to_string()).join("logs")
}

/// As it is written, in this order.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    client: &'a str,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    http: &'a str,
    status: u16,
    service: &'a str,
    received: u64,
    sent: u64,
    held_ms: f64,
    upstream_ms: Option<f64>,
    total_ms: f64,
    agent: &'a str,
}

fn line(record: &AccessRecord) -> String {
    // To the tenth: finer is noise.
    let millis = |duration: Duration| (duration.as_secs_f64() * 10_000.0).round() / 10.0;
    let line = Line {
        at: record.at,
        client: &record.client,
        method: &record.method,
        host: &record.host,
        path: &record.path,
        http: record.http,
        status: record.status,
        service: &record.service,
        received: record.received,
        sent: record.sent,
        held_ms: millis(record.held),
        upstream_ms: record.upstream.map(millis),
        total_ms: millis(record.total),
        agent: &record.agent,
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str) -> AccessRecord {
        AccessRecord {
            environment: EnvironmentId(3),
            at: Timestamp::from_millis(0),
            method: "GET".into(),
            host: "x.qa.example".into(),
            path: path.into(),
            status: 200,
            received: 0,
            sent: 12,
            held: Duration::ZERO,
            upstream: Some(Duration::from_micros(1_234)),
            total: Duration::from_millis(2),
            service: "web".into(),
            client: "192.0.2.1".into(),
            agent: "a \"browser\"\n".into(),
            http: "1.1",
        }
    }

    #[tokio::test]
    async fn each_request_is_a_line_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("3")).unwrap();
        let redactor = Arc::new(Redactor::default());
        redactor.learn([&b"hunter22"[..]]);
        let (log, writer) = FileAccessLog::new(folder.path().to_owned(), redactor);
        log.record(record("/a?p=*"));
        log.record(record("/hunter22"));
        log.record(AccessRecord { environment: EnvironmentId(4), ..record("/nobody") });
        writer.run(std::future::ready(())).await;
        let (lines, mark) = log.read(EnvironmentId(3), None).await.unwrap();
        assert_eq!(
            lines[0],
            "{\"at\":\"1970-01-01T00:00:00.000Z\",\"client\":\"192.0.2.1\",\"method\":\"GET\",\"host\":\"x.qa.example\",\
             \"path\":\"/a?p=*\",\"http\":\"1.1\",\"status\":200,\"service\":\"web\",\"received\":0,\"sent\":12,\
             \"held_ms\":0.0,\"upstream_ms\":1.2,\"total_ms\":2.0,\"agent\":\"a \\\"browser\\\"\\n\"}"
        );
        assert!(lines[1].contains("\"path\":\"/***\""), "{}", lines[1]);
        assert_eq!(lines.len(), 2);
        assert_eq!(log.read(EnvironmentId(3), Some(mark)).await.unwrap(), (Vec::new(), mark));
        assert!(!folder.path().join("4").exists(), "what is gone is not made again");
        assert!(log.read(EnvironmentId(4), None).await.unwrap().0.is_empty());
    }
}
