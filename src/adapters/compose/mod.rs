//! The compose CLI, and everything YAML.
