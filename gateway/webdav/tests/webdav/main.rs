//! The service driven over real sockets with raw HTTP, above endpoints in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api;
mod archives;
mod browser;
mod clients;
mod content;
mod documented;
mod guards;
mod html;
mod large;
mod limits;
mod listings;
mod support;
mod view;
mod windows;
mod xml;
