//! What Traefik's HTTP provider polls.

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::Value;

use crate::domain::access::Role;
use crate::domain::traefik::{self, Frame};

use super::Web;
use super::access::Reach;
use super::error::ApiError;

/// The routes in force. Keys of client certificates are for those only who may do everything.
pub(super) async fn document(
    State(web): State<Web>,
    Extension(Reach(role)): Extension<Reach>,
) -> Result<Json<Value>, ApiError> {
    let document = web.traefik(role == Role::Admin);
    document.map(Json).ok_or_else(|| {
        ApiError::conflict(
            "Traefik cannot be led to drey: `proxy.http` is not there, or redirects to https; give `gate` under \
             [proxy.traefik]",
        )
    })
}

impl Web {
    /// What Traefik is told now; none where it is not known how it would reach the gate.
    pub fn traefik(&self, tells_keys: bool) -> Option<Value> {
        let served = self.inner.served.load();
        let frame = served.traefik.clone()?;
        Some(traefik::document(&self.inner.orchestrator.routes(), &Frame { tells_keys, ..frame }))
    }
}
