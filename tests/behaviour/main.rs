//! What the program does for its users, proved on the real program with real clients. One file per behaviour.
//!
//! A test that cannot run on this machine (no root, no client) says why on stderr and is counted as skipped by `tests/run`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// Tests measure what a user waits for: real time is what they are about.
#![allow(clippy::disallowed_methods)]

mod support;

mod bad_connection;
mod both_protocols;
mod broken_configuration;
mod browser;
mod browser_pages;
mod collected;
mod faults;
mod frozen;
mod generated_endpoints;
mod hostile_entries;
mod joined_listings;
mod kernel_client;
mod large_files;
mod listing_flows;
mod mount_verb;
mod mounts;
mod offline;
mod offline_queue;
mod provenance;
mod real_velociraptor;
mod restart;
mod service;
mod small_files;
mod through_the_gui;
mod tls;
mod trouble;
mod verbs;
mod webdav_names;
mod webdav_over_tls;
mod whole_tree_through_nfs;
mod whole_tree_through_webdav;
