//! Work that a button started, watched to its end so that the page can tell how it went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::Instant;
use vfs::Progress;
use vfs::node::Identity;

/// Works remembered at most.
const KEPT: usize = 32_768;
/// Time for which the end of a work is shown.
const SHOWN: Duration = Duration::from_secs(10 * 60);

/// Works by the object they are about.
#[derive(Clone, Default)]
pub(crate) struct Works {
    known: Arc<Mutex<HashMap<Identity, Work>>>,
}

#[derive(Clone)]
struct Work {
    progress: Progress,
    changed: Instant,
}

impl Work {
    fn is_over(&self) -> bool {
        matches!(self.progress, Progress::Done { .. } | Progress::Failed { .. })
    }
}

impl Works {
    /// Follows a work on the object to its end, behind the caller's back.
    pub(crate) fn watch(&self, object: Identity, progress: BoxStream<'static, Progress>) {
        self.expect(object);
        let works = self.clone();
        tokio::spawn(async move { works.follow(object, progress).await });
    }

    /// A work on the object is going to begin.
    pub(crate) fn expect(&self, object: Identity) {
        self.note(object, Progress::Queued { job: None });
    }

    /// Follows a work on the object to its end.
    pub(crate) async fn follow(&self, object: Identity, mut progress: BoxStream<'static, Progress>) {
        let mut over = false;
        while let Some(news) = progress.next().await {
            over = matches!(news, Progress::Done { .. } | Progress::Failed { .. });
            self.note(object, news);
        }
        if !over {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&object);
        }
    }

    /// How the latest work on the object goes or went.
    pub(crate) fn latest(&self, object: Identity) -> Option<Progress> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let work = known.get(&object)?;
        (!work.is_over() || work.changed.elapsed() < SHOWN).then(|| work.progress.clone())
    }

    fn note(&self, object: Identity, progress: Progress) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT && !known.contains_key(&object) {
            known.retain(|_, work| !work.is_over());
        }
        if known.len() < KEPT || known.contains_key(&object) {
            known.insert(object, Work { progress, changed: Instant::now() });
        }
    }
}

/// Whether it still goes on.
pub(crate) fn is_running(progress: &Progress) -> bool {
    !matches!(progress, Progress::Done { .. } | Progress::Failed { .. })
}
