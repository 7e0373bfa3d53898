//! The only room that knows Velociraptor: artifacts, flows, tables, and the gRPC and HTTP APIs of its server (docs/velociraptor-api.md).
//!
//! [`Driver`] implements [`vfs::backend::Backend`]. Works become flows (`flow`), flows are watched until they end (`watch`), the
//! rows of their tables (`table`, `row`) become listings (`listing`). Everything speaks to the server through the private trait
//! `server::Server`, so that another transport can take the place of gRPC. This room must not know how the VFS decides what to ask.

pub mod artifacts;
mod check;
mod composite;
mod config;
mod driver;
mod endpoints;
mod events;
mod flow;
mod gui_config;
mod held;
mod listing;
mod past;
mod row;
mod server;
mod server_clock;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub use check::{CheckReport, Installed, Org, Rights};
pub use config::{ApiConfig, ConfigError};
pub use driver::{ConnectError, Driver, Options};
pub use gui_config::{GuiConfig, GuiConfigError, GuiLogin, PASSWORD_VARIABLE};
