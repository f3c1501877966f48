//! Tera templates: the overlay, the starter stacks, configurations of proxies.
//!
//! Templates come with the binary, or from the operator; never from a repository. Only values come from there, and
//! each goes through the filter `json`, whose output is a scalar of JSON and so of YAML.

mod proxies;

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value as Json;
use tera::{Context, Tera, Value};
use thiserror::Error;

pub use proxies::render_proxy;

const OVERLAY: &str = include_str!("../../../compose-templates/overlay.yaml.tera");

/// Name → template. A starter stack takes no values.
const STARTERS: [(&str, &str); 4] = [
    ("static-site", include_str!("../../../compose-templates/stacks/static-site.yaml.tera")),
    ("web-db", include_str!("../../../compose-templates/stacks/web-db.yaml.tera")),
    ("web-cache-db", include_str!("../../../compose-templates/stacks/web-cache-db.yaml.tera")),
    ("tomcat-esb-cache-db", include_str!("../../../compose-templates/stacks/tomcat-esb-cache-db.yaml.tera")),
];

/// Why a template gave no text.
#[derive(Debug, Error)]
pub enum TemplateError {
    #[error("{file}: {reason}")]
    Unreadable { file: String, reason: String },
    #[error("{name}: {reason}")]
    Broken { name: String, reason: String },
    #[error("no starter stack is named {name}; there are: {known}")]
    Unknown { name: String, known: String },
}

/// The overlay, from the operator's file where one is given. `values` is an object.
///
/// # Errors
/// When the file cannot be read or the template does not render.
pub fn render_overlay(own: Option<&Path>, values: &Json) -> Result<String, TemplateError> {
    let text = match own {
        Some(file) => std::fs::read_to_string(file).map_err(|error| TemplateError::Unreadable {
            file: file.display().to_string(),
            reason: error.to_string(),
        })?,
        None => OVERLAY.to_owned(),
    };
    let name = own.map_or_else(|| "overlay.yaml.tera".to_owned(), |file| file.display().to_string());
    render(&name, &text, values)
}

/// The compose file of a starter stack.
///
/// # Errors
/// When there is none of that name.
pub fn starter(name: &str) -> Result<String, TemplateError> {
    let known = || STARTERS.map(|(name, _)| name).join(", ");
    let (_, text) = STARTERS
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| TemplateError::Unknown { name: name.to_owned(), known: known() })?;
    render(name, text, &Json::Object(serde_json::Map::new()))
}

/// Names of the starter stacks.
pub fn starters() -> impl Iterator<Item = &'static str> {
    STARTERS.into_iter().map(|(name, _)| name)
}

fn render(name: &str, text: &str, values: &Json) -> Result<String, TemplateError> {
    let broken = |error: &tera::Error| {
        let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let texts: Vec<String> =
            std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect();
        TemplateError::Broken { name: name.to_owned(), reason: texts.join(": ") }
    };
    let mut tera = Tera::default();
    tera.register_filter("json", json);
    tera.add_raw_template("template", text).map_err(|error| broken(&error))?;
    let context = Context::from_value(values.clone()).map_err(|error| broken(&error))?;
    tera.render("template", &context).map_err(|error| broken(&error))
}

fn json(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    Ok(Value::String(value.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hostile_names_stay_scalars() {
        let service = json!({
            "name": "a\": {privileged: true}\n#{{__tera_context}}", "memory": 1, "cpus": 0.5, "pids": 2,
            "job": false, "restart": "no", "stop_grace": "10s",
        });
        let text = render_overlay(None, &json!({"services": [service]})).unwrap();
        assert!(text.contains(r##""a\": {privileged: true}\n#{{__tera_context}}":"##), "{text}");
    }

    #[test]
    fn a_broken_template_of_the_operator_names_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{{ nothing }}").unwrap();
        let error = render_overlay(Some(file.path()), &json!({})).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()) && error.contains("nothing"), "{error}");
        assert!(starter("x").unwrap_err().to_string().contains("static-site, web-db"));
    }
}
