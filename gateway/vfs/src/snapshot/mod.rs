//! Snapshots: one directory as one job saw it, immutable and compact.
//!
//! [`Rows`] is what a backend fills, row by row, in the job's order. [`Snapshot`] seals rows for one directory: every entry gets
//! its identity, and one index finds entries by identity, which serves both handles and names (a name's identity is a hash of
//! the parent's identity and the name). Replies are encoded straight from it.

mod codec;
mod rows;
mod seal;
mod twins;

pub use codec::DecodeError;
pub use rows::{EntryFields, Row, Rows, Times};
pub use seal::{Entry, Snapshot};
