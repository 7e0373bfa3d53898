//! When to end: SIGTERM, or SIGINT. A second one ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The wishes of those who want the program to end. From its making on, a signal ends nothing by itself: make it before anybody is told
/// that the program is ready.
pub struct Requests {
    terminate: Signal,
    interrupt: Signal,
}

impl Requests {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the operating system refuses to deliver signals.
    pub fn listen() -> std::io::Result<Requests> {
        Ok(Requests { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits until somebody wants the program to end, and says how they said it.
    pub async fn first(mut self) -> &'static str {
        let which = self.next().await;
        tokio::spawn(async move {
            self.next().await;
            eprintln!("raptorgate: ended at once");
            std::process::exit(1);
        });
        which
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
