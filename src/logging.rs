//! What goes to stderr: for people on a terminal, as JSON lines for everybody else.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// The embedded store tells every flush; only its complaints are news.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Starts logging. `serves`: the program runs on, so that its log tells what happens; otherwise only what a person must know.
pub fn start(serves: bool, filter: Option<&str>) {
    let default = if serves { "info" } else { "warn" };
    let variable = std::env::var("RAPTORGATE_LOG").ok();
    let filter = format!("{QUIET},{}", filter.or(variable.as_deref()).unwrap_or(default));
    let parsed = EnvFilter::try_new(&filter);
    let fallback = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},{default}")));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if stderr().is_terminal() {
        subscriber.with_target(false).compact().init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    if let Some(problem) = fallback {
        tracing::warn!("the log filter is not understood ({problem}): logging {default}");
    }
}
