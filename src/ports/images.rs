//! Images as files.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::PortResult;

/// Bytes as they come. An error is the last item.
pub type ByteStream = Pin<Box<dyn Stream<Item = PortResult<Bytes>> + Send>>;

/// Takes images out of the engine and puts them back.
#[async_trait]
pub trait ImageStore: Send + Sync {
    /// These images with their tags as one tar stream, as `docker save` makes it: layers that several of them have are in
    /// it once. Its length is not known before its end. `NotFound` when one of them is not there.
    async fn save(&self, references: &[String]) -> PortResult<ByteStream>;
    /// Puts in what [`ImageStore::save`] gave, and tells the tags that came with it, sorted; an image that is there
    /// already stays. Tags lead to what the stream says afterwards: only for streams that drey wrote itself.
    async fn load(&self, stream: ByteStream) -> PortResult<Vec<String>>;
}
