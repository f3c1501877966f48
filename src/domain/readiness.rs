//! When a stack is ready, still starting, or failed.
