//! Links that lead into a branch which is not for everybody.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::domain::environment::Environment;
use crate::domain::time::Timestamp;
use crate::domain::visitors::{LINK_PARAMETER, Place, Signed};
use crate::orchestrator::House;

use super::Web;
use super::environments::{Named, find_live};
use super::error::ApiError;

/// How somebody gets in.
#[derive(Debug, Serialize)]
pub struct LinkView {
    /// Who may look: `open`, `link`, `basic` or `token`.
    pub access: &'static str,
    /// With what lets in, where links do.
    pub url: String,
    /// Service → the same.
    pub urls: BTreeMap<String, String>,
    /// When the links end.
    pub expires_at: Option<Timestamp>,
}

pub(super) async fn show(State(web): State<Web>, named: Named) -> Result<Json<LinkView>, ApiError> {
    let environment = find_live(&web, named).await?;
    let house = web.inner.orchestrator.house();
    let routes = house.store.routes(environment.id).await?;
    let signed = signed(house, &environment);
    let settings = house.settings();
    let address = &settings.address;
    let url = |url: String| match &signed {
        Some(signed) => with(&url, signed),
        None => url,
    };
    Ok(Json(LinkView {
        access: settings.access(&environment.repo).word(),
        url: url(address.url(&address.primary_host(&environment.slug))),
        // The first of a service's names stays.
        urls: routes.iter().rev().map(|it| (it.route.service.clone(), url(address.url_of(it)))).collect(),
        expires_at: signed.as_ref().map(|signed| signed.until),
    }))
}

/// The link to the primary service; none where links do not lead in.
pub(super) fn link_to(house: &House, environment: &Environment) -> Option<String> {
    let settings = house.settings();
    let address = &settings.address;
    let url = address.url(&address.primary_host(&environment.slug));
    signed(house, environment).map(|signed| with(&url, &signed))
}

fn signed(house: &House, environment: &Environment) -> Option<Signed> {
    let name = environment.name();
    let place = Place { environment: environment.id, name: &name };
    house.settings().access(&environment.repo).link(place, house.ports.clock.now())
}

fn with(url: &str, signed: &Signed) -> String {
    format!("{url}/?{LINK_PARAMETER}={}", signed.text)
}
