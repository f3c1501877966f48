//! Images in an archive: one tar stream as the engine packs it. A tar entry needs its length first, which the engine
//! does not tell, so the stream is written to a file of its own before.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::channel::{ChannelWriter, WAITING};
use super::write::Unfinished;
use super::{IMAGES, blocking, failed, read};
use crate::ports::{ImageStore, PortResult};

/// The images in a file beside the archive, removed when dropped; `None` without images.
pub(super) async fn spool(
    images: &dyn ImageStore,
    archive: &Path,
    references: &[String],
) -> PortResult<Option<Unfinished>> {
    if references.is_empty() {
        return Ok(None);
    }
    let spooled = Unfinished::beside(archive, ".images");
    let told = |error| failed("cannot write", spooled.path(), &error);
    let mut file = tokio::fs::File::create(spooled.path()).await.map_err(told)?;
    let mut chunks = images.save(references).await?;
    while let Some(chunk) = chunks.next().await {
        file.write_all(&chunk?).await.map_err(told)?;
    }
    file.flush().await.map_err(told)?;
    Ok(Some(spooled))
}

/// Puts the images of an archive back; one without images is done at once.
pub(super) async fn load(images: &dyn ImageStore, archive: PathBuf, volume_limit: u64) -> PortResult<()> {
    let (sender, mut chunks) = mpsc::channel(WAITING);
    let reading = blocking(move || {
        let mut writer = ChannelWriter::new(move |chunk| sender.blocking_send(Ok(chunk)).is_ok());
        let sent = read::walk(&archive, volume_limit, &mut |meta, content| {
            if meta.path == IMAGES.as_bytes() {
                std::io::copy(content, &mut writer)?;
            }
            Ok(())
        });
        let sent = sent.and_then(|()| std::io::Write::flush(&mut writer));
        sent.map_err(|error| failed("cannot restore from", &archive, &error))
    });
    let loading = async move {
        let Some(first) = chunks.recv().await else { return Ok(()) };
        let rest =
            stream::unfold(chunks, async |mut chunks| chunks.recv().await.map(|chunk| (chunk, chunks)));
        images.load(Box::pin(stream::iter([first]).chain(rest))).await.map(drop)
    };
    let (loaded, read) = tokio::join!(loading, reading);
    // Where loading failed, the reader only knows that nobody takes more.
    loaded?;
    read
}
