//! SQLite: wishes and history.
