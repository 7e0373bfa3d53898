//! One deep listing that goes ahead of a walker: its directories are published as they come, whoever waits for one of them is woken,
//! and it is taken back when the walker has gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::leave::{Answer, Turn, Wanted};
use super::prefetch::Reach;
use super::queue::Class;
use super::{Demand, LISTING_ROWS};
use crate::backend::{Job, JobEvent, Limits, Outcome};
use crate::error::{Error, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::path::EndpointPath;
use crate::principal::Spend;
use crate::store::DirectoryKey;
use crate::tree::Directory;
use crate::vfs::Inner;

/// Who waits for a directory that a listing ahead will bring.
pub(super) enum Walker<'a> {
    /// He whom it goes ahead of.
    Own(&'a Inner, &'a Demand),
    /// Somebody else.
    Other,
}

impl Walker<'_> {
    /// Whether to go on waiting after so many times of a walker's patience.
    fn waits_on(&self, rounds: u32) -> bool {
        match self {
            Walker::Other => false,
            Walker::Own(inner, demand) => {
                let program = inner.walks.asks_side_by_side(demand.directory.node.export, demand.call.principal.name());
                // A listing of its own would wait for a token.
                let dear = demand.entry.token_due(inner.clock.now()).is_some();
                dear || (program && rounds < PROGRAMS_PATIENCE)
            }
        }
    }
}

/// A listing that goes ahead.
pub(super) struct Ahead {
    root: EndpointPath,
    progress: watch::Sender<Progress>,
}

#[derive(Default, Clone, Copy)]
struct Progress {
    /// The endpoint has the job: rows come.
    delivered: bool,
    /// Directories that came.
    listed: u64,
    over: bool,
}

/// Levels below the walk's first directory.
const DEPTH: u32 = 256;
/// Time on the endpoint.
const TIMEOUT: Duration = Duration::from_secs(1_800);
/// Share of a CPU for a walk, in percent (D13).
const CPU: u8 = 25;
/// The walker himself waits so long for his next directory once rows come, then it is listed by itself; a program that waits for several
/// goes through the tree in an order of its own, and waits so many times as long.
const OWN_PATIENCE: Duration = Duration::from_secs(5);
const PROGRAMS_PATIENCE: u32 = 6;
/// Others do not wait behind somebody's walk.
const OTHERS_PATIENCE: Duration = Duration::from_secs(2);
/// A walker who was not seen for so long has stopped.
const STOPPED_AFTER: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Ahead {
    fn new(root: EndpointPath) -> Arc<Ahead> {
        Arc::new(Ahead { root, progress: watch::Sender::new(Progress::default()) })
    }

    /// Whether `directory` lies in the part of the tree that it lists.
    pub(super) fn brings(&self, directory: &EndpointPath) -> bool {
        self.root.accessor == directory.accessor
            && self.root.endpoint == directory.endpoint
            && directory.components.starts_with(&self.root.components)
    }

    /// Waits until `directory` was listed by it: true; false when it is over, or would take too long. Others do not wait for its turn.
    pub(super) async fn wait_for(&self, directory: &Directory, walker: Walker<'_>) -> bool {
        let mut progress = self.progress.subscribe();
        let listed = || directory.state().listing.is_some();
        let own = !matches!(walker, Walker::Other);
        if !own && !progress.borrow().delivered {
            return listed();
        }
        let delivered = progress.wait_for(|progress| progress.delivered || progress.over || listed()).await.is_ok();
        if !delivered {
            return listed();
        }
        let patience = if own { OWN_PATIENCE } else { OTHERS_PATIENCE };
        let mut rounds = 0;
        loop {
            let before = progress.borrow().listed;
            let here = progress.wait_for(|progress| progress.over || listed());
            if tokio::time::timeout(patience, here).await.is_ok() {
                return listed();
            }
            rounds += 1;
            let goes_on = progress.borrow().listed > before;
            if !goes_on || !walker.waits_on(rounds) {
                return listed();
            }
        }
    }

    /// Waits until `directory` was listed by it; false when it is over without.
    pub(super) async fn brings_at_last(&self, directory: &Directory) -> bool {
        let mut progress = self.progress.subscribe();
        let listed = || directory.state().listing.is_some();
        let _over = progress.wait_for(|progress| progress.over || listed()).await;
        listed()
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }
}

impl Inner {
    /// Lists ahead of a walker whose misses all lie below `root` and whose last one is `demand`.
    pub(super) async fn list_ahead(self: &Arc<Self>, demand: &Demand, root: EndpointPath) -> Option<Arc<Ahead>> {
        // Where many walk already, this one goes directory by directory meanwhile.
        let permit = demand.entry.walks.clone().try_acquire_owned().ok()?;
        let directory = self.ancestor(demand, &root).await.ok()?;
        let ahead = Ahead::new(root.clone());
        let principal = demand.call.principal.name();
        if !self.walks.set_ahead(demand.directory.node.export, principal, &ahead) {
            return None;
        }
        let now = self.clock.now();
        let flight = Flight::new(
            root.endpoint.client_id.clone(),
            root.to_string(),
            "list ahead of a walk",
            principal.into(),
            now,
        );
        flight.keep(); // as long as the walker is seen
        self.activities.add(flight.clone());
        let base = Demand { directory, path: root, ..demand.clone() };
        let walk = run(self.clone(), base, ahead.clone(), flight);
        tokio::spawn(async move {
            walk.await;
            drop(permit);
        });
        Some(ahead)
    }

