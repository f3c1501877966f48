//! The projects at forges that drey tells what becomes of their branches.

use std::sync::Arc;

use anyhow::anyhow;

use crate::adapters::forge::{self, ForgeLogin, ForgeSettings};
use crate::config::{ForgeCredential, Repository};
use crate::ports::{Clock, ForgeApi, Redactor};

/// What speaking to a forge needs besides the configuration.
pub(super) type Outside = (Arc<dyn Clock>, Arc<Redactor>);

/// The repository's project; none where there is no token for it.
///
/// # Errors
/// When the key of an App cannot be read.
pub(super) fn connect(
    repository: &Repository,
    (clock, redactor): &Outside,
) -> anyhow::Result<Option<Arc<dyn ForgeApi>>> {
    let Some(account) = &repository.forge else { return Ok(None) };
    let Some(credential) = &account.credential else { return Ok(None) };
    let login = match credential {
        ForgeCredential::Token(token) => ForgeLogin::Token(token.reveal().to_owned()),
        ForgeCredential::User { user, password } => {
            ForgeLogin::User { user: user.clone(), token: password.reveal().to_owned() }
        }
        ForgeCredential::App { id, key } => ForgeLogin::App { id: id.clone(), key: key.reveal().to_owned() },
    };
    let settings = ForgeSettings {
        kind: account.kind,
        api: account.api.clone(),
        project: account.project.clone(),
        login,
        patience: forge::PATIENCE,
    };
    let connected = forge::connect(settings, clock.clone(), redactor.clone());
    connected.map(Some).map_err(|fault| anyhow!("repository {}: forge.{fault}", repository.name))
}
