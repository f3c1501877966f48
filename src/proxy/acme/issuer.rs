//! Sees to it that there is a certificate: one order at a time, none while a good one is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use instant_acme::{Account, ExternalAccountKey, NewAccount};
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_util::sync::CancellationToken;

use super::authority::Client;
use super::failed::Failed;
use super::kept::{Kept, WILDCARD, lives};
use super::order::{obtain, patiently};
use super::proofs::Stage;
use crate::config::{Acme, AcmeChallenge};
use crate::domain::issuance::{self, Life, Next, Tries, Wanted};
use crate::domain::text::clean_line;
use crate::domain::time::Timestamp;
use crate::ports::{Clock, DnsRecords, meters};
use crate::proxy::aside::aside;
use crate::proxy::challenges::Challenges;
use crate::proxy::examine::Shown;
use crate::proxy::renewal::Renewal;
use crate::proxy::settings::ProxyError;
use crate::proxy::table::Table;

/// How often it is looked at the latest whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pause between two looks at the least.
const BREATH: Duration = Duration::from_secs(1);

/// What an issuer is made from.
pub(in crate::proxy) struct IssuerParts {
    pub(in crate::proxy) acme: Acme,
    pub(in crate::proxy) domain: String,
    pub(in crate::proxy) records: Option<Arc<dyn DnsRecords>>,
    pub(in crate::proxy) challenges: Arc<Challenges>,
    pub(in crate::proxy) provider: Arc<CryptoProvider>,
    pub(in crate::proxy) renewal: Arc<Renewal>,
}

/// Orders certificates.
pub(in crate::proxy) struct Issuer {
    acme: Acme,
    domain: String,
    kept: Kept,
    stage: Stage,
    client: Client,
    renewal: Arc<Renewal>,
    state: Mutex<State>,
}

/// What is known without looking at files.
struct State {
    held: BTreeMap<String, Life>,
    tries: Tries,
    /// Hosts that visitors asked for and that have no certificate, the first one first.
    asked: Vec<String>,
}

impl Issuer {
    pub(in crate::proxy) fn new(tls: &Path, parts: IssuerParts) -> Result<Self, ProxyError> {
        let IssuerParts { acme, domain, records, challenges, provider, renewal } = parts;
        let kept = Kept::new(tls, &acme.directory);
        let client = Client::new(&provider, acme.directory_ca.as_deref())?;
        let held = lives(&kept.certificates(&provider), &domain);
        let state = Mutex::new(State { held, tries: kept.tries(), asked: Vec::new() });
        let stage = Stage { challenges, records, provider };
        Ok(Self { acme, domain, kept, stage, client, renewal, state })
    }

    /// Until the daemon drains.
    pub(in crate::proxy) async fn run(
        &self,
        table: &Table,
        clock: Arc<dyn Clock>,
        draining: CancellationToken,
    ) {
        let mut changes = table.changes();
        loop {
            changes.mark_unchanged();
            let now = clock.now();
            let wanted = self.wanted(table, now);
            if table.is_published() {
                self.tidy(&wanted, now).await;
            }
            let next = {
                let state = self.lock();
                let per_hour = usize::try_from(self.acme.orders_per_hour).unwrap_or(usize::MAX);
                issuance::next(&wanted, &state.held, &state.tries, per_hour, now)
            };
            let pause = match next {
                Next::Order(wanted) => {
                    self.order(&wanted, &*clock, &draining).await;
                    BREATH
                }
                Next::Wait(until) => {
                    until.map_or(LOOK_EVERY, |until| until.since(now).clamp(BREATH, LOOK_EVERY))
                }
            };
            tokio::select! {
                () = draining.cancelled() => return,
                () = self.woken(&mut changes, pause) => {}
            }
        }
    }

    /// When something may be due: after the pause, with a new table, for a visitor without a certificate.
    async fn woken(&self, changes: &mut watch::Receiver<()>, pause: Duration) {
        tokio::time::sleep(BREATH.min(pause)).await;
        tokio::select! {
            // Its sender lives as long as the proxy.
            _ = changes.changed(), if self.acme.challenge != AcmeChallenge::Dns01 => {}
            () = self.renewal.asked() => {}
            () = tokio::time::sleep(pause.saturating_sub(BREATH)) => {}
        }
    }

    /// By one wildcard, or for each host of the table, those first that somebody asked for.
    fn wanted(&self, table: &Table, now: Timestamp) -> Vec<Wanted> {
        if self.acme.challenge == AcmeChallenge::Dns01 {
            let names = vec![format!("*.{}", self.domain), self.domain.clone()];
            return vec![Wanted { key: WILDCARD.to_owned(), names }];
        }
        if !table.is_published() {
            return Vec::new();
        }
        let hosts = table.hosts();
        let mut state = self.lock();
        let state = &mut *state;
        // Of a time with another challenge: as long as it is good, it is for every host.
        if state.held.get(WILDCARD).is_some_and(|life| now < life.renew_at()) {
            return Vec::new();
        }
        for host in self.renewal.take_asked() {
            if !state.asked.contains(&host) {
                state.asked.push(host);
            }
        }
        state.asked.retain(|host| hosts.contains(host) && !state.held.contains_key(host));
        let rest = hosts.iter().filter(|host| !state.asked.contains(host));
        let all = state.asked.iter().chain(rest);
        all.map(|host| Wanted { key: host.clone(), names: vec![host.clone()] }).collect()
    }

