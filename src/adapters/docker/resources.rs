//! Containers and volumes: making and removing, each safe to run twice.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::{
    InspectContainerOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};

use super::{CALL_LIMIT, REMOVE_LIMIT, call, checked_name, error};
use crate::ports::{PortError, PortResult, VolumeRequest};

/// Between two looks at a container that somebody else is removing.
const REMOVAL_POLL: Duration = Duration::from_millis(50);

/// The engine itself counts a volume of the same name as made; what it does not do is compare the labels.
pub(super) async fn create_volume(client: &Docker, request: &VolumeRequest) -> PortResult<()> {
    let name = checked_name("volume", &request.name)?;
    let creation = VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: Some(request.driver_opts.clone().into_iter().collect()),
        labels: Some(request.labels.clone().into_iter().collect()),
        ..VolumeCreateRequest::default()
    };
    let made = call(&format!("volume {name}"), CALL_LIMIT, client.create_volume(creation)).await?;
    same_or_refuse(&made, request)
}

/// By force, with its anonymous volumes. Returns when it is gone, also when another call is removing it.
pub(super) async fn remove_container(client: &Docker, id: &str) -> PortResult<()> {
    let id = checked_name("container", id)?;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match client.remove_container(id, Some(options)).await {
        Ok(()) => Ok(()),
        Err(failure) if error::code(&failure) == Some(404) => Ok(()),
        Err(failure) if is_in_progress(&failure.to_string()) => wait_until_gone(client, id).await,
        Err(failure) => Err(error::map(&format!("container {id}"), failure)),
    }
}

/// A volume that a container still mounts is a transient error: the container is on its way out.
pub(super) async fn remove_volume(client: &Docker, name: &str) -> PortResult<()> {
    let name = checked_name("volume", name)?;
    let removal = client.remove_volume(name, None::<RemoveVolumeOptions>);
    match call(&format!("volume {name}"), REMOVE_LIMIT, removal).await {
        Err(PortError::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// The caller holds the limit.
async fn wait_until_gone(client: &Docker, id: &str) -> PortResult<()> {
    let what = format!("container {id}");
    loop {
        let look = client.inspect_container(id, None::<InspectContainerOptions>);
        match call(&what, CALL_LIMIT, look).await {
            Ok(_still_there) => tokio::time::sleep(REMOVAL_POLL).await,
            Err(PortError::NotFound(_)) => return Ok(()),
            Err(other) => return Err(other),
        }
    }
}

fn is_in_progress(message: &str) -> bool {
    message.contains("already in progress")
}

fn same_or_refuse(made: &Volume, request: &VolumeRequest) -> PortResult<()> {
    let differing = request.labels.iter().find(|(key, value)| made.labels.get(*key) != Some(value));
    match differing {
        None => Ok(()),
        Some((key, value)) => Err(PortError::Permanent(format!(
            "volume {name} is there already with other labels ({key} is {found:?}, wanted {value:?}); \
             if nobody needs its content, remove it with `docker volume rm {name}`",
            name = request.name,
            found = made.labels.get(key).map_or("absent", String::as_str),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    #[test]
    fn a_volume_of_other_labels_is_not_taken_over() {
        let request = VolumeRequest {
            name: "p_data".to_owned(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::from([("drey.definition".to_owned(), "new".to_owned())]),
        };
        let made = |definition: &str| Volume {
            labels: HashMap::from([("drey.definition".to_owned(), definition.to_owned())]),
            ..Volume::default()
        };
        assert!(same_or_refuse(&made("new"), &request).is_ok());
        let refused = same_or_refuse(&made("old"), &request).unwrap_err().to_string();
        assert!(refused.contains("\"old\"") && refused.contains("docker volume rm p_data"), "{refused}");
    }
}
