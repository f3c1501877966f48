//! The plain listener beside a TLS one: proofs for an authority, the local authority's certificate, and a redirect for
//! everything else.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use http::header::LOCATION;
use http::{HeaderValue, Request, Response, StatusCode};

use super::answer::{self, AnswerBody};
use super::challenges::Challenges;
use super::host;

/// Where every host offers the local authority's certificate.
const AUTHORITY_PATH: &str = "/.well-known/drey-ca.pem";

/// Answers on the plain port.
pub(super) struct Redirect {
    pub(super) https_port: u16,
    pub(super) authority: Option<PathBuf>,
    /// Where an authority is asked for certificates: what it looks for here.
    pub(super) challenges: Option<Arc<Challenges>>,
}

impl Redirect {
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Result<Response<AnswerBody>, Infallible> {
        // Whatever the host, and whether it is known: the authority asks before anybody else does.
        let challenges = self.challenges.as_ref();
        if let Some(answer) = challenges.and_then(|challenges| challenges.answer(request.uri().path())) {
            return Ok(match answer {
                Some(proof) => {
                    let kind = HeaderValue::from_static("application/octet-stream");
                    answer::with_content(StatusCode::OK, kind, proof)
                }
                None => answer::text(StatusCode::NOT_FOUND, "No certificate is being ordered for this."),
            });
        }
        if request.uri().path() == AUTHORITY_PATH
            && let Some(path) = &self.authority
        {
            return Ok(match tokio::fs::read(path).await {
                Ok(pem) => {
                    let kind = HeaderValue::from_static("application/x-pem-file");
                    answer::with_content(StatusCode::OK, kind, pem)
                }
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "the authority's certificate cannot be read");
                    answer::text(StatusCode::INTERNAL_SERVER_ERROR, "The certificate cannot be read.")
                }
            });
        }
        Ok(self.elsewhere(&request).unwrap_or_else(|refusal| refusal))
    }

    /// The same host, path and query over TLS.
    fn elsewhere<B>(&self, request: &Request<B>) -> Result<Response<AnswerBody>, Response<AnswerBody>> {
        let refuse = |error: host::HostError| answer::refusal(request.version(), error);
        let authority = host::authority(request).map_err(refuse)?;
        let host = host::canonical_of(&authority).map_err(refuse)?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let port = if self.https_port == 443 { String::new() } else { format!(":{}", self.https_port) };
        let location = HeaderValue::try_from(format!("https://{host}{port}{path}"))
            .map_err(|_bad| refuse(host::HostError::Invalid))?;
        let mut response = answer::text(StatusCode::PERMANENT_REDIRECT, "This address is served over HTTPS.");
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    }
}
