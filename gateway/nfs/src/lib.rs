//! The NFSv3 front end: its own RPC engine, and the programs that a mount without options needs (NFS, MOUNT, portmapper, locks).
//!
//! Owns the wire and nothing behind it: what exists, what may be read and what has to be waited for is `vfs`'s to say. Must not know
//! Velociraptor, the store or WebDAV. A call enters at `rpc::connection`, goes through `rpc::dispatch` to a program, and is answered
//! from memory on the spot, or held (`docs/nfs-clients.md` is what the clients do).

mod config;
mod error;
mod metrics;
mod mount;
mod nfs3;
mod nlm;
mod nsm;
mod peer;
mod portmap;
mod requirements;
mod rpc;
mod server;

pub use access::TlsFiles;
pub use config::{Config, Limits, NFS_PORT, PORTMAP_PORT, PortmapMode, Require};
pub use error::Error;
pub use metrics::{LATENCY_BUCKETS_MICROS, Metrics, ProcedureMetrics};
pub use nfs3::{About, status_of};
pub use peer::{BadRule, PeerKind, PeerRule};
pub use portmap::PortmapStatus;
pub use rpc::{ConnectionReport, ConnectionTotals};
pub use server::{Server, View};
