//! What a daemon that ends still answers.

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::supervisor::Supervisor;

use super::error::ApiError;

/// Seconds until a restarted daemon is back, most of the time.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("10");

/// Questions are answered to the end; what would begin something is refused at once, so that a hook keeps it.
pub(super) async fn refuse(State(supervisor): State<Supervisor>, request: Request, next: Next) -> Response {
    let asks_only = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let ready = request.uri().path() == "/readyz";
    let mut response = if asks_only || !supervisor.is_ending() {
        next.run(request).await
    } else {
        ApiError::draining().into_response()
    };
    if supervisor.is_ending() && (ready || !asks_only) {
        response.headers_mut().insert(RETRY_AFTER, COME_AGAIN);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn from_the_first_signal_on_only_questions_are_answered() {
        let supervisor = Supervisor::new();
        let router = Router::new()
            .route("/it", get(async || "is so").post(async || "done"))
            .layer(axum::middleware::from_fn_with_state(supervisor.clone(), refuse));
        let ask = async |method: &str| {
            let request = http::Request::builder().method(method).uri("/it").body(Body::empty()).unwrap();
            let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
            (response.status(), response.headers().contains_key(RETRY_AFTER))
        };
        assert_eq!(ask("POST").await, (StatusCode::OK, false));
        supervisor.drain();
        assert_eq!(ask("POST").await, (StatusCode::SERVICE_UNAVAILABLE, true));
        assert_eq!(ask("GET").await, (StatusCode::OK, false));
    }
}
