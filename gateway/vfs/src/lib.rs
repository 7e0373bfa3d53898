//! The model: one cached virtual file system whose misses become jobs on endpoints.
//!
//! Owns names, paths, identities and handles, snapshots, freshness, the planner, content, and the traits `Backend`, `Store`, `Clock`,
//! `Admission` and `Recorder` that other rooms implement. Must not know any protocol, Velociraptor, or how the store works.
//! A walk enters at [`Vfs`].

pub mod attributes;
pub mod backend;
pub mod clock;
pub mod collected;
mod content;
pub mod endpoint;
pub mod error;
mod flight;
pub mod freshness;
pub mod listing;
mod meta;
pub mod name;
pub mod node;
mod pace;
pub mod path;
mod planner;
pub mod principal;
pub mod settings;
pub mod snapshot;
pub mod standing;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod timestamp;
mod tree;
mod uploads;
mod vfs;

pub use attributes::{Attributes, FileType};
pub use clock::{Clock, SystemClock};
pub use endpoint::{Endpoint, EndpointId, System};
pub use error::{Error, ErrorKind, Result};
pub use freshness::Freshness;
pub use listing::Listing;
pub use name::Profile;
pub use node::{HANDLE_BYTES, Keys, Node, NodeKind};
pub use path::EndpointPath;
pub use principal::{Call, Principal, Protocol, Reads, Reason};
pub use settings::Settings;
pub use standing::{Price, Standing};
pub use timestamp::Timestamp;
pub use tree::Budget;
pub use vfs::{Activity, Data, EndpointStatus, Found, Parts, Progress, Vfs};
