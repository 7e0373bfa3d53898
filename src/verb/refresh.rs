//! `refresh`: list a directory anew.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::control_only;
use crate::terminal::{printable, say};
use crate::{control, mount_point};

/// See `raptorgate refresh --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The directory: below a mount, or as the gateway knows it (/C.1234/auto/etc)
    path: PathBuf,
    /// List this many further levels too
    #[arg(long, value_name = "LEVELS", default_value_t = 0)]
    depth: u32,
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
        say(&format!("listing {}", printable(&path)));
    }
    // The final slash: a link that leads to a directory is followed.
    let wish = json!({ "path": format!("{path}/"), "depth": arguments.depth });
    let told = async { control::watch(gateway.post("refresh", &wish).await?, arguments.asked.json).await };
    told.await.with_context(|| printable(&path))
}
