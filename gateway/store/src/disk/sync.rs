//! Asks the disk itself to keep what was written, a few seconds after it was.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::index::Index;

/// The thread that does it; ends, after a last time, when this is dropped.
pub(crate) struct Syncer {
    dirty: Arc<AtomicBool>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(crate) fn start(index: Arc<Index>, interval: Duration) -> io::Result<Syncer> {
        let dirty = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = mpsc::channel();
        let written = dirty.clone();
        let run = move || {
            loop {
                let last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                if written.swap(false, Ordering::Relaxed)
                    && let Err(error) = index.database.persist(fjall::PersistMode::SyncData)
                {
                    tracing::error!(?error, "the state could not be synced to the disk");
                }
                if last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("store sync".into()).spawn(run)?;
        Ok(Syncer { dirty, stop: Some(stop), thread: Some(thread) })
    }

    /// Something was written.
    pub(crate) fn written(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only fails if it panicked, which was reported.
            let _ = thread.join();
        }
    }
}
