//! HTTP: hooks, health, metrics, API.
