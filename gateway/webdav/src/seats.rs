//! How many may be connected, and who makes room at the bound: first who has never asked for anything (a client that dribbles its header
//! holds a connection for half a minute), then who has asked for nothing for longest. Never who waits for an answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections there are.
#[derive(Debug)]
pub(crate) struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By number, which is the order in which they came.
    seats: BTreeMap<u64, Arc<Seat>>,
    next: u64,
}

/// The place of one connection.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// Calls that are being answered, in the low bits; how many there ever were, in the others.
    calls: AtomicU64,
    leave: Notify,
}

/// Calls at once on one connection at most; far fewer come (HTTP/2 has 128 streams).
const AT_ONCE: u64 = 1 << 24;

/// A call that is being answered: until the last byte of a body that takes its time.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Seat>);

/// A call whose body may still be on its way: he who dribbles it waits for nothing yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    seat: Arc<Seat>,
    answering: Mutex<Option<Answering>>,
}

tokio::task_local! {
    static ARRIVING: Arc<Arrival>;
}

/// A seat that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The seat.
    pub seat: Arc<Seat>,
    number: u64,
    seats: Arc<Seats>,
}

impl Seats {
    /// For so many connections.
    pub(crate) fn new(most: usize) -> Arc<Seats> {
        Arc::new(Seats { most: most.max(1), taken: Mutex::default() })
    }

    /// A seat for a new connection, if need be somebody else's; `None` if all wait for answers.
    pub(crate) fn take(self: &Arc<Seats>) -> Option<Guest> {
        let mut taken = self.taken();
        if taken.seats.len() >= self.most {
            let number = taken.dispensable()?;
            taken.seats.remove(&number)?.leave.notify_one();
        }
        let (number, seat) = (taken.next, Arc::new(Seat::default()));
        taken.next += 1;
        taken.seats.insert(number, seat.clone());
        Some(Guest { seat, number, seats: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn dispensable(&self) -> Option<u64> {
        let calls = |seat: &Seat| seat.calls.load(Ordering::Relaxed);
        let never = self.seats.iter().find(|(_, seat)| calls(seat) == 0);
        never.or_else(|| self.seats.iter().find(|(_, seat)| calls(seat) % AT_ONCE == 0)).map(|(number, _)| *number)
    }
}

impl Seat {
    /// Notes a call that may be answered; it is over when what is returned is dropped.
    fn answering(self: &Arc<Seat>) -> Answering {
        self.calls.fetch_add(AT_ONCE + 1, Ordering::Relaxed);
        Answering(self.clone())
    }
}

impl Arrival {
    /// Answers a call by `work`, with what it has to be kept for until the answer was sent. With a body the call begins when that has
    /// [`arrived`].
    pub(crate) async fn of<T>(
        seat: &Arc<Seat>,
        has_body: bool,
        work: impl Future<Output = T>,
    ) -> (T, Option<Answering>) {
        let arrival = Arc::new(Arrival { seat: seat.clone(), answering: Mutex::new(None) });
        if !has_body {
            arrival.begin();
        }
        let done = ARRIVING.scope(arrival.clone(), work).await;
        let answering = arrival.answering.lock().unwrap_or_else(PoisonError::into_inner).take();
        (done, answering)
    }

    fn begin(&self) {
        let mut answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        answering.get_or_insert_with(|| self.seat.answering());
    }
}

/// The body of the request that is being answered is here.
pub(crate) fn arrived() {
    // Outside of a request there is nobody whom it concerns.
    let _ = ARRIVING.try_with(|arrival| arrival.begin());
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guest {
    /// Waits until somebody else needs the seat more.
    pub(crate) async fn has_to_leave(&self) {
        self.seat.leave.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_to_leave(guest: &Guest) -> bool {
        use futures_util::FutureExt;
        guest.has_to_leave().now_or_never().is_some()
    }

    #[test]
    fn who_never_asked_makes_room_before_who_is_idle_and_nobody_who_waits() {
        let seats = Seats::new(3);
        let idle = seats.take().unwrap();
        drop(idle.seat.answering());
        let waits = seats.take().unwrap();
        let call = waits.seat.answering();
        let silent = seats.take().unwrap();
        let new = seats.take().expect("the silent one makes room");
        assert!(has_to_leave(&silent) && !has_to_leave(&idle) && !has_to_leave(&waits));
        let _new = new.seat.answering();
        let newer = seats.take().expect("the idle one makes room");
        assert!(has_to_leave(&idle) && !has_to_leave(&waits));
        let _newer = newer.seat.answering();
        assert!(seats.take().is_none(), "all wait for answers");
        drop(call);
        assert!(seats.take().is_some());
        drop((idle, silent));
        assert!(seats.taken().seats.len() <= 3);
    }
}
