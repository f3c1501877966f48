//! A GitHub App: it signs who it is, and is given a token of its installation for an hour.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app>

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tokio::sync::Mutex;

use super::client::{Call, Client};
use crate::domain::time::Timestamp;
use crate::ports::{Clock, ForgeError, ForgeResult, Redactor};

const NEEDS: &str = "to be an installation of the App on this repository ([repo.forge] app_id, app_key_file)";
/// A token is not used any more so long before its end: the request needs time too.
const MARGIN: Duration = Duration::from_secs(120);
/// The clock of the other side may be behind ours.
const SKEW: Duration = Duration::from_secs(60);
/// How long a signature counts; GitHub takes ten minutes at most.
const SIGNED_FOR: Duration = Duration::from_secs(540);

/// One App, for one repository.
pub(super) struct GitHubApp {
    id: String,
    key: RsaKeyPair,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
    /// Tokens that may count at the forge; the newest comes last.
    given: Mutex<Vec<Given>>,
}

struct Given {
    token: String,
    end: Timestamp,
    /// The forge has not refused it.
    counts: bool,
}

impl GitHubApp {
    /// `key` is what GitHub gives for download, in PEM.
    ///
    /// # Errors
    /// When it is no RSA key.
    pub(super) fn new(
        id: String,
        key: &str,
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
    ) -> Result<Self, String> {
        let wrong = || "app_key_file: is no RSA key in PEM, as GitHub gives for download".to_owned();
        let key = match PrivateKeyDer::from_pem_slice(key.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            Ok(_) | Err(_) => return Err(wrong()),
        };
        let key = key.map_err(|error| format!("{} ({error})", wrong()))?;
        Ok(Self { id, key, clock, redactor, given: Mutex::default() })
    }

    /// The token of the installation on `project` (`/repos/owner/name`).
    pub(super) async fn token(&self, client: &Client, project: &str) -> ForgeResult<String> {
        let mut given = self.given.lock().await;
        let now = self.clock.now();
        if let Some(newest) = given.last().filter(|it| it.counts && now.plus(MARGIN) < it.end) {
            return Ok(newest.token.clone());
        }
        let headers = headers(&format!("Bearer {}", self.signed(now)?));
        let ask = |method, path| client.call(Call { method, path, headers: headers.clone(), body: None });
        let found = ask(Method::GET, format!("{project}/installation")).await?.taken(NEEDS)?;
        let installation = found.body["id"].as_u64().unwrap_or_default();
        let path = format!("/app/installations/{installation}/access_tokens");
        let made = ask(Method::POST, path).await?.taken(NEEDS)?;
        let token = made.body["token"].as_str().map(str::to_owned);
        let end = made.body["expires_at"].as_str().and_then(Timestamp::parse);
        let (Some(token), Some(end)) = (token, end) else {
            return Err(ForgeError::Passing("the forge gave no token for the App".to_owned()));
        };
        // What is over opens nothing any more: it need not be kept out of texts.
        for over in given.extract_if(.., |it| it.end <= now) {
            self.redactor.forget([over.token.as_bytes()]);
        }
        self.redactor.learn([token.as_bytes()]);
        given.push(Given { token: token.clone(), end, counts: true });
        Ok(token)
    }

    /// The token does not count any more.
    pub(super) async fn forget(&self) {
        if let Some(newest) = self.given.lock().await.last_mut() {
            newest.counts = false;
        }
    }

    /// A JSON Web Token (RFC 7519) with RS256.
    fn signed(&self, now: Timestamp) -> ForgeResult<String> {
        let seconds = |at: Timestamp| at.as_millis() / 1000;
        let head = json!({"alg": "RS256", "typ": "JWT"});
        let (from, to) = (seconds(now.minus(SKEW)), seconds(now.plus(SIGNED_FOR)));
        let claims = json!({"iat": from, "exp": to, "iss": self.id});
        let part = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        let text = format!("{}.{}", part(head.to_string()), part(claims.to_string()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|error| ForgeError::Refused(format!("app_key_file: it does not sign ({error})")))?;
        Ok(format!("{text}.{}", BASE64URL_NOPAD.encode(&signature)))
    }
}

/// What GitHub wants with each request.
pub(super) fn headers(authorization: &str) -> Vec<(&'static str, String)> {
    vec![
        ("accept", "application/vnd.github+json".to_owned()),
        ("x-github-api-version", "2022-11-28".to_owned()),
        ("authorization", authorization.to_owned()),
    ]
}
