//! Pages from their templates. All of what a page shows may be a branch's own words: it is made harmless here, once, and
//! escaped by the templates.

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tera::{Context, Tera};

use crate::domain::text::clean;

/// Their names end with `.html`: so all they show is escaped.
const TEMPLATES: [(&str, &str); 6] = [
    ("layout.html", include_str!("pages/layout.html")),
    ("refusal.html", include_str!("pages/refusal.html")),
    ("signin.html", include_str!("pages/signin.html")),
    ("home.html", include_str!("pages/home.html")),
    ("log.html", include_str!("pages/log.html")),
    ("archive.html", include_str!("pages/archive.html")),
];

static TERA: LazyLock<Result<Tera, tera::Error>> = LazyLock::new(|| {
    let mut tera = Tera::default();
    tera.add_raw_templates(TEMPLATES)?;
    Ok(tera)
});

/// The look of the gate's pages, and what the dashboard has besides.
const STYLE: &str = concat!(include_str!("../../proxy/page.css"), include_str!("pages/dashboard.css"));

/// Nothing from elsewhere, nothing in line, in no frame, forms to this host only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; \
     form-action 'self'",
);

/// On everything that the dashboard answers. With no referrer at all a form would be sent without its origin.
const GUARDS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// With the headers that every page has.
pub(super) fn guarded(mut response: Response) -> Response {
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A page with what it shows.
pub(super) fn page(status: StatusCode, name: &str, shown: &impl Serialize) -> Response {
    match rendered(name, shown) {
        Ok(html) => (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(?error, page = name, "a page cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the pages look like.
pub(in crate::web) async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

fn rendered(name: &str, shown: &impl Serialize) -> Result<String, Unrendered> {
    let mut shown = serde_json::to_value(shown)?;
    make_harmless(&mut shown);
    let tera = TERA.as_ref().map_err(|error| Unrendered::Templates(error.to_string()))?;
    Ok(tera.render(name, &Context::from_value(shown)?)?)
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum Unrendered {
    #[error("the templates: {0}")]
    Templates(String),
    #[error(transparent)]
    Page(#[from] tera::Error),
    #[error(transparent)]
    Values(#[from] serde_json::Error),
}

/// Takes out of every text what is not seen: escapes of terminals, control characters, marks of direction.
fn make_harmless(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(items) => items.iter_mut().for_each(make_harmless),
        Value::Object(fields) => fields.values_mut().for_each(make_harmless),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_branch_wrote_is_text() {
        let hostile = "<img src=x onerror=\"alert(1)\">'{{ 7 * 7 }}\u{1b}[31m\u{202e}\u{0}&";
        let shown = json!({"headline": hostile, "message": hostile, "again": hostile});
        let html = rendered("refusal.html", &shown).unwrap();
        assert!(!html.contains("<img") && !html.contains('\u{1b}') && !html.contains('\u{202e}'), "{html}");
        assert!(html.contains("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&#x27;{{ 7 * 7 }}"), "{html}");
        assert!(!html.contains(" again=\"<") && !html.contains("\"alert"), "{html}");
    }

    #[test]
    fn every_template_is_escaped_and_runs_nothing_in_line() {
        TERA.as_ref().unwrap();
        for (name, text) in TEMPLATES {
            assert!(name.ends_with(".html"), "{name}: others are not escaped");
            for bad in ["safe", "<script>", "style=", "javascript:", "{% raw"] {
                assert!(!text.contains(bad), "{name}: {bad}");
            }
            let handler = text.split([' ', '\n']).find(|word| word.starts_with("on") && word.contains('='));
            assert_eq!(handler, None, "{name}");
        }
    }

    #[test]
    fn every_answer_has_its_guards() {
        let response = guarded(StatusCode::OK.into_response());
        for (name, value) in GUARDS {
            assert_eq!(response.headers()[&name], value);
        }
    }
}
