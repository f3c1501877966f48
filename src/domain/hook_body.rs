//! What git gives a post-receive hook, as events.
