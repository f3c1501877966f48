//! What an answer means: taken, wait, or refused, and what to do about it.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::client::Answer;
use crate::domain::text::clean_line;
use crate::domain::time::Timestamp;
use crate::ports::{ForgeError, ForgeResult, Until};

/// Where a forge names no moment.
const USUAL_PAUSE: Duration = Duration::from_secs(60);
/// Most characters of what the forge says.
const MESSAGE_LIMIT: usize = 200;

impl Answer {
    /// What had an id is gone.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE)
    }

    /// Passes on what was taken. `needs` says which permission the token needs for it.
    ///
    /// # Errors
    /// All others.
    pub(super) fn taken(self, needs: &str) -> ForgeResult<Self> {
        let status = self.status;
        if status.is_success() {
            return Ok(self);
        }
        let said = self.message();
        let told = format!("the forge answers {}{said}", status.as_u16());
        if let Some(until) = self.limit() {
            return Err(ForgeError::Limited { until, reason: told });
        }
        Err(match status.as_u16() {
            401 => ForgeError::Unauthorized(format!(
                "{told}: it does not accept the token or the key; make a new one and set it in [repo.forge]"
            )),
            403 => ForgeError::Refused(format!("{told}: the token needs {needs}")),
            404 | 410 => ForgeError::Refused(format!(
                "{told}: either [repo.forge] project or api is wrong, or the token does not see it; it needs {needs}"
            )),
            300..=399 => ForgeError::Refused(format!(
                "{told}: it has moved, and no redirect is followed; correct [repo.forge] project or api"
            )),
            400 | 402 | 405 | 406 | 411..=428 | 430..=499 => ForgeError::Refused(told),
            _ => ForgeError::Passing(told),
        })
    }

    /// When the forge takes more, if it says that it was too much.
    fn limit(&self) -> Option<Until> {
        let is_limit = match self.status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => {
                self.headers.contains_key("retry-after")
                    || number(&self.headers, "x-ratelimit-remaining") == Some(0)
                    || self.message().to_ascii_lowercase().contains("rate limit")
            }
            _ => false,
        };
        is_limit.then(|| until(&self.headers))
    }

    /// `: ` and what the forge says of it.
    fn message(&self) -> String {
        let body = &self.body;
        let said = [&body["message"], &body["error"]["message"], &body["error_description"], &body["error"]];
        let text = said.into_iter().find_map(|said| match said {
            Value::String(text) => Some(text.clone()),
            Value::Object(_) | Value::Array(_) => Some(said.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        });
        let line: String = clean_line(&text.unwrap_or_default()).chars().take(MESSAGE_LIMIT).collect();
        if line.is_empty() { line } else { format!(": {line}") }
    }
}

/// GitHub's and GitLab's headers, and the one of HTTP itself.
fn until(headers: &HeaderMap) -> Until {
    if let Some(seconds) = number(headers, "retry-after") {
        return Until::After(Duration::from_secs(seconds));
    }
    let reset = ["x-ratelimit-reset", "ratelimit-reset"].into_iter().find_map(|name| number(headers, name));
    let millis = reset.and_then(|seconds| i64::try_from(seconds.checked_mul(1000)?).ok());
    millis.map_or(Until::After(USUAL_PAUSE), |millis| Until::At(Timestamp::from_millis(millis)))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: Value) -> ForgeError {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: all, body }.taken("`api`").err().unwrap()
    }

    #[test]
    fn limits_are_told_from_refusals() {
        let until = |error| {
            let ForgeError::Limited { until, .. } = error else { panic!("{error:?}") };
            until
        };
        let at = Until::At(Timestamp::from_millis(1_700_000_000_000));
        let reset = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000000")];
        assert_eq!(until(answer(403, &reset, Value::Null)), at);
        assert_eq!(until(answer(429, &[("ratelimit-reset", "1700000000")], Value::Null)), at);
        let after = |seconds| Until::After(Duration::from_secs(seconds));
        assert_eq!(until(answer(403, &[("retry-after", "7")], Value::Null)), after(7));
        assert_eq!(until(answer(429, &[], Value::Null)), after(60));
        let secondary = json!({"message": "You have exceeded a secondary rate limit"});
        assert_eq!(until(answer(403, &[], secondary)), after(60));
        let remaining = [("x-ratelimit-remaining", "12")];
        assert!(matches!(answer(403, &remaining, Value::Null), ForgeError::Refused(_)));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let said = |status, body| answer(status, &[], body).to_string();
        assert!(
            said(401, json!({"message": "Bad credentials"})).contains("401: Bad credentials: it does not")
        );
        assert!(said(403, Value::Null).ends_with("the token needs `api`"));
        assert!(said(404, json!({"error": {"message": "no\nsuch"}})).contains(": no such: either"));
        assert!(said(301, Value::Null).contains("no redirect is followed"));
        for status in [409, 500, 502, 503] {
            assert!(matches!(answer(status, &[], Value::Null), ForgeError::Passing(_)), "{status}");
        }
        assert!(matches!(answer(422, &[], Value::Null), ForgeError::Refused(_)));
    }
}
