//! The environments' own folders under `DATA_DIR/environments/<id>/`.

mod copy;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use crate::domain::names::EnvironmentId;
use crate::domain::stack::{BOUND_FILE, BindSpec};
use crate::ports::{PortError, PortResult, Workspace};

/// Suffix of a bind that is being written; one without it is whole.
const UNFINISHED: &str = ".unfinished";

/// Folders on the local disk.
#[derive(Clone, Debug)]
pub struct DiskWorkspace {
    root: PathBuf,
}

impl DiskWorkspace {
    /// `root` is `DATA_DIR/environments`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn checkout(&self, environment: EnvironmentId) -> PathBuf {
        self.directory(environment).join("checkout")
    }
}

#[async_trait]
impl Workspace for DiskWorkspace {
    fn directory(&self, environment: EnvironmentId) -> PathBuf {
        self.root.join(environment.to_string())
    }

    fn binds_directory(&self, environment: EnvironmentId) -> PathBuf {
        self.directory(environment).join("binds")
    }

    async fn fresh_checkout(&self, environment: EnvironmentId) -> PortResult<PathBuf> {
        let checkout = self.checkout(environment);
        let parent = self.directory(environment);
        blocking(move || {
            remove_all(&checkout)?;
            std::fs::create_dir_all(parent)?;
            Ok(checkout)
        })
        .await
    }

    async fn discard_checkout(&self, environment: EnvironmentId) -> PortResult<()> {
        let checkout = self.checkout(environment);
        blocking(move || remove_all(&checkout)).await
    }

    async fn binds(&self, environment: EnvironmentId) -> PortResult<BTreeSet<String>> {
        let directory = self.binds_directory(environment);
        blocking(move || list_binds(&directory)).await
    }

    async fn write_binds(
        &self,
        environment: EnvironmentId,
        checkout: &Path,
        binds: &[BindSpec],
    ) -> PortResult<()> {
        let directory = self.binds_directory(environment);
        let (checkout, binds) = (checkout.to_owned(), binds.to_owned());
        blocking(move || {
            std::fs::create_dir_all(&directory)?;
            binds.iter().try_for_each(|bind| write_bind(&directory, &checkout, bind))
        })
        .await
    }

    async fn prune_binds(&self, environment: EnvironmentId, keep: &BTreeSet<String>) -> PortResult<()> {
        let directory = self.binds_directory(environment);
        let keep = keep.clone();
        blocking(move || {
            for id in list_binds(&directory)?.difference(&keep) {
                remove_all(&directory.join(id))?;
            }
            Ok(())
        })
        .await
    }

    async fn remove(&self, environment: EnvironmentId) -> PortResult<()> {
        let directory = self.directory(environment);
        blocking(move || remove_all(&directory)).await
    }
}

fn write_bind(directory: &Path, checkout: &Path, bind: &BindSpec) -> io::Result<()> {
    let finished = directory.join(&bind.content_id);
    if finished.exists() {
        return Ok(());
    }
    let unfinished = directory.join(format!("{}{UNFINISHED}", bind.content_id));
    remove_all(&unfinished)?;
    let source = copy::resolve_inside(checkout, &bind.source)?;
    if bind.is_file {
        std::fs::create_dir(&unfinished)?;
        std::fs::copy(&source, unfinished.join(BOUND_FILE))?;
    } else {
        copy::copy_tree(&source, &unfinished)?;
    }
    std::fs::rename(&unfinished, &finished)
}

fn list_binds(directory: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut ids = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.ends_with(UNFINISHED) {
            ids.insert(name);
        }
    }
    Ok(ids)
}

fn remove_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> PortResult<T> {
    match spawn_blocking(work).await {
        Ok(result) => {
            let told = |error| format!("files of the environment: {error}");
            result.map_err(|error| PortError::outside("the checkout", told(error)))
        }
        Err(_) => Err(PortError::Transient("files of the environment: the work was given up".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn bind(source: &str, content_id: &str, is_file: bool) -> BindSpec {
        BindSpec { source: source.into(), content_id: content_id.into(), is_file }
    }

    #[tokio::test]
    async fn binds_are_written_once_and_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = folder.path().join("checkout");
        std::fs::create_dir_all(checkout.join("conf/sub")).unwrap();
        std::fs::write(checkout.join("conf/sub/a"), "a").unwrap();
        symlink("/etc", checkout.join("conf/out")).unwrap();
        let workspace = DiskWorkspace::new(folder.path().join("environments"));
        let id = EnvironmentId(7);
        let binds = [bind("conf", "t1", false), bind("conf/sub/a", "f1", true)];
        workspace.write_binds(id, &checkout, &binds).await.unwrap();
        workspace.write_binds(id, &checkout, &binds).await.unwrap();
        let root = workspace.binds_directory(id);
        assert_eq!(std::fs::read_to_string(root.join("t1/sub/a")).unwrap(), "a");
        assert_eq!(std::fs::read_to_string(root.join("f1/file")).unwrap(), "a");
        assert!(root.join("t1/out").is_symlink());
        workspace.prune_binds(id, &BTreeSet::from(["f1".to_owned()])).await.unwrap();
        assert_eq!(workspace.binds(id).await.unwrap(), BTreeSet::from(["f1".to_owned()]));
        workspace.remove(id).await.unwrap();
        workspace.remove(id).await.unwrap();
    }

    #[tokio::test]
    async fn a_bind_through_a_link_that_leads_out_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = folder.path().join("checkout");
        std::fs::create_dir_all(&checkout).unwrap();
        symlink("/", checkout.join("assets")).unwrap();
        let workspace = DiskWorkspace::new(folder.path().join("environments"));
        let binds = [bind("assets/etc", "t1", false)];
        assert!(workspace.write_binds(EnvironmentId(1), &checkout, &binds).await.is_err());
        assert!(workspace.binds(EnvironmentId(1)).await.unwrap().is_empty());
    }
}
