//! Templates of configurations for proxies: those of the binary, or the operator's own of the same name.

use std::path::Path;

use serde_json::Value as Json;

use super::{TemplateError, render};

/// Proxy, file, template.
const BUILT_IN: [(&str, &str, &str); 4] = [
    ("nginx", "nginx.conf", include_str!("../../../proxy-templates/nginx/nginx.conf.tera")),
    ("nginx", "judge", include_str!("../../../proxy-templates/nginx/judge.tera")),
    ("haproxy", "haproxy.cfg", include_str!("../../../proxy-templates/haproxy/haproxy.cfg.tera")),
    ("caddy", "caddy.json", include_str!("../../../proxy-templates/caddy/caddy.json.tera")),
];

/// A file of the proxy's configuration. `own` is a folder: what is in it by the name `<file>.tera` is taken instead.
///
/// # Errors
/// Names the file and, where it can be found, the line: also for a variable that nobody gave.
pub fn render_proxy(
    proxy: &str,
    file: &str,
    own: Option<&Path>,
    values: &Json,
) -> Result<String, TemplateError> {
    let built_in = BUILT_IN.iter().find(|(of, name, _)| *of == proxy && *name == file);
    let (_, _, built_in) = built_in.ok_or_else(|| TemplateError::Unreadable {
        file: format!("{proxy}/{file}.tera"),
        reason: "is no template of drey's".to_owned(),
    })?;
    let path = own.map(|folder| folder.join(format!("{file}.tera")));
    let (name, text) = match path.filter(|path| path.exists()) {
        None => (format!("{proxy}/{file}.tera"), (*built_in).to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let read = std::fs::read_to_string(&path);
            let text = read.map_err(|error| TemplateError::Unreadable {
                file: name.clone(),
                reason: error.to_string(),
            })?;
            (name, text)
        }
    };
    render(&name, &text, values).map_err(|error| located(error, &text))
}

/// The engine tells the line of what it cannot parse, and of an unknown variable only the name.
fn located(error: TemplateError, text: &str) -> TemplateError {
    let TemplateError::Broken { name, reason } = error else { return error };
    let line = unknown(&reason).and_then(|variable| {
        let is_named = |line: &str| line.contains(variable) && (line.contains("{{") || line.contains("{%"));
        text.lines().position(is_named)
    });
    let name = line.map_or(name.clone(), |line| format!("{name}:{}", line + 1));
    TemplateError::Broken { name, reason }
}

/// `a` of "Variable `a` not found …".
fn unknown(reason: &str) -> Option<&str> {
    let (_, rest) = reason.split_once("ariable `")?;
    rest.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_in_a_template_is_told_with_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nginx.conf.tera");
        let told = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let rendered = render_proxy("nginx", "nginx.conf", Some(folder.path()), &json!({"known": 1}));
            rendered.map_err(|error| error.to_string())
        };
        assert_eq!(told("a {{ known }}\n"), Ok("a 1\n".to_owned()));
        let error = told("first\nsecond {{ unknown_thing }}\n").unwrap_err();
        assert!(error.contains("nginx.conf.tera:2: ") && error.contains("unknown_thing"), "{error}");
        let error = told("first\n{% if %}\n").unwrap_err();
        assert!(error.contains("nginx.conf.tera") && error.contains("2:"), "{error}");
        assert!(render_proxy("nginx", "other.conf", None, &json!({})).is_err());
    }
}
