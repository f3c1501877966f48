//! git2 for what is local, the git command for the remote.
