//! A socket on this machine that leads to the engine, for Compose and the builder.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};

use super::Reach;

/// Pause after a connection could not be taken: file descriptors may be short.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket. Whoever may open it rules the engine, so it lies in a folder of drey's own.
pub struct Bridge {
    listener: UnixListener,
    reach: Reach,
    path: PathBuf,
}

impl Bridge {
    /// One that a former life left is replaced.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn open(path: &Path, reach: Reach) -> io::Result<Self> {
        let is_there = std::fs::symlink_metadata(path).is_ok();
        if is_there {
            std::fs::remove_file(path)?;
        }
        Ok(Self { listener: UnixListener::bind(path)?, reach, path: path.to_owned() })
    }

    /// Passes on what comes, until `end` and until nothing is open any more.
    pub async fn serve(self, end: impl Future<Output = ()>) {
        let mut open = FuturesUnordered::new();
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                taken = self.listener.accept() => match taken {
                    Ok((stream, _)) => open.push(pass(stream, &self.reach)),
                    Err(error) => {
                        tracing::warn!(%error, "the engine's socket takes no connection");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(()) = open.next(), if !open.is_empty() => {}
            }
        }
        while open.next().await.is_some() {}
        std::fs::remove_file(&self.path).ok();
    }
}

async fn pass(mut stream: UnixStream, reach: &Reach) {
    let mut engine = match reach.dial().await {
        Ok(engine) => engine,
        Err(error) => return tracing::warn!(%error, "the engine cannot be reached"),
    };
    if let Err(error) = copy_bidirectional(&mut stream, &mut engine).await {
        tracing::debug!(%error, "a connection to the engine ended");
    }
}
