//! Hands the events of one job to everybody who watches it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use vfs::backend::JobEvent;

/// Events that wait for a slow watcher; then the job's reading waits with them.
const QUEUE: usize = 32;

/// The watchers of one job.
pub(super) struct Hub {
    state: Mutex<State>,
}

struct State {
    watchers: Vec<mpsc::Sender<JobEvent>>,
    /// Nothing was said yet that a newcomer would miss.
    joinable: bool,
    delivered: bool,
}

impl Hub {
    /// A hub with its first watcher.
    pub(super) fn new() -> (Hub, mpsc::Receiver<JobEvent>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let state = State { watchers: vec![sender], joinable: true, delivered: false };
        (Hub { state: Mutex::new(state) }, receiver)
    }

    /// Adds a watcher; `None` if it came too late.
    pub(super) fn join(&self) -> Option<mpsc::Receiver<JobEvent>> {
        let mut state = self.lock();
        if !state.joinable {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        if state.delivered {
            sender.try_send(JobEvent::Delivered).ok()?;
        }
        state.watchers.push(sender);
        Some(receiver)
    }

    /// Tells everybody. Progress is dropped for watchers that do not keep up; everything else waits for them.
    pub(super) async fn tell(&self, event: JobEvent) {
        let mut watchers = {
            let mut state = self.lock();
            match event {
                JobEvent::Delivered => state.delivered = true,
                JobEvent::Progress { .. } => {}
                _ => state.joinable = false,
            }
            state.watchers.clone()
        };
        if let JobEvent::Progress { .. } = event {
            for watcher in &watchers {
                let _ = watcher.try_send(event.clone());
            }
            return;
        }
        // Listings are long: the last watcher gets the event itself.
        let last = watchers.pop();
        for watcher in &watchers {
            let _ = watcher.send(event.clone()).await;
        }
        if let Some(last) = last {
            let _ = last.send(event).await;
        }
    }

    /// Whether anybody still looks. If not, nobody can join any more.
    pub(super) fn is_watched(&self) -> bool {
        let mut state = self.lock();
        state.watchers.retain(|watcher| !watcher.is_closed());
        if state.watchers.is_empty() {
            state.joinable = false;
        }
        !state.watchers.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfs::backend::{Failure, Outcome};

    fn ended() -> JobEvent {
        JobEvent::Ended(Outcome::Failed { failure: Failure::Error, message: "x".into() })
    }

    #[tokio::test]
    async fn everybody_hears_everything_and_nobody_joins_too_late() {
        let (hub, mut first) = Hub::new();
        hub.tell(JobEvent::Delivered).await;
        let mut second = hub.join().unwrap();
        hub.tell(JobEvent::Progress { rows: 1, bytes: 0 }).await;
        hub.tell(ended()).await;
        assert!(hub.join().is_none());
        for events in [&mut first, &mut second] {
            assert!(matches!(events.recv().await, Some(JobEvent::Delivered)));
            assert!(matches!(events.recv().await, Some(JobEvent::Progress { rows: 1, .. })));
            assert!(matches!(events.recv().await, Some(JobEvent::Ended(_))));
        }
    }

    #[tokio::test]
    async fn a_hub_that_nobody_watches_takes_nobody_in() {
        let (hub, first) = Hub::new();
        let second = hub.join().unwrap();
        drop(first);
        assert!(hub.is_watched());
        drop(second);
        assert!(!hub.is_watched());
        assert!(hub.join().is_none());
    }
}
