//! Starting, freezing and thawing containers that are there.

use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error;
use bollard::query_parameters::StartContainerOptions;

use super::{DockerEngine, checked_name, error, limited};
use crate::ports::{PortResult, Power, meters};

/// By then the engine has begun the container's first process, or says that it cannot.
const LIMIT: Duration = Duration::from_secs(60);
/// "Not modified": it runs already.
const AS_IT_IS: u16 = 304;
/// "Conflict": it is frozen already, is not frozen, or has ended.
const CONFLICT: u16 = 409;

#[async_trait]
impl Power for DockerEngine {
    async fn start(&self, container: &str) -> PortResult<()> {
        let (client, id) = (self.client()?, checked_name("container", container)?);
        let work = client.start_container(id, None::<StartContainerOptions>);
        meters::engine("start", self.named(within(id, AS_IT_IS, work).await))
    }

    async fn pause(&self, container: &str) -> PortResult<()> {
        let (client, id) = (self.client()?, checked_name("container", container)?);
        meters::engine("pause", self.named(within(id, CONFLICT, client.pause_container(id)).await))
    }

    async fn unpause(&self, container: &str) -> PortResult<()> {
        let (client, id) = (self.client()?, checked_name("container", container)?);
        meters::engine("unpause", self.named(within(id, CONFLICT, client.unpause_container(id)).await))
    }
}

/// An answer with this code says that there is nothing to do.
async fn within(
    id: &str,
    nothing_to_do: u16,
    work: impl Future<Output = Result<(), Error>> + Send,
) -> PortResult<()> {
    let what = format!("container {id}");
    limited(&what, LIMIT, async {
        match work.await {
            Err(failure) if error::code(&failure) == Some(nothing_to_do) => Ok(()),
            result => result.map_err(|failure| error::map(&what, failure)),
        }
    })
    .await
}
