//! The WebDAV service: HTTP/1.1, and HTTP/2 through TLS, over the model, for mount clients, browsers, curl and the program's own verbs.
//!
//! A request walks through `server` (sockets, limits), `connection` (TLS, HTTP), `service` (guards, path, dispatch), and then one of `propfind`, `content`,
//! `browser`, `api`. What clients need and do is measured in docs/webdav-clients.md. Knows `vfs` only.

mod api;
mod body;
mod browser;
mod client;
mod config;
mod connection;
mod content;
mod dates;
mod entity;
mod exchange;
mod fake_lock;
mod guard;
mod kit;
mod link;
mod media;
mod noise;
mod opening;
mod options;
mod path;
mod propfind;
mod refusal;
mod seats;
mod server;
mod service;
mod stall;
mod streams;
mod unix;
mod xml;

pub use config::{Config, Credentials, Opening, Samples, TlsFiles};
pub use server::{Error, Server};
