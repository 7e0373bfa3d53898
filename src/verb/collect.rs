//! `collect`: fetch a file whole.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::control_only;
use crate::terminal::{printable, say};
use crate::{control, mount_point};

/// See `raptorgate collect --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file: below a mount, or as the gateway knows it (/C.1234/auto/etc/hosts)
    path: PathBuf,
    #[command(flatten)]
    asked: control_only::Arguments,
}

/// Asks, and shows how it goes.
///
/// # Errors
/// If it fails.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let path = format!("/{}", mount_point::resolve(&arguments.path)?.join("/"));
    let gateway = arguments.asked.gateway()?;
    if !arguments.asked.json {
        say(&format!("collecting {}", printable(&path)));
    }
    let told =
        async { control::watch(gateway.post("collect", &json!({ "path": path })).await?, arguments.asked.json).await };
    told.await.with_context(|| printable(&path))
}