    /// Forgets what nobody wants any more: failures, and certificates whose life is over. Others may come back.
    async fn tidy(&self, wanted: &[Wanted], now: Timestamp) {
        let is_over =
            |key: &String, life: &Life| life.until <= now && !wanted.iter().any(|wanted| wanted.key == *key);
        let mut over = Vec::new();
        {
            let mut state = self.lock();
            state.tries.keep_only(wanted);
            state.held.retain(|key, life| {
                let is_over = is_over(key, life);
                if is_over {
                    over.push(key.clone());
                }
                !is_over
            });
        }
        if over.is_empty() {
            return;
        }
        let kept = self.kept.clone();
        let removed = aside(move || {
            over.iter().for_each(|key| kept.remove(key));
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "certificates whose life is over stay");
        }
    }

    async fn order(&self, wanted: &Wanted, clock: &dyn Clock, draining: &CancellationToken) {
        let key = &wanted.key;
        tracing::info!(certificate = %key, directory = %self.acme.directory, "a certificate is ordered");
        let ordered = match self.begin(clock).await {
            Ok(()) => self.obtain(wanted, draining).await,
            Err(error) => Err(error.into()),
        };
        let taken_up = match ordered {
            Ok(pem) => self.take_up(key, pem, clock).await,
            Err(failed) => Err(failed),
        };
        match taken_up {
            Ok(()) => meters::acme_order("issued"),
            // The next start orders it anew.
            Err(Failed::Ended) => return,
            Err(error) => self.note_failure(key, &error, clock.now()),
        }
        if let Err(error) = self.write_tries().await {
            tracing::error!(%error, "what was ordered cannot be written down");
        }
    }

    async fn write_tries(&self) -> Result<(), ProxyError> {
        let (kept, tries) = (self.kept.clone(), self.lock().tries.clone());
        aside(move || kept.put_tries(&tries)).await
    }

    fn note_failure(&self, key: &str, error: &Failed, now: Timestamp) {
        let reason = clean_line(&error.to_string());
        let mut state = self.lock();
        state.tries.failed(key, reason.clone(), now);
        let again = state.tries.failures.get(key).map(|failure| failure.again_at().to_string());
        drop(state);
        let again = again.unwrap_or_default();
        tracing::error!(certificate = %key, reason, again, "a certificate was ordered and not got");
        meters::acme_order("failed");
    }

    /// Written down before anything is asked: what dies on its way counts.
    async fn begin(&self, clock: &dyn Clock) -> Result<(), ProxyError> {
        self.lock().tries.begin(clock.now());
        self.write_tries().await
    }

    async fn obtain(&self, wanted: &Wanted, draining: &CancellationToken) -> Result<String, Failed> {
        let ordered = self.obtain_once(wanted, draining).await;
        if !ordered.as_ref().is_err_and(Failed::is_unknown_account) {
            return ordered;
        }
        tracing::warn!("the authority does not know drey's account any more: a new one is made");
        let kept = self.kept.clone();
        aside(move || {
            kept.forget_account();
            Ok(())
        })
        .await?;
        self.obtain_once(wanted, draining).await
    }

    async fn obtain_once(&self, wanted: &Wanted, draining: &CancellationToken) -> Result<String, Failed> {
        let mut shown = Vec::new();
        let ordered = tokio::select! {
            () = draining.cancelled() => Err(Failed::Ended),
            ordered = async {
                let account = self.account().await?;
                obtain(&account, &wanted.names, &self.acme, &self.stage, &mut shown).await
            } => ordered,
        };
        self.stage.clear(shown).await;
        ordered
    }

    /// The one that is kept, else a new one; whoever configures this mode agrees to the authority's terms.
    async fn account(&self) -> Result<Account, Failed> {
        let builder = || Account::builder_with_http(Box::new(self.client.clone()));
        let kept = self.kept.clone();
        if let Some(text) = aside(move || kept.account()).await? {
            let credentials = serde_json::from_str(&text)
                .map_err(|error| Failed::Refused(format!("account.json: {error}; remove it")))?;
            return Ok(builder().from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.acme.contact.iter().map(String::as_str).collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let binding = self.acme.binding.as_ref();
        let binding = binding.map(|it| ExternalAccountKey::new(it.key_id.clone(), &it.key()));
        let directory = self.acme.directory.clone();
        let (account, credentials) = patiently!(builder().create(&new, directory.clone(), binding.as_ref()))?;
        let text = serde_json::to_string(&credentials).map_err(instant_acme::Error::from)?;
        let kept = self.kept.clone();
        aside(move || kept.put_account(&text)).await?;
        Ok(account)
    }

    /// Keeps the certificate and shows it from now on.
    async fn take_up(&self, key: &str, pem: String, clock: &dyn Clock) -> Result<(), Failed> {
        let path = Path::new(key);
        let shown = Shown::parse((pem.as_bytes(), pem.as_bytes()), (path, path), &self.stage.provider)?;
        let (kept, name) = (self.kept.clone(), key.to_owned());
        aside(move || kept.put(&name, &pem)).await?;
        let life = Life { from: shown.facts.valid_from, until: shown.facts.valid_until };
        self.holds(key, life, clock.now());
        let (renewal, now) = (self.renewal.clone(), clock.now());
        aside(move || renewal.renew(now)).await?;
        tracing::info!(certificate = %key, until = %life.until, "a certificate is there");
        Ok(())
    }

    fn holds(&self, key: &str, life: Life, now: Timestamp) {
        let mut state = self.lock();
        state.held.insert(key.to_owned(), life);
        if life.renew_at() > now {
            state.tries.succeeded(key);
        } else {
            let reason =
                "it is due for renewal as soon as it is there: is this machine's clock right?".to_owned();
            state.tries.failed(key, reason, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
