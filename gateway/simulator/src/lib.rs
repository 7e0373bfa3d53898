//! A Velociraptor deployment in one process: a server that speaks the real gRPC API over mutual TLS and the GUI's HTTP API, and endpoints with
//! real or generated file systems behind it. It behaves like the measured server (`docs/velociraptor-api.md`, the
//! sections cited throughout), slowness and traps included. It is the everyday test bed and the demo's backend.
//!
//! Ways in: [`Simulator::start`] with a [`Config`], then a gRPC client with [`Simulator::api_config`]; [`Handle`] has
//! the switches and counters. This room must not know the driver, the VFS model, or the front ends.

#[cfg(test)]
mod calibration;
mod clock;
mod config;
mod control;
mod disk;
mod endpoint;
mod error;
mod gui;
mod handle;
mod history;
mod identity;
mod seeded;
mod server;
mod service;
mod simulator;
mod timing;
mod tree;
mod vql;

pub use clock::Clock;
pub use config::{Config, EndpointConfig, Generated, System, Tree};
pub use error::Error;
pub use gui::{GuiConfig, GuiLogin};
pub use handle::{ClientSummary, Handle, UnknownClient};
pub use identity::users::Permissions;
pub use server::counters::Counts;
pub use simulator::Simulator;
pub use timing::{Timing, Transport};
