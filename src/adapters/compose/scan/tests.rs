use std::path::PathBuf;

#[test]
fn a_path_holds_by_its_text_and_by_its_links() {
    let read = |path: &str| super::both_readings(PathBuf::from(path));
    assert_eq!(read("a/b"), [PathBuf::from("a/b")]);
    assert_eq!(read("link/../../secret")[1], PathBuf::from("../secret"));
    assert_eq!(read("a/../../../x")[1], PathBuf::from("../../x"));
}
