//! The verbs of the program, one file each.

pub mod activity;
pub mod cancel;
pub mod check;
pub mod clients;
pub mod collect;
mod connections;
pub mod control_only;
pub mod demo;
pub mod install_artifacts;
pub mod ledger;
pub mod mount;
pub mod refresh;
pub mod serve;
pub mod simulator;
pub mod status;
pub mod umount;
