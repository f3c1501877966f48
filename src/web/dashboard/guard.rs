//! Before every page: that it is asked for where a session is safe, that a form comes from a page of ours, and who is
//! signed in. Tokens in headers count nothing here, as cookies count nothing for the API.

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::domain::access::Token;
use crate::domain::dashboard::{Origin, Place};
use crate::store::StoreError;
use crate::web::Web;
use crate::web::access::{self, Admission, Least};
use crate::web::border::Seat;

use super::cookie;
use super::refusal::{Refusal, see_other, sign_in_for};
use super::render;
use super::sessions::SessionId;

/// Who asks for a page that is not for everybody.
#[derive(Clone)]
pub(in crate::web) struct SignedIn {
    pub(super) token: Token,
    pub(super) id: SessionId,
}

/// Lets a request pass to its page, or says why not; whatever is answered has its guards.
pub(in crate::web) async fn admit(
    State(admission): State<Admission>,
    mut request: Request,
    next: Next,
) -> Response {
    let answer = match let_in(&admission, &mut request).await {
        Ok(None) => next.run(request).await,
        Ok(Some(elsewhere)) => elsewhere,
        Err(refusal) => refusal.into_response(),
    };
    render::guarded(answer)
}

/// The answer where the page is not reached: who is not signed in is sent to do so.
async fn let_in(admission: &Admission, request: &mut Request) -> Result<Option<Response>, Refusal> {
    let own = own_origin(&admission.web, request.headers()).ok_or_else(Refusal::not_here)?;
    let only_looks = admission.method == Method::GET;
    if !only_looks && !comes_from(request.headers(), &own) {
        return Err(Refusal::forged(own.as_str()));
    }
    let Least::Role(least) = admission.least else { return Ok(None) };
    let found = cookie::read(request.headers()).map_err(|_doubled| Refusal::doubled_cookie())?;
    let path = request.uri().path();
    let token = match &found {
        Some(id) => token_of(&admission.web, id).await?,
        None => None,
    };
    let Some((id, token)) = found.zip(token) else {
        if only_looks {
            return Ok(Some(see_other(&sign_in_for(Place::parse(path).as_ref()))?));
        }
        let page = path.rsplit_once('/').and_then(|(page, _deed)| Place::parse(page));
        return Err(Refusal::signed_out(page.as_ref()));
    };
    if token.role < least {
        return Err(Refusal::forbidden(format!(
            "This needs the role {}; the token {}, with which you are signed in, has {}.",
            least.word(),
            token.name,
            token.role.word()
        )));
    }
    if let Some(seat) = request.extensions().get::<Seat>() {
        seat.admit();
    }
    if !only_looks {
        tracing::info!(
            token.name = token.name.as_str(),
            token.role = token.role.word(),
            path,
            "the dashboard was used"
        );
    }
    request.extensions_mut().insert(SignedIn { token, id });
    Ok(None)
}

/// The token that the session hangs on, if both still count. Asked each time: a token that was revoked ends its sessions.
async fn token_of(web: &Web, id: &SessionId) -> Result<Option<Token>, StoreError> {
    let house = web.inner.orchestrator.house();
    let now = house.ports.clock.now();
    let Some(hash) = web.inner.sessions.token_of(id, now) else { return Ok(None) };
    let token = house.store.token(&hash).await?.filter(|token| token.is_good(now));
    if token.is_none() {
        web.inner.sessions.end(id);
    }
    Ok(token)
}

/// What our pages' origin is, where it is safe to sign in: the public address, else this machine itself.
fn own_origin(web: &Web, headers: &HeaderMap) -> Option<Origin> {
    let public = web.inner.served.load().public_url.clone();
    match public {
        Some(url) => Origin::of_url(&url).filter(Origin::is_safe),
        // A proxy may name us as it knows us, wherever the browser is.
        None if access::is_passed_on(headers) => None,
        None => Origin::of_this_machine(only(headers, &HOST)?),
    }
}

/// Browsers tell with every form which page it is from; one that does not is not followed.
fn comes_from(headers: &HeaderMap, own: &Origin) -> bool {
    only(headers, &ORIGIN) == Some(own.as_str())
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}
