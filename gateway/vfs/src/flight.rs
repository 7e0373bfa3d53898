//! A piece of work under way that any number of callers wait for: single flight, progress, and the activity list.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use crate::vfs::Activity;

/// How far a piece of work is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub job: Option<Arc<str>>,
    pub delivered: bool,
    /// It waits for a receive token of the endpoint, which is expected then.
    pub due: Option<Timestamp>,
    /// It waits on the server until its endpoint is back, at most until then.
    pub queued_until: Option<Timestamp>,
    pub rows: u64,
    pub bytes: u64,
    pub ended: Option<Result<()>>,
}

/// Who waits for a piece of work.
struct Interest {
    waiting: usize,
    /// When somebody asked for it last, or went on waiting.
    last: Instant,
    /// It is meant to go on whoever waits.
    kept: bool,
    /// Somebody wants it: it is not only done behind everybody's back.
    ever: bool,
}

/// A client that was told to come back does so within seconds. One that was not seen for so long has gone.
const COMES_BACK: Duration = Duration::from_secs(60);

/// A piece of work under way.
pub(crate) struct Flight {
    pub endpoint: Arc<str>,
    pub path: String,
    pub work: &'static str,
    pub principal: Arc<str>,
    pub started: Timestamp,
    interest: Mutex<Interest>,
    status: watch::Sender<Status>,
}

impl Flight {
    pub(crate) fn new(
        endpoint: Arc<str>,
        path: String,
        work: &'static str,
        principal: Arc<str>,
        started: Timestamp,
    ) -> Arc<Flight> {
        let interest = Mutex::new(Interest { waiting: 0, last: Instant::now(), kept: false, ever: false });
        Arc::new(Flight { endpoint, path, work, principal, started, interest, status: watch::Sender::default() })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status.borrow().ended.is_some()
    }

    /// Somebody wants it.
    pub(crate) fn want(&self) {
        let mut interest = self.interest();
        (interest.ever, interest.last) = (true, Instant::now());
    }

    /// It goes on whoever waits for it: somebody asked for it explicitly, or it is done behind everybody's back.
    pub(crate) fn keep(&self) {
        self.interest().kept = true;
    }

    /// How long it is wanted at least, unless somebody comes; `None` if nobody waits for it any more.
    fn lasts(&self) -> Option<Duration> {
        let interest = self.interest();
        if interest.kept || interest.waiting > 0 {
            return Some(COMES_BACK);
        }
        Some(COMES_BACK.saturating_sub(interest.last.elapsed())).filter(|left| !left.is_zero())
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lasts().is_none()
    }

    fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody ever wanted it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.interest().ever
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    pub(crate) fn end(&self, result: Result<()>) {
        self.status.send_modify(|status| {
            status.ended.get_or_insert(result);
        });
    }

    /// Waits at most `hold` for the end.
    ///
    /// # Errors
    /// What the work ended with; `Later` when it has not ended by then.
    pub(crate) async fn wait(&self, hold: Duration) -> Result<()> {
        match tokio::time::timeout(hold, self.ended()).await {
            Ok(result) => result,
            Err(_) => Err(Error::later(RETRY_AFTER, self.later())),
        }
    }

    /// Why it is not ready yet, in words.
    fn later(&self) -> String {
        match self.status.borrow().due {
            Some(due) => format!(
                "{} waits for the endpoint to take work again, which is expected at {}; ask again",
                self.path,
                due.to_rfc3339()
            ),
            None => format!("the endpoint is still working on {}; ask again", self.path),
        }
    }

    /// Waits for the end, however long that takes.
    ///
    /// # Errors
    /// What the work ended with.
    pub(crate) async fn ended(&self) -> Result<()> {
        let _waiting = Waiting::of(self);
        self.end_seen().await
    }

    /// Waits for the end on behalf of those who wait for `other`.
    ///
    /// # Errors
    /// What the work ended with.
    pub(crate) async fn ended_for(&self, other: &Flight) -> Result<()> {
        loop {
            if !other.is_abandoned() {
                self.want();
            }
            if let Ok(result) = tokio::time::timeout(COMES_BACK / 4, self.end_seen()).await {
                return result;
            }
        }
    }

    async fn end_seen(&self) -> Result<()> {
        match self.status().wait_for(|status| status.ended.is_some()).await {
            Ok(status) => status.ended.clone().unwrap_or(Ok(())),
            Err(_) => Err(Error::backend("the work was abandoned")),
        }
    }

