//! The order of things.
