//! Images as tar streams, out of the engine and into it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::ImportImageOptionsBuilder;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{DockerEngine, checked_name, error, images, limited};
use crate::ports::{ByteStream, ImageStore, PortError, PortResult};

/// An engine that writes nothing for this long is taken for dead; some pack everything before they send the first byte.
const SAVE_SILENCE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// All images of a stack, unpacked on a slow disk.
const LOAD_LIMIT: Duration = Duration::from_secs(60 * 60);
/// What the engine says of each tag that it took.
const LOADED: &str = "Loaded image: ";

#[async_trait]
impl ImageStore for DockerEngine {
    async fn save(&self, references: &[String]) -> PortResult<ByteStream> {
        if references.is_empty() {
            return Err(PortError::Permanent("no image was named that could be saved".to_owned()));
        }
        references.iter().try_for_each(|reference| checked_name("image", reference).map(|_| ()))?;
        let client = self.client()?.with_timeout(SAVE_SILENCE_LIMIT);
        for reference in references {
            // The engine gives an archive of what it has and an error at its end: better told at once.
            if images::facts(&client, reference).await?.is_none() {
                return Err(PortError::NotFound(format!("image {reference} is not there")));
            }
        }
        let what = format!("images {}", references.join(", "));
        let names: Vec<&str> = references.iter().map(String::as_str).collect();
        let bytes = Box::pin(client.export_images(&names));
        let limited = stream::try_unfold(bytes, move |mut bytes| {
            let what = what.clone();
            async move {
                let next = limited(&what, SAVE_SILENCE_LIMIT, async {
                    bytes.try_next().await.map_err(|failure| error::map(&what, failure))
                });
                Ok(next.await?.map(|piece| (piece, bytes)))
            }
        });
        Ok(Box::pin(limited))
    }

    async fn load(&self, stream: ByteStream) -> PortResult<Vec<String>> {
        let client = self.client()?.with_timeout(LOAD_LIMIT);
        // The engine tells only that the stream broke off; why is known to its source.
        let cause: Arc<Mutex<Option<PortError>>> = Arc::default();
        let told = Arc::clone(&cause);
        let watched = stream.map_err(move |failure| {
            let text = failure.to_string();
            told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
            std::io::Error::other(text)
        });
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let loaded = limited("load of images", LOAD_LIMIT, async {
            let mut answers = Box::pin(client.import_image_stream(options, watched, None));
            let mut tags = Vec::new();
            while let Some(answer) = answers.next().await {
                let said = answer.map_err(|failure| error::map("load of images", failure))?.stream;
                tags.extend(said.as_deref().into_iter().flat_map(str::lines).filter_map(tag));
            }
            tags.sort();
            Ok(tags)
        });
        let loaded = loaded.await;
        match cause.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(cause) => Err(cause),
            None => loaded,
        }
    }
}

fn tag(line: &str) -> Option<String> {
    let tag = line.strip_prefix(LOADED)?.trim();
    checked_name("image", tag).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::DockerSettings;
    use super::*;

    fn nowhere() -> DockerEngine {
        DockerEngine::new(DockerSettings {
            host: "unix:///nonexistent/engine.sock".to_owned(),
            reach: None,
            registries: Vec::new(),
        })
    }

    #[test]
    fn what_was_loaded_is_read_from_what_the_engine_says() {
        assert_eq!(tag("Loaded image: drey/shop/web:ab12").as_deref(), Some("drey/shop/web:ab12"));
        assert_eq!(tag("Loaded image ID: sha256:00"), None);
        assert_eq!(tag("Loaded image: ../x"), None);
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_transient_and_odd_names_are_refused() {
        let saved = nowhere().save(&["redis:7".to_owned()]).await;
        assert!(saved.is_err_and(|error| error.is_transient()));
        let saved = nowhere().save(&["../containers".to_owned()]).await;
        assert!(matches!(saved.map(|_| ()), Err(PortError::Permanent(_))));
        let loaded = nowhere().load(Box::pin(stream::empty())).await;
        assert!(loaded.is_err_and(|error| error.is_transient()));
    }
}