    /// The directory at `root`, which holds the demanded one.
    async fn ancestor(self: &Arc<Self>, demand: &Demand, root: &EndpointPath) -> Result<Arc<Directory>> {
        let mut directory = demand.directory.clone();
        for _ in root.components.len()..demand.path.components.len() {
            let export = directory.node.export;
            let key = DirectoryKey { export, own: directory.node.parent };
            directory = self.tree.resolve_key(key).await?;
        }
        Ok(directory)
    }

    async fn follow_ahead(self: &Arc<Self>, base: &Demand, ahead: &Ahead, flight: &Arc<Flight>) -> Result<()> {
        let spend = Spend::Listing;
        self.admission.admit(&base.call, &base.path.endpoint, &base.path.to_string(), &spend).await?;
        let limits = Limits { timeout: TIMEOUT, max_rows: LISTING_ROWS, max_upload_bytes: 0, cpu_percent: CPU };
        let reach = Reach { limits, ..Reach::own(base, DEPTH) };
        let wanted = Wanted { class: Class::Walk, reach, joins: false, what: "list ahead of a walk through" };
        let Answer::Alone(mut turn) = self.leave(base, wanted, flight).await? else {
            return Err(Error::backend("a listing that goes ahead of a walk left with others"));
        };
        self.follow_walk(base, ahead, &mut turn, flight).await
    }

    async fn follow_walk(
        self: &Arc<Self>,
        base: &Demand,
        ahead: &Ahead,
        turn: &mut Turn,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let job = turn.job.clone();
        flight.update(|status| status.job = Some(job.id.clone()));
        let mut events = self.backend.watch(&job);
        let start_by = tokio::time::Instant::now() + self.settings.start_by;
        let mut rows = 0;
        let (mut heard, mut says_something) = (false, false);
        let flights: [&Flight; 1] = [flight];
        loop {
            if self.has_stopped(base) {
                return self.take_back(&job).await;
            }
            let next = self.next_event(&flights, &mut events, &job, &base.entry, start_by, heard);
            let Ok(event) = tokio::time::timeout(LOOK_EVERY, next).await else {
                continue;
            };
            match event? {
                Some(JobEvent::Delivered) => {
                    turn.taken(self.clock.now());
                    flight.update(|status| status.delivered = true);
                    ahead.update(|progress| progress.delivered = true);
                }
                Some(JobEvent::Progress { rows: seen, .. }) => {
                    heard = true;
                    says_something |= seen > 0;
                    flight.update(|status| status.rows = status.rows.max(seen));
                }
                Some(JobEvent::Listed(listed)) => {
                    (heard, says_something) = (true, true);
                    rows += listed.rows.len() as u64;
                    let directory = self.directory_below(&base.directory, &base.path, &listed.directory).await?;
                    self.publish(&directory, listed).await?;
                    flight.update(|status| status.rows = status.rows.max(rows));
                    ahead.update(|progress| {
                        progress.delivered = true;
                        progress.listed += 1;
                    });
                }
                Some(JobEvent::Fetched(_)) => {}
                Some(JobEvent::Ended(outcome)) => {
                    turn.ended(&outcome, self.clock.now());
                    return match outcome {
                        Outcome::Finished { .. } => Ok(()),
                        Outcome::Failed { message, .. } => Err(Error::backend(message)),
                    };
                }
                None => return Err(Error::backend("the job's news broke off")),
            }
            if says_something {
                turn.heard(self.clock.now());
                flight.update(|status| status.due = None);
            }
        }
    }

    /// The walker was not seen for a while.
    fn has_stopped(&self, base: &Demand) -> bool {
        let seen = self.walks.seen(base.directory.node.export, base.call.principal.name());
        seen.is_none_or(|seen| self.clock.now().since(seen) > STOPPED_AFTER)
    }

    async fn take_back(&self, job: &Job) -> Result<()> {
        tracing::info!(flow = %job.id, "the walk has stopped; its listing is cancelled");
        self.backend.cancel(job).await?;
        self.forget_job(job).await;
        self.record_cancelled(job, "the walk that it went ahead of has stopped");
        Ok(())
    }
}

async fn run(inner: Arc<Inner>, base: Demand, ahead: Arc<Ahead>, flight: Arc<Flight>) {
    let guard = EndOnDrop(flight.clone());
    let over = Over { inner: inner.clone(), base, ahead };
    let result = inner.follow_ahead(&over.base, &over.ahead, &flight).await;
    if let Err(error) = &result {
        tracing::warn!(path = %over.base.path, %error, "listing ahead of a walk ended early");
    }
    flight.end(result);
    drop((over, guard));
}

/// Whatever happens to the task, those who wait for it go on by themselves.
struct Over {
    inner: Arc<Inner>,
    base: Demand,
    ahead: Arc<Ahead>,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.inner.walks.end_ahead(self.base.directory.node.export, self.base.call.principal.name());
        self.ahead.update(|progress| progress.over = true);
    }
}
