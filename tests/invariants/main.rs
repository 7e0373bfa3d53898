//! The rules of the house that a compiler does not check: who may depend on whom, how large a file may be, which words
//! may stand where. `ARCHITECTURE.md` says why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod files;
mod rooms;
mod tree;
mod words;
