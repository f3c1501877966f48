//! The changes that make an accepted document deployable.

use serde_json::Value;

/// One change, at a JSON pointer whose last part is a key of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Edit {
    Drop(String),
    Set(String, Value),
}

/// The document with all changes made; a pointer that leads nowhere (its parent was dropped) is no fault.
pub(super) fn applied(document: &Value, edits: &[Edit]) -> Value {
    let mut document = document.clone();
    for edit in edits {
        match edit {
            Edit::Drop(pointer) => {
                if let Some((parent, key)) = parent_of(&mut document, pointer) {
                    parent.remove(&key);
                }
            }
            Edit::Set(pointer, value) => {
                if let Some((parent, key)) = parent_of(&mut document, pointer) {
                    parent.insert(key, value.clone());
                }
            }
        }
    }
    document
}

fn parent_of<'a>(
    document: &'a mut Value,
    pointer: &str,
) -> Option<(&'a mut serde_json::Map<String, Value>, String)> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let object = document.pointer_mut(parent)?.as_object_mut()?;
    Some((object, key.replace("~1", "/").replace("~0", "~")))
}
