//! drey: one running copy of the whole application for every git branch.
//!
//! The floors of the house, bottom up; a module may use only the floors below it (`tests/floors.rs` keeps that):
//! `domain` → `config`, `ports`, `supervisor` → `adapters`, `store`, `proxy` → `orchestrator` → `web` → `app`, `cli`.

pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod orchestrator;
pub mod ports;
pub mod proxy;
pub mod store;
pub mod supervisor;
pub mod web;
