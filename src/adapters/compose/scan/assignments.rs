//! Files of assignments: the checkout's `.env`, and what `env_file` names.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::facts::{Resolved, resolve};
use super::{Origin, SMALL_FILE_LIMIT, Scanner, dotenv, process, unreadable};
use crate::domain::policy::{Action, Finding, PathFact, Rule};

impl Scanner<'_> {
    /// The `.env` beside the first compose file, else of the checkout's root.
    pub(super) fn dotenv(&mut self, folder: &Path) {
        let candidates = [folder.join(".env"), PathBuf::from(".env")];
        let Some(file) =
            candidates.iter().find(|file| fs::symlink_metadata(self.checkout.join(file)).is_ok())
        else {
            return;
        };
        let name = file.display().to_string();
        let origin = Origin { file: Some(name.clone()), key: String::new() };
        let resolved = resolve(self.checkout, file);
        self.inputs.add(&name, &resolved);
        if let Some(reason) = unreadable(&resolved, SMALL_FILE_LIMIT) {
            return self.refuse(&origin, Rule::FileReference, format!("the file `{name}` {reason}"));
        }
        let text = match fs::read_to_string(&resolved.path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("the file `{name}` cannot be read as UTF-8 ({error})");
                return self.refuse(&origin, Rule::Yaml, message);
            }
        };
        match dotenv::read(&text) {
            Ok(found) => {
                for key in found.dropped {
                    self.findings.push(dropped(&name, key));
                }
                self.environment = found.text;
                // A name without a value is gone from what is written; what is substituted is not.
                let text = self.environment.clone();
                self.taken_in_lines(&origin, &name, &text);
            }
            Err((line, reason)) => {
                let message = format!("line {line}: {reason}; mend the line, or make a comment of it with #");
                self.refuse(&origin, Rule::Yaml, message);
            }
        }
    }

    /// A file that a service's `env_file` or `label_file` names; what cannot be read has its own refusal.
    pub(super) fn lines(&mut self, origin: &Origin, name: &str, resolved: &Resolved) {
        if resolved.fact == PathFact::File
            && let Ok(bytes) = fs::read(&resolved.path)
        {
            self.taken_in_lines(origin, name, &String::from_utf8_lossy(&bytes));
        }
    }

    fn taken_in_lines(&mut self, origin: &Origin, name: &str, text: &str) {
        if let Some((line, variable)) = process::in_lines(text) {
            let message = format!(
                "line {line} of `{name}` would take `{variable}` from the process that reads the file; write the value"
            );
            self.refuse(origin, Rule::HostEnvironment, message);
        }
    }
}

fn dropped(file: &str, key: String) -> Finding {
    Finding {
        file: Some(file.to_owned()),
        line: None,
        key,
        rule: Rule::HostEnvironment,
        action: Action::Neutralise,
        message: "this variable steers the tools and is not taken from a branch; leave it out".to_owned(),
    }
}
