//! Checkouts of any content: the scan comes to an end with a decision, whatever it reads.

use proptest::prelude::*;

use super::*;

/// Pieces of compose files, and of what is no compose file.
const PIECES: [&str; 40] = [
    "services:",
    "  web:",
    "    image: x",
    "include: [",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: *a",
    "- ",
    "|",
    ">",
    "\t",
    "!reset ",
    "!override",
    "!!str",
    "env_file: ../x",
    "    env_file: [.env]",
    "build: .",
    "${X:-y}",
    "$",
    "\"",
    "'",
    "extends: {file: compose.yaml, service: web}",
    "---",
    "# c",
    "? ",
    ": ",
    "\u{feff}",
    "...",
    "x-drey: {keep: [a]}",
    "include: compose.yaml",
    "  n: {external: true}",
    "a: 1",
    "null",
    "~",
    "\u{0}",
    "\u{2028}",
    "é",
];

fn scanned(files: &[(&str, &[u8])]) -> Result<Scanned, Vec<Finding>> {
    let checkout = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(checkout.path().join(name), content).unwrap();
    }
    scan(checkout.path(), &find_files(checkout.path()))
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_decided(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(scanned(&[("compose.yaml", &bytes), (".env", &bytes)]));
    }

    #[test]
    fn pieces_in_any_order_are_decided(
        pieces in proptest::collection::vec((0..PIECES.len(), prop::sample::select(vec!["", "\n", " ", "\n  ", "\n    "])), 0..60),
    ) {
        let text: String = pieces.iter().map(|(piece, joint)| format!("{}{joint}", PIECES[*piece])).collect();
        if let Err(findings) = scanned(&[("compose.yaml", text.as_bytes()), (".env", text.as_bytes())]) {
            prop_assert!(findings.iter().any(|it| it.action == Action::Reject), "{text}");
            prop_assert!(findings.iter().all(|it| !it.message.is_empty()), "{text}");
        }
    }
}

#[test]
fn a_remark_has_the_line_of_its_key() {
    let text = b"services:\n  web:\n    image: x\n    env_file:\n      - ../secret\n";
    let findings = scanned(&[("compose.yaml", text)]).unwrap_err();
    assert_eq!((findings[0].file.as_deref(), findings[0].line), (Some("compose.yaml"), Some(5)));
    let findings = scanned(&[("compose.yaml", b"services:\n  web: [\n")]).unwrap_err();
    assert!(findings[0].line.is_some_and(|line| line >= 2), "{findings:?}");
}

#[test]
fn a_privileged_hook_is_refused_before_compose_sees_it() {
    let text = b"services:\n  web:\n    image: x\n    pre_start:\n      - {image: y, privileged: yes}\n";
    let findings = scanned(&[("compose.yaml", text)]).unwrap_err();
    assert_eq!(
        (findings[0].rule, findings[0].key.as_str()),
        (Rule::Hook, "services.web.pre_start[0].privileged")
    );
    let plain = b"services: {web: {image: x, pre_start: [{image: y, privileged: no}]}}\n";
    assert!(scanned(&[("compose.yaml", plain)]).is_ok());
}
