//! Files of assignments: the checkout's `.env`.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::facts::resolve;
use super::{Origin, SMALL_FILE_LIMIT, Scanner, dotenv, unreadable};
use crate::domain::policy::{Action, Finding, Rule};

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
            }
            Err((line, reason)) => {
                let message = format!("line {line}: {reason}; mend the line, or make a comment of it with #");
                self.refuse(&origin, Rule::Yaml, message);
            }
        }
    }
}

fn dropped(file: &str, key: String) -> Finding {
    Finding {
        file: Some(file.to_owned()),
        key,
        rule: Rule::HostEnvironment,
        action: Action::Neutralise,
        message: "this variable steers the tools and is not taken from a branch; leave it out".to_owned(),
    }
}
