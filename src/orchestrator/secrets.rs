//! Secrets of repositories: kept, given to the branches that get them, and kept out of every text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::domain::environment::{Environment, Intent};
use crate::domain::names::RepoName;
use crate::domain::rewrite;
use crate::domain::secrets::{self, Chosen, SealedSecret, Secret, SecretName, Trust};
use crate::domain::settings::StackSettings;
use crate::domain::stack::Stack;
use crate::ports::{PortResult, SecretFiles};
use crate::store::StoreError;

use super::Orchestrator;
use super::failure::Failure;
use super::house::House;
use super::run::Run;

/// Whose code it is: that of a pull request's head is somebody else's, whoever approved it.
fn trust(environment: &Environment) -> Trust {
    match environment.branch.pull_number() {
        Some(_) => Trust::Fork,
        None => Trust::Branch,
    }
}

impl Run<'_> {
    /// Says what is missing before anything is built for it.
    pub(super) async fn check_secrets(&self, document: &Value) -> Result<(), Failure> {
        // What cannot be read the policy has refused.
        let wanted = StackSettings::read(document).unwrap_or_default().secrets;
        let spoken = rewrite::needed_secrets(document);
        if wanted.is_empty() && spoken.is_empty() {
            return Ok(());
        }
        let all = self.house.store.secrets(Some(&self.environment.repo)).await?;
        let names = wanted.values().flatten().chain(&spoken);
        chosen(&all, &self.environment, names).map(|_| ()).map_err(Failure::Blocked)
    }

    /// Puts the secrets of the stack where its containers see them; nothing where it asks for none.
    pub(super) async fn place_secrets(&self, stack: &Stack) -> Result<(), Failure> {
        let all = self.house.store.secrets(Some(&self.environment.repo)).await?;
        let chosen = complete(&all, &self.environment, &stack.settings.secrets).map_err(Failure::Blocked)?;
        Ok(place(self.house, &self.environment, &stack.settings, &chosen).await?)
    }
}

fn complete<'a>(
    all: &'a [SealedSecret],
    environment: &Environment,
    wanted: &BTreeMap<String, BTreeSet<SecretName>>,
) -> Result<Chosen<'a>, String> {
    chosen(all, environment, wanted.values().flatten())
}

/// What the branch gets, if that is all it asks for; else everything that is missing.
pub(super) fn chosen<'a, 'n>(
    all: &'a [SealedSecret],
    environment: &Environment,
    wanted: impl Iterator<Item = &'n SecretName>,
) -> Result<Chosen<'a>, String> {
    let trust = trust(environment);
    let chosen = secrets::choose(all, &environment.branch, trust);
    let names: BTreeSet<&SecretName> = wanted.collect();
    let whose = (&environment.repo, &environment.branch);
    let missing = names.into_iter().filter(|name| !chosen.secrets.contains_key(name));
    let missing: Vec<String> = missing.map(|name| chosen.missing(name, whose, trust)).collect();
    if missing.is_empty() { Ok(chosen) } else { Err(missing.join("\n")) }
}

async fn place(
    house: &House,
    environment: &Environment,
    settings: &StackSettings,
    chosen: &Chosen<'_>,
) -> PortResult<()> {
    let vault = &house.ports.vault;
    if settings.secrets.is_empty() {
        return vault.clear(environment.id).await;
    }
    let mut files = SecretFiles::new();
    for (service, names) in &settings.secrets {
        let of_service = files.entry(service.clone()).or_default();
        for (name, secret) in names.iter().filter_map(|name| chosen.secrets.get_key_value(name)) {
            let value = vault.open(&secret.sealed)?;
            house.ports.redactor.learn([value.as_slice()]);
            of_service.insert((*name).clone(), value);
        }
    }
    vault.place(environment.id, files).await
}

impl Orchestrator {
    /// Keeps a secret; environments get it with their next deployment or wake.
    ///
    /// # Errors
    /// When it cannot be encrypted, or the database does not answer.
    pub async fn set_secret(&self, secret: Secret, value: &[u8]) -> Result<(), Failed> {
        self.house.ports.redactor.learn([value]);
        let sealed = self.house.ports.vault.seal(value)?;
        tracing::info!(repo = %secret.repo, secret = %secret.name, branches = secret.branches, "a secret was set");
        Ok(self.house.store.set_secret(&SealedSecret { secret, sealed }).await?)
    }

    /// Forgets a secret; says whether there was one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn remove_secret(
        &self,
        repo: &RepoName,
        name: &SecretName,
        branches: &str,
    ) -> Result<bool, StoreError> {
        let was_there = self.house.store.remove_secret(repo, name, branches).await?;
        if was_there {
            tracing::info!(%repo, secret = %name, branches, "a secret was removed");
        }
        Ok(was_there)
    }

    /// At the start: nothing tells the values from now on, and what runs has its files, which a restart of the machine
    /// took away. What cannot be read now is told, and stands in the way of its own environments only.
    pub(super) async fn bring_secrets(&self) -> Result<(), StoreError> {
        let all = self.house.store.secrets(None).await?;
        for secret in &all {
            match self.house.ports.vault.open(&secret.sealed) {
                Ok(value) => self.house.ports.redactor.learn([value.as_slice()]),
                Err(error) => {
                    let Secret { repo, name, .. } = &secret.secret;
                    tracing::error!(%repo, secret = %name, %error, "a secret cannot be read");
                }
            }
        }
        for environment in self.house.store.environments(false).await? {
            if let Err(error) = self.bring_secrets_of(&environment, &all).await {
                tracing::warn!(environment.slug = %environment.slug, %error, "its secrets are not there");
            }
        }
        Ok(())
    }

    async fn bring_secrets_of(&self, environment: &Environment, all: &[SealedSecret]) -> Result<(), Failed> {
        let Some(applied) = self.house.store.stack(environment.id).await? else { return Ok(()) };
        let settings = applied.stack.settings;
        let rests = matches!(environment.intent, Intent::Sleep { .. } | Intent::End { .. });
        if settings.secrets.is_empty() || rests {
            return Ok(());
        }
        let of_repo: Vec<SealedSecret> =
            all.iter().filter(|it| it.secret.repo == environment.repo).cloned().collect();
        let chosen = complete(&of_repo, environment, &settings.secrets).map_err(Failed::Missing)?;
        Ok(place(&self.house, environment, &settings, &chosen).await?)
    }
}

/// Why a secret was not kept, or not given.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Port(#[from] crate::ports::PortError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Missing(String),
}
