//! The service driven over real sockets with raw HTTP, above endpoints in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api;
mod archives;
mod browser;
mod clients;
mod content;
mod documented;
mod explorer;
mod fuzzed;
mod guards;
mod harness;
mod hostile;
mod html;
mod large;
mod limits;
mod listings;
mod litmus;
mod macos;
mod openings;
mod support;
mod tls;
mod view;
mod windows;
mod xml;
