//! One connection: reads records, answers them, collects the answers of held calls, writes replies, watches the clock.
//!
//! Reading pauses only while too many reply bytes wait for the socket; held calls do not count (D34).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use super::dispatch::Dispatched;
use super::listener::{Engine, stopped};
use super::output::Output;
use super::peer::Peer;
use super::record::Records;
use super::reply::Reply;
use super::table::Slot;
use super::turns::Turns;
use crate::metrics::Laps;

/// What a connection keeps of its buffers while it is idle.
const IDLE_BUFFER: usize = 8 << 10;
/// What may wait for one socket while the replies of all connections together are too many.
const PRESSED_QUEUE: usize = 64 << 10;
const MIN_READ: usize = 4 << 10;
const MAX_READ: usize = 64 << 10;

/// Serves one connection until it ends, or `stop` turns true and the calls at hand are answered. Gives it back where the client
/// was told to begin TLS: its next bytes are the handshake.
pub(crate) async fn serve<S>(
    stream: S,
    peer: Arc<Peer>,
    slot: Slot,
    engine: Arc<Engine>,
    mut stop: watch::Receiver<bool>,
) -> Option<(S, Slot)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let now = Instant::now();
    let mut connection = Connection {
        stream,
        records: Records::new(engine.limits.record_bytes),
        output: Output::default(),
        held: JoinSet::new(),
        peer,
        slot,
        engine,
        read_size: MIN_READ,
        has_called: false,
        state: State::Open,
        last_record: now,
        last_write: now,
        turns: Turns::default(),
        partial_since: None,
        unfinished: 0,
    };
    let mut sleep = pin!(tokio::time::sleep_until(connection.deadline()));
    let mut stopped = pin!(stopped(&mut stop));
    let mut is_stopping = false;
    let end = std::future::poll_fn(|context| {
        if !is_stopping && stopped.as_mut().poll(context).is_ready() {
            is_stopping = true;
            connection.drain();
        }
        connection.poll(context, sleep.as_mut())
    });
    let end = end.await;
    let Connection { mut stream, peer, slot, engine, .. } = connection;
    match end {
        End::StartTls => Some((stream, slot)),
        End::Over(why) => {
            tracing::debug!(peer = %peer.address, why, "connection ended");
            // TLS says goodbye, for which a full socket has no room.
            let _ = tokio::time::timeout(engine.limits.drain, stream.shutdown()).await;
            None
        }
    }
}

struct Connection<S> {
    stream: S,
    records: Records,
    output: Output,
    held: JoinSet<Option<Reply>>,
    peer: Arc<Peer>,
    slot: Slot,
    engine: Arc<Engine>,
    read_size: usize,
    has_called: bool,
    state: State,
    last_record: Instant,
    last_write: Instant,
    turns: Turns,
    partial_since: Option<Instant>,
    unfinished: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The peer sends nothing more: what is complete is written, what is held is dropped.
    Finished,
    /// The client was told to begin TLS: what it sends next is not ours to read.
    Upgrading,
    /// The server stops: no more is read, what is held may still end until then.
    Draining(Instant),
}

