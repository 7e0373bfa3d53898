//! The result sender: first in, first out, on a tick of `min_poll`, slow once its buffer is full (§5.5, §7).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::server::receive::{Body, Message};

/// More queued bytes than this leave without waiting for the tick (`max_upload_size`).
const SEND_AT_ONCE: u64 = 5 << 20;
/// The server stores rows a little quicker than an endpoint lists them.
const STORED_PER_LISTED: f64 = 1.25;

/// Messages on their way to the server.
#[derive(Debug, Default)]
pub(super) struct Sender {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: u64,
}

impl Sender {
    pub(super) fn push(&self, message: Message) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.bytes += message.wire;
        queue.messages.push_back(message);
        drop(queue);
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<Message> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let message = queue.messages.pop_front()?;
        queue.bytes = queue.bytes.saturating_sub(message.wire);
        Some(message)
    }

    fn bytes(&self) -> u64 {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).messages.is_empty()
    }
}

/// Sends for ever.
pub(super) async fn run(endpoint: Arc<Endpoint>) {
    let tick = endpoint.timing.min_poll;
    let born = Instant::now();
    let mut pace = Pace::new(&endpoint);
    loop {
        while endpoint.sender.is_empty() {
            pace.refill();
            endpoint.sender.wake.notified().await;
        }
        if !tick.is_zero() {
            let next = next_tick(born, tick);
            while endpoint.sender.bytes() < SEND_AT_ONCE && Instant::now() < next {
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = endpoint.sender.wake.notified() => {}
                }
            }
        }
        let mut sent = 0u32;
        while let Some(message) = endpoint.sender.pop() {
            endpoint.reachable().await;
            pace.wait(&message).await;
            endpoint.deployment.receive(&endpoint.client_id, message);
            sent += 1;
            if sent.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
    }
}

fn next_tick(born: Instant, tick: Duration) -> Instant {
    let passed = born.elapsed().as_nanos() / tick.as_nanos().max(1);
    born + tick * u32::try_from(passed + 1).unwrap_or(u32::MAX)
}

/// How quickly messages may leave.
struct Pace {
    burst: u64,
    left: u64,
    fast: Option<u64>,
    slow: Option<u64>,
    rows_per_second: Option<f64>,
    ready: Instant,
}

impl Pace {
    fn new(endpoint: &Endpoint) -> Self {
        let timing = &endpoint.timing;
        Self {
            burst: timing.upload_burst,
            left: timing.upload_burst,
            fast: timing.upload_fast,
            slow: timing.upload_slow,
            rows_per_second: timing.rows_per_second.map(|rate| f64::from(rate) * STORED_PER_LISTED),
            ready: Instant::now(),
        }
    }

    /// The buffer is empty: the next burst is quick again.
    fn refill(&mut self) {
        self.left = self.burst;
    }

    async fn wait(&mut self, message: &Message) {
        let cost = self.cost(message);
        if cost.is_zero() {
            return;
        }
        self.ready = self.ready.max(Instant::now()) + cost;
        // Timers are as fine as a millisecond: smaller debts add up.
        if self.ready.duration_since(Instant::now()) >= Duration::from_millis(1) {
            tokio::time::sleep_until(self.ready).await;
        }
    }

    fn cost(&mut self, message: &Message) -> Duration {
        let rate = if self.left > message.wire { self.fast } else { self.slow };
        self.left = self.left.saturating_sub(message.wire);
        let mut cost = rate.map_or(Duration::ZERO, |rate| per_second(message.wire, rate));
        if let (Body::Rows { rows, .. }, Some(rate)) = (&message.body, self.rows_per_second) {
            #[allow(clippy::cast_precision_loss)]
            let seconds = rows.len() as f64 / rate;
            cost += Duration::from_secs_f64(seconds);
        }
        cost
    }
}

/// The time that `amount` takes at `rate` a second.
pub(super) fn per_second(amount: u64, rate: u64) -> Duration {
    #[allow(clippy::cast_precision_loss)]
    let seconds = amount as f64 / rate.max(1) as f64;
    Duration::from_secs_f64(seconds)
}
