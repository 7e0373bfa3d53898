//! The driver against a server: the real one where its binary is found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod gui;
mod real;
mod rig;
mod simulated;
mod support;
mod windows;