/// Why a connection is served no longer.
enum End {
    Over(&'static str),
    StartTls,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Does all that can be done now. Ready with the reason when the connection is over.
    fn poll(&mut self, context: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<End> {
        let mut now = None;
        loop {
            // Every socket operation spends tokio's budget for this task, so a busy connection yields to the others.
            let step = self.step(context);
            match step {
                Ok(false) => break,
                Ok(true) => now = Some(Instant::now()),
                Err(end) => return Poll::Ready(end),
            }
        }
        self.note_partial(now);
        self.slot.note_queued(self.output.queued());
        let unfinished = if self.is_paused() { 0 } else { self.records.unfinished() };
        if unfinished != self.unfinished {
            self.unfinished = unfinished;
            if !self.slot.may_keep_unfinished(unfinished) {
                return Poll::Ready(End::Over("too many unfinished records"));
            }
        }
        if self.output.is_empty() {
            match self.state {
                State::Finished => return Poll::Ready(End::Over("closed by the client")),
                State::Upgrading => return Poll::Ready(End::StartTls),
                State::Draining(_) if self.held.is_empty() => return Poll::Ready(End::Over("server stops")),
                _ => {}
            }
        }
        if self.state == State::Open
            && self.output.is_empty()
            && self.held.is_empty()
            && self.peer.is_loopback()
            && self.turns.is_due(self.last_write)
        {
            // Again when the others had their turn: sleeping costs such a client more than its call.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.records.release(IDLE_BUFFER);
        self.output.release(IDLE_BUFFER);
        loop {
            let deadline = self.deadline();
            let look_again = self.look_again(deadline);
            if look_again < sleep.deadline() {
                sleep.as_mut().reset(look_again);
            }
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(End::Over("too slow or idle for too long"));
            }
            sleep.as_mut().reset(look_again);
        }
    }

    /// One round of collecting, answering, writing and reading. True if anything came of it.
    fn step(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = self.collect(context);
        progress |= self.answer()?;
        if !self.output.is_empty() {
            let mut written = 0;
            let flushed = self.output.poll_flush(context, &mut self.stream, &mut written);
            if written > 0 {
                self.slot.counters().sent.fetch_add(written, Ordering::Relaxed);
                self.last_write = Instant::now();
                progress = true;
            }
            if let Poll::Ready(Err(_)) = flushed {
                return Err(End::Over("cannot be written to"));
            }
        }
        if self.state == State::Open && !self.is_paused() {
            progress |= self.read(context)?;
        }
        Ok(progress)
    }

    fn is_paused(&self) -> bool {
        let queued = self.output.queued();
        queued >= self.engine.limits.queued_bytes || (queued >= PRESSED_QUEUE && self.slot.is_pressed())
    }

    /// Takes the replies of held calls that have ended.
    fn collect(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.is_paused() {
            match self.held.poll_join_next(context) {
                Poll::Ready(Some(Ok(reply))) => {
                    progress = true;
                    if self.output.is_empty() {
                        self.last_write = Instant::now(); // the stall of an empty queue begins now
                    }
                    if let Some(reply) = reply {
                        self.output.push(reply.finish());
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    progress = true;
                    if error.is_panic() {
                        tracing::error!(peer = %self.peer.address, %error, "a call ended in a panic; please report this");
                    }
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        progress
    }

    /// Answers the records that have arrived whole.
    fn answer(&mut self) -> Result<bool, End> {
        let mut calls = 0;
        let mut laps = Laps::default();
        let was_empty = self.output.is_empty();
        while !self.is_paused() {
            let Some(record) = self.records.next_record().map_err(|_| End::Over("a record is too long"))? else {
                break;
            };
            calls += 1;
            match self.engine.programs.dispatch(record, (&self.peer, &self.slot), self.output.take_tail(), &mut laps) {
                Dispatched::Reply(reply) => self.output.complete(reply),
                Dispatched::StartTls(reply) => {
                    self.output.complete(reply);
                    // What came in clear must never be taken for something that came protected.
                    if self.records.is_partial() || !self.held.is_empty() || self.state != State::Open {
                        return Err(End::Over("TLS was to begin in the middle of calls"));
                    }
                    self.state = State::Upgrading;
                    break;
                }
                Dispatched::Silent(tail) => self.output.put_back(tail),
                Dispatched::NoCall(tail) => {
                    self.output.put_back(tail);
                    return Err(End::Over("not RPC"));
                }
                Dispatched::Later { waiting, buffer, metrics, procedure } => {
                    self.output.put_back(buffer);
                    let held = self.slot.hold();
                    let since = Instant::now();
                    self.held.spawn(async move {
                        let reply = waiting.await;
                        drop(held);
                        metrics.waited(procedure, reply.as_ref(), since.elapsed());
                        reply
                    });
                }
            }
        }
        if calls > 0 {
            if !self.has_called {
                self.slot.called();
            }
            self.has_called = true;
            let now = Instant::now();
            self.turns.note(self.last_write, now);
            self.last_record = now;
            if was_empty {
                self.last_write = self.last_record;
            }
            self.slot.counters().calls.fetch_add(calls, Ordering::Relaxed);
        }
        Ok(calls > 0)
    }

    /// Reads once.
    fn read(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let size = self.read_size;
        let input = self.records.input();
        input.reserve(size);
        let room = input.capacity() - input.len();
        let read = pin!(self.stream.read_buf(input));
        match read.poll(context) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.state = State::Finished;
                self.held.abort_all();
                Ok(true)
            }
            Poll::Ready(Ok(count)) => {
                self.read_size = if count >= room { (size * 2).min(MAX_READ) } else { size };
                self.slot.counters().received.fetch_add(count as u64, Ordering::Relaxed);
                Ok(true)
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Poll::Ready(Err(_)) => Err(End::Over("cannot be read from")),
        }
    }

    /// Notes since when a part of a record has been waiting for its rest.
    fn note_partial(&mut self, now: Option<Instant>) {
        let is_partial = self.records.is_partial() && !self.is_paused();
        match (is_partial, self.partial_since) {
            (false, Some(_)) => self.partial_since = None,
            (true, None) => self.partial_since = Some(now.unwrap_or_else(Instant::now)),
            // A later record than the one whose time ran has begun.
            (true, Some(since)) if self.last_record > since => self.partial_since = Some(self.last_record),
            _ => {}
        }
    }

    fn deadline(&self) -> Instant {
        let limits = &self.engine.limits;
        let mut deadline = if !self.held.is_empty() {
            Instant::now() + limits.idle // calls that are held keep the connection
        } else if self.has_called {
            self.last_record + limits.idle
        } else {
            self.last_record + limits.record_time
        };
        if let Some(since) = self.partial_since {
            deadline = deadline.min(since + limits.record_time);
        }
        if !self.output.is_empty() {
            let stall = if self.slot.is_pressed() { limits.pressed_stall.min(limits.stall) } else { limits.stall };
            deadline = deadline.min(self.last_write + stall);
        }
        if let State::Draining(end) = self.state {
            deadline = deadline.min(end);
        }
        deadline
    }

    /// When to look at the clock: others can make this connection's time shorter while it waits for its socket.
    fn look_again(&self, deadline: Instant) -> Instant {
        if self.output.is_empty() { deadline } else { deadline.min(Instant::now() + self.engine.limits.pressed_stall) }
    }

    fn drain(&mut self) {
        if self.state == State::Open {
            self.state = State::Draining(Instant::now() + self.engine.limits.drain);
        }
    }
}
