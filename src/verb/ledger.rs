//! `ledger verify`: recompute the chain.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::configuration::StateKeys;
use crate::state;
use crate::terminal::say;

/// See `raptorgate ledger --help`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Recompute every hash of the ledger: nothing was changed, removed or inserted
    Verify {
        /// The ledger [default: that of the state]
        file: Option<PathBuf>,
        #[command(flatten)]
        state: StateKeys,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Verifies and says so.
///
/// # Errors
/// If the chain is broken or the file cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let What::Verify { file, state, json } = &arguments.what;
    let path = file.clone().unwrap_or_else(|| {
        let state = state.state.clone().unwrap_or_else(state::serve_default);
        state.join("ledger/ledger.jsonl")
    });
    let verified = access::verify(&path)?;
    if *json {
        say(&serde_json::to_string(&verified)?);
        return Ok(());
    }
    say(&format!("{}: {} lines, the chain is whole", path.display(), verified.lines));
    if verified.unfinished {
        say("half a line stands at the end: the gateway is writing, or was killed while it was");
    }
    say(&format!(
        "the last line has the hash {}; keep it elsewhere to prove later that nothing before it changed",
        verified.head
    ));
    Ok(())
}
