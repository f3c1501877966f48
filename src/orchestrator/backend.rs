//! What it takes to speak TLS to a service: files of the commit, secrets of the repository.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::domain::backend::{Authority, BackendTls, Manner};
use crate::domain::environment::Environment;
use crate::domain::observed::Observed;
use crate::domain::readiness;
use crate::domain::rewrite::{self, Discovered};
use crate::domain::route::Upstream;
use crate::domain::secrets::{Chosen, SecretName};
use crate::domain::stack::RouteSpec;

use super::house::House;
use super::secrets::chosen;

/// Certificates of a few authorities; nothing larger is one.
const LARGEST_AUTHORITY: u64 = 256 * 1024;

/// The files that the labels `drey.upstream.ca` name: path inside the checkout → text. What is not there, is no text or
/// leads out of the checkout is left out.
pub fn authorities(checkout: &Path, discovered: &Discovered) -> BTreeMap<String, String> {
    let manners = discovered.services.iter().map(|found| &found.manner);
    let read = |path: String| Some((path.clone(), text_inside(checkout, &path)?));
    rewrite::authority_paths(manners).into_iter().filter_map(read).collect()
}

fn text_inside(checkout: &Path, path: &str) -> Option<String> {
    let root = checkout.canonicalize().ok()?;
    let path = root.join(path).canonicalize().ok().filter(|path| path.starts_with(&root))?;
    let mut text = String::new();
    let file = std::fs::File::open(&path).ok().filter(|_| path.is_file())?;
    file.take(LARGEST_AUTHORITY).read_to_string(&mut text).ok()?;
    Some(text)
}

impl House {
    /// Where the route's service is reached now, with what it takes to speak to it.
    ///
    /// # Errors
    /// When a secret that its labels name is missing or cannot be read; in words for people.
    pub(super) async fn equipped(
        &self,
        environment: &Environment,
        route: &RouteSpec,
        observed: &Observed,
    ) -> Result<Option<Upstream>, String> {
        let Some(upstream) = readiness::upstream(route, observed) else { return Ok(None) };
        let tls = self.backend_tls(environment, &route.manner).await?;
        Ok(Some(Upstream { tls, ..upstream }))
    }

    async fn backend_tls(
        &self,
        environment: &Environment,
        manner: &Manner,
    ) -> Result<Option<Arc<BackendTls>>, String> {
        let Some(labels) = &manner.tls else { return Ok(None) };
        let all = match manner.secrets().next() {
            Some(_) => self.store.secrets(Some(&environment.repo)).await.map_err(|error| {
                tracing::error!(%error, environment.slug = %environment.slug, "its secrets cannot be read");
                "the secrets for its TLS cannot be read at the moment".to_owned()
            })?,
            None => Vec::new(),
        };
        let chosen = chosen(&all, environment, manner.secrets())?;
        let authority = match &labels.authority {
            None => None,
            Some(Authority::File { pem, .. }) => Some(pem.clone()),
            Some(Authority::Secret(name)) => {
                let text = String::from_utf8(self.opened(&chosen, name)?);
                Some(text.map_err(|error| format!("secret {name}: is no PEM text: {error}"))?)
            }
        };
        let identity =
            labels.client_certificate.as_ref().map(|name| self.opened(&chosen, name)).transpose()?;
        let (server_name, verify) = (labels.server_name.clone(), labels.verify);
        Ok(Some(Arc::new(BackendTls { authority, server_name, verify, identity })))
    }

    fn opened(&self, chosen: &Chosen<'_>, name: &SecretName) -> Result<Vec<u8>, String> {
        let secret = chosen.secrets.get(name).ok_or_else(|| format!("secret {name}: is gone"))?;
        self.ports.vault.open(&secret.sealed).map_err(|error| format!("secret {name}: {error}"))
    }
}
