//! The simulator over its real wire: generated gRPC client, mutual TLS, loopback. One file per behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod control;
mod custom_artifacts;
mod downloads;
mod faults;
mod generated;
mod gui;
mod identity;
mod listing;
mod query;
mod refusals;
mod restart;
mod rig;
mod shapes;
