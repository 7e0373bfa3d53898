//! When to end: SIGTERM, or SIGINT. A second one ends at once.

use tokio::signal::unix::{SignalKind, signal};

/// Waits until somebody wants the program to end, and says how they said it.
///
/// # Errors
/// If the operating system refuses to deliver signals.
pub async fn requested() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let which = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("raptorgate: ended at once");
        std::process::exit(1);
    });
    Ok(which)
}
