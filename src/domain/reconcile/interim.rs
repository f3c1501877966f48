//! Containers that compose left under an interim name: `<12 hex digits>_<name>` is what it calls a new container until the one it
//! replaces is gone. Where it was killed in between nothing gives the container its proper name any more.

use super::super::observed::{Container, Observed};
use super::super::plan::Plan;
use super::remove_containers;

/// Those, and everything without them.
pub(super) fn set_apart(observed: &Observed) -> (Vec<Container>, Observed) {
    let (cut, containers) = observed.containers.iter().cloned().partition(|it| is_interim(&it.name));
    (cut, Observed { containers, ..observed.clone() })
}

pub(super) fn remove(cut: &[Container], plan: &mut Plan) {
    remove_containers(cut, "its making was cut before it had its proper name", plan);
}

fn is_interim(name: &str) -> bool {
    let digits = name.split_once('_').map(|(digits, _)| digits.as_bytes()).unwrap_or_default();
    digits.len() == 12 && digits.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composes_interim_names_are_known() {
        assert!(is_interim("77276e2be196_drey-vzbcdk-1-storm-web-1"));
        for name in
            ["drey-vzbcdk-1-storm-web-1", "drey-vzbcdk-1-a_b-web-1", "77276e2be19_x", "77276e2be19g_x", ""]
        {
            assert!(!is_interim(name), "{name}");
        }
    }
}
