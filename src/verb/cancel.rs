//! `cancel`: take back a flow that is under way.

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::control_only;
use crate::terminal::{printable, say};

/// See `raptorgate cancel --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The flow, as `raptorgate activity` shows it (F.1234)
    flow: String,
    #[command(flatten)]
    asked: control_only::Arguments,
}

/// Asks.
///
/// # Errors
/// If the gateway has no such flow under way.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let gateway = arguments.asked.gateway()?;
    let answer = gateway.ask("cancel", &json!({ "job": arguments.flow })).await;
    let answer = answer.with_context(|| printable(&arguments.flow))?;
    say(&if arguments.asked.json {
        answer.to_string()
    } else {
        format!("{} is taken back", printable(&arguments.flow))
    });
    Ok(())
}
