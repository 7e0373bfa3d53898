//! What verbs need that only ask the running gateway.

use clap::Args;

use crate::configuration::StateKeys;
use crate::control::Control;

/// Which gateway, and how the answer is printed.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub state: StateKeys,
    /// Print what the gateway answers as JSON
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// The running gateway.
    ///
    /// # Errors
    /// If none answers.
    pub fn gateway(&self) -> anyhow::Result<Control> {
        Control::of(self.state.state.as_deref())
    }
}
