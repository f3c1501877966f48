//! Where the docker command's plugins lie; they are run directly, which saves a process a call.

use std::path::PathBuf;

/// The folders in which the docker command itself looks, besides the user's own.
const FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The binary of a plugin, for instance `docker-compose`; `home` is that of the daemon's user, looked at
/// last: the jail lets nothing be run from there.
/// `None` when no folder has it.
pub fn find_plugin(name: &str, home: Option<&std::path::Path>) -> Option<PathBuf> {
    let own = home.map(|home| home.join(".docker/cli-plugins"));
    own.into_iter()
        .chain(FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

/// All folders as one text, for an error.
pub fn plugin_folders() -> String {
    format!("{}, ~/.docker/cli-plugins", FOLDERS.join(", "))
}

fn is_executable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_plugin_in_the_users_home_is_found() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".docker/cli-plugins");
        std::fs::create_dir_all(&folder).unwrap();
        let plugin = folder.join("docker-of-this-test");
        std::fs::write(&plugin, "").unwrap();
        assert_eq!(find_plugin("docker-of-this-test", Some(home.path())), None, "not executable");
        std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_plugin("docker-of-this-test", Some(home.path())), Some(plugin));
        assert_eq!(find_plugin("docker-of-this-test", None), None);
    }
}