    pub(crate) fn activity(&self) -> Activity {
        let status = self.status.borrow();
        Activity {
            job: status.job.clone(),
            endpoint: self.endpoint.clone(),
            path: self.path.clone(),
            work: self.work,
            principal: self.principal.clone(),
            started: self.started,
            waits_until: status.due.filter(|_| status.ended.is_none()),
            queued_until: status.queued_until.filter(|_| status.ended.is_none()),
            rows: status.rows,
            bytes: status.bytes,
            ended: status.ended.as_ref().map(|result| match result {
                Ok(()) => Arc::from("done"),
                Err(error) => Arc::from(error.message()),
            }),
        }
    }
}

/// Comes back when nobody waits for any of `flights` any more; never if there are none.
pub(crate) async fn abandoned(flights: &[&Flight]) {
    if flights.is_empty() {
        std::future::pending::<()>().await;
    }
    while let Some(lasts) = flights.iter().filter_map(|flight| flight.lasts()).max() {
        tokio::time::sleep(lasts).await;
    }
}

/// What whoever comes just then is told of work that nobody waited for.
pub(crate) fn unwanted() -> Error {
    Error::later(
        RETRY_AFTER,
        "nobody waited for it any more, so it was taken back before the endpoint had it; ask again",
    )
}

/// Somebody who waits.
struct Waiting<'a>(&'a Flight);

impl Waiting<'_> {
    fn of(flight: &Flight) -> Waiting<'_> {
        flight.interest().waiting += 1;
        Waiting(flight)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut interest = self.0.interest();
        interest.waiting = interest.waiting.saturating_sub(1);
        interest.last = Instant::now();
    }
}

/// What callers are told to wait before they ask again: Linux asks again after 5 s whatever it is told.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Ends a flight as abandoned if its task goes away without ending it (a panic): nobody waits for ever.
pub(crate) struct EndOnDrop(pub Arc<Flight>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(Err(Error::backend("the gateway gave up on this work because of an internal error; see its log")));
    }
}

/// Work under way and the last that ended.
#[derive(Default)]
pub(crate) struct Activities {
    flights: Mutex<VecDeque<Arc<Flight>>>,
}

/// How many pieces of work are remembered after their end.
const REMEMBERED: usize = 200;

impl Activities {
    pub(crate) fn add(&self, flight: Arc<Flight>) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.push_front(flight);
        while flights.len() > REMEMBERED && flights.back().is_some_and(|flight| flight.has_ended()) {
            flights.pop_back();
        }
    }

    pub(crate) fn list(&self) -> Vec<Activity> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|flight| flight.activity()).collect()
    }

    /// Work under way on an endpoint.
    pub(crate) fn running_on(&self, endpoint: &str) -> usize {
        let flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.iter().filter(|flight| &*flight.endpoint == endpoint && !flight.has_ended()).count()
    }

    /// When an endpoint is expected to take work again, if work waits for that.
    pub(crate) fn due_on(&self, endpoint: &str) -> Option<Timestamp> {
        let flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = flights.iter().filter(|flight| &*flight.endpoint == endpoint && !flight.has_ended());
        waiting.filter_map(|flight| flight.status.borrow().due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn flight() -> Arc<Flight> {
        Flight::new("C.1".into(), "/C.1/auto".into(), "list", "me".into(), Timestamp::default())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_wait_is_told_to_come_back() {
        let flight = flight();
        let error = flight.wait(Duration::from_secs(45)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Later { .. }));
        flight.end(Ok(()));
        assert_eq!(flight.wait(Duration::ZERO).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_again_and_again_waits_and_whoever_stays_away_does_not() {
        let flight = flight();
        let begun = Instant::now();
        let asks = flight.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                let _later = asks.wait(Duration::from_secs(45)).await;
                tokio::time::sleep(RETRY_AFTER).await;
            }
        });
        abandoned(&[&flight]).await;
        let waited = Duration::from_secs(10 * 45 + 9 * 5);
        assert_eq!(begun.elapsed().as_secs(), (waited + COMES_BACK).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_something_else_waits_for_what_that_needs() {
        let (outer, inner) = (flight(), flight());
        let (outer2, inner2) = (outer.clone(), inner.clone());
        tokio::spawn(async move { inner2.ended_for(&outer2).await });
        let asks = outer.clone();
        tokio::spawn(async move { asks.wait(Duration::from_secs(300)).await });
        tokio::time::sleep(Duration::from_secs(299)).await;
        assert!(!inner.is_abandoned());
        tokio::time::sleep(COMES_BACK * 2 + Duration::from_secs(1)).await;
        assert!(outer.is_abandoned() && inner.is_abandoned());
        let kept = flight();
        kept.keep();
        tokio::time::sleep(COMES_BACK * 2).await;
        assert!(!kept.is_abandoned());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_vanishes_ends_with_an_error() {
        let flight = flight();
        drop(EndOnDrop(flight.clone()));
        assert_eq!(flight.wait(Duration::from_secs(1)).await.unwrap_err().kind(), ErrorKind::Backend);
    }
}
