//! The RPC engine (RFC 5531): records in, programs asked, replies out.
//!
//! A connection's task parses as many records as one read brought, lets programs answer those that need no waiting straight into the
//! connection's output buffer, and spawns only calls that must wait. There is no duplicate-request cache: nothing here changes
//! anything, so a retransmission is simply answered again (docs/nfs-clients.md §3.1: a cache that drops known XIDs hangs clients).

mod admission;
mod connection;
mod credential;
mod datagram;
mod decode;
mod dispatch;
mod listener;
mod message;
mod output;
mod peer;
mod record;
mod reply;
mod table;
mod turns;
mod upgrade;

pub(crate) use admission::{Admission, STRANGER, owner};
pub(crate) use credential::Credential;
pub(crate) use decode::Decoder;
pub use table::{ConnectionReport, ConnectionTotals};

pub(crate) use datagram::serve_datagrams;
pub(crate) use dispatch::{Answer, Programs, Refusal, Request, Service, waiting};
pub(crate) use listener::{Engine, accept, stopped};
pub(crate) use peer::{Peer, Security, Transport};
pub(crate) use reply::Reply;
pub(crate) use table::Table;
