//! From an event to an intent.
