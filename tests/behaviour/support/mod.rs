//! Fixtures: the program, a tree on disk, the truth about it, the clients.

pub mod chromium;
pub mod control;
pub mod gateway;
pub mod ground_truth;
pub mod guest;
pub mod http;
pub mod network;
pub mod process;
pub mod propfind;
pub mod skip;
pub mod tree;
pub mod velociraptor;
