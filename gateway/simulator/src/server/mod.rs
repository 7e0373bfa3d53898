//! The server's half: clients, flows, tables, file store, directory records, users and events. No network in here.

pub(crate) mod artifacts;
pub(crate) mod clients;
pub(crate) mod collect;
pub(crate) mod counters;
pub(crate) mod deployment;
pub(crate) mod faults;
pub(crate) mod filestore;
pub(crate) mod flow;
pub(crate) mod receive;
pub(crate) mod record;
pub(crate) mod refusal;
pub(crate) mod table;
pub(crate) mod vfs;
