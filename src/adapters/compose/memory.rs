//! What was rendered last for each project: the same files with the same variables are not rendered twice.
//!
//! Compose reads nothing but the files that the scan has seen and the variables that it is given, so what it makes of
//! them is known. Most pushes change code, not compose files. Held in memory only: another life of the daemon begins with
//! nothing. A plugin that is replaced counts from there on, as its version does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::joints::ScannedFiles;
use crate::domain::names::ProjectName;
use crate::ports::RenderRequest;

/// Most projects that are remembered; then all are forgotten.
const PROJECT_LIMIT: usize = 256;

/// Names everything that a rendering depends on.
pub(super) type Key = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<BTreeMap<ProjectName, (Key, Value)>>);

impl Memory {
    pub(super) fn recall(&self, project: &ProjectName, key: &Key) -> Option<Value> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(project).filter(|(of, _)| of == key).map(|(_, document)| document.clone())
    }

    pub(super) fn keep(&self, project: &ProjectName, key: Key, document: &Value) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PROJECT_LIMIT && !known.contains_key(project) {
            known.clear();
        }
        known.insert(project.clone(), (key, document.clone()));
    }
}

/// The commit counts only where a file names it.
pub(super) fn key(request: &RenderRequest, scanned: &ScannedFiles) -> Key {
    let variables: Vec<_> = request
        .variables
        .iter()
        .filter(|(name, _)| scanned.names_commit || name.as_str() != "DREY_COMMIT")
        .collect();
    let text = format!("{:?} {:?} {variables:?} {:?}", request.checkout, scanned.files, scanned.env_text);
    Sha256::new().chain_update(scanned.inputs).chain_update(text).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_key_follows_files_and_variables_and_the_commit_only_where_it_is_named() {
        let request = |commit: &str| RenderRequest {
            checkout: PathBuf::from("/co"),
            project: ProjectName::from_stored("p".to_owned()),
            files: Vec::new(),
            variables: [("DREY_COMMIT".to_owned(), commit.to_owned())].into(),
        };
        let scanned = |input: u8, names_commit| ScannedFiles {
            files: Vec::new(),
            env_text: String::new(),
            services: Vec::new(),
            inputs: [input; 32],
            names_commit,
            remarks: Vec::new(),
            sources: Default::default(),
        };
        assert_eq!(key(&request("a"), &scanned(1, false)), key(&request("b"), &scanned(1, false)));
        assert_ne!(key(&request("a"), &scanned(1, true)), key(&request("b"), &scanned(1, true)));
        assert_ne!(key(&request("a"), &scanned(1, false)), key(&request("a"), &scanned(2, false)));
    }

    #[test]
    fn only_the_last_document_of_a_project_is_known() {
        let (memory, project) = (Memory::default(), ProjectName::from_stored("p".to_owned()));
        memory.keep(&project, [1; 32], &Value::from(1));
        memory.keep(&project, [2; 32], &Value::from(2));
        assert_eq!(memory.recall(&project, &[1; 32]), None);
        assert_eq!(memory.recall(&project, &[2; 32]), Some(Value::from(2)));
    }
}
