//! One order: from the names to the certificate (RFC 8555, 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, Error, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::failed::{Failed, told};
use super::proofs::{Proof, Stage, kind_of, settles};
use crate::config::Acme;

/// How the authority is asked whether it has validated, and whether it has signed.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
/// Tries of one step whose nonce the authority does not take; each of them is three requests.
pub(super) const NONCE_TRIES: usize = 5;
/// Does a step again when the authority refuses its nonce (RFC 8555, 6.5): it has done nothing then. No function, because
/// a future made by a closure that borrows cannot be sent to another thread.
macro_rules! patiently {
    ($step:expr) => {{
        let mut left = $crate::proxy::acme::order::NONCE_TRIES;
        loop {
            left -= 1;
            match $step.await {
                Err(instant_acme::Error::Api(problem))
                    if left > 0
                        && $crate::proxy::acme::failed::is(
                            &problem,
                            $crate::proxy::acme::failed::BAD_NONCE,
                        ) => {}
                result => break result,
            }
        }
    }};
}

pub(super) use patiently;

/// Orders a certificate for the names and proves that they are ours. Gives back its key and chain, PEM. Proofs that were
/// shown are in `shown`, also when the order is dropped on its way.
pub(super) async fn obtain(
    account: &Account,
    names: &[String],
    acme: &Acme,
    stage: &Stage,
    shown: &mut Vec<Proof>,
) -> Result<String, Failed> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = patiently!(account.new_order(&NewOrder::new(&identifiers)))?;
    // Their state is kept in the order: from here on they can be gone through without a question.
    patiently!(look_at_authorizations(&mut order))?;
    show_proofs(&mut order, acme, stage, shown).await?;
    if settles(acme) {
        tokio::time::sleep(acme.propagation).await;
    }
    ask_to_validate(&mut order, acme).await?;
    let validated = patiently!(order.poll_ready(&POLL));
    if !matches!(validated, Ok(OrderStatus::Ready)) {
        return Err(why(&mut order, validated).await);
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    patiently!(order.finalize_csr(request.der()))?;
    let chain = patiently!(order.poll_certificate(&POLL))?;
    Ok(format!("{}{chain}", key.serialize_pem()))
}

async fn look_at_authorizations(order: &mut Order) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(found) = authorizations.next().await {
        found?;
    }
    Ok(())
}

/// All of them first: two proofs for one name of the domain name system are there together.
async fn show_proofs(
    order: &mut Order,
    acme: &Acme,
    stage: &Stage,
    shown: &mut Vec<Proof>,
) -> Result<(), Failed> {
    let mut authorizations = order.authorizations();
    while let Some(found) = authorizations.next().await {
        let mut authorization = found?;
        // What was proven before may still count.
        if authorization.status == AuthorizationStatus::Pending {
            let challenge = authorization.challenge(kind_of(acme.challenge)).ok_or_else(|| {
                Failed::Refused(format!("the authority does not offer {}", acme.challenge.word()))
            })?;
            stage.show(acme.challenge, &challenge, shown).await?;
        }
    }
    Ok(())
}

async fn ask_to_validate(order: &mut Order, acme: &Acme) -> Result<(), Failed> {
    let mut authorizations = order.authorizations();
    while let Some(found) = authorizations.next().await {
        let mut authorization = found?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut challenge) = authorization.challenge(kind_of(acme.challenge)) {
            patiently!(challenge.set_ready())?;
        }
    }
    Ok(())
}

/// What the authority says of the names that it did not find ours; else of the order.
async fn why(order: &mut Order, validated: Result<OrderStatus, Error>) -> Failed {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // Best effort: the order has failed, whatever else can be learned.
        authorization.refresh().await.ok();
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(errors.map(|problem| format!("{}: {}", authorization.identifier(), told(problem))));
    }
    match validated {
        _ if !reasons.is_empty() => Failed::Refused(reasons.join("; ")),
        Ok(status) => Failed::Refused(format!("the order is {status:?}, and the authority does not say why")),
        Err(error) => Failed::Authority(error),
    }
}
