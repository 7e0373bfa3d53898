//! How a fake endpoint takes tasks (docs/velociraptor-api.md §7.1, §7.3): a token for every connection, all that waits with one token by
//! long poll, one message with each on a websocket.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens of a full bucket.
const BURST: f64 = 10.0;
/// Pause between a delivery and the next connection.
const PAUSE: Duration = Duration::from_secs(1);

/// The receiving end of an endpoint.
pub(super) struct Receiver {
    tokens: f64,
    at: Instant,
    refill: Duration,
    /// One task is taken with each token, and the server says at once that it was taken.
    pub(super) websocket: bool,
    /// When it connects next, or connected last.
    connects: Instant,
    /// The last delivery, and the one before.
    delivery: Option<Instant>,
    before: Instant,
    pub(super) deliveries: usize,
}

impl Receiver {
    pub(super) fn new(tokens: u32, refill: Duration, websocket: bool) -> Receiver {
        let now = Instant::now();
        let mut receiver = Receiver {
            tokens: f64::from(tokens),
            at: now,
            refill,
            websocket,
            connects: now,
            delivery: None,
            before: now,
            deliveries: 0,
        };
        receiver.connect_at(now);
        receiver
    }

    /// Takes a token at `at`, or as soon as there is one.
    fn connect_at(&mut self, at: Instant) {
        let back = at.duration_since(self.at).as_secs_f64() / self.refill.as_secs_f64();
        let tokens = (self.tokens + back).min(BURST) - 1.0;
        let wait = self.refill.mul_f64((-tokens).max(0.0));
        (self.tokens, self.at) = (tokens.max(0.0), at + wait);
        self.connects = self.at;
    }

    /// When a task is delivered that is queued now.
    pub(super) fn deliver(&mut self) -> Instant {
        let now = Instant::now();
        if let Some(next) = self.delivery.filter(|next| *next >= now && !self.websocket) {
            return next;
        }
        let delivery = now.max(self.connects);
        self.before = self.delivery.unwrap_or(self.before);
        self.delivery = Some(delivery);
        self.deliveries += 1;
        self.connect_at(delivery + PAUSE);
        delivery
    }

    /// For how long it has held no connection; a websocket stays.
    pub(super) fn silent_for(&self) -> Duration {
        let now = Instant::now();
        match self.delivery {
            _ if self.websocket || now >= self.connects => Duration::ZERO,
            Some(delivery) if now >= delivery => now - delivery,
            _ => now - self.before,
        }
    }
}
