//! The receiver's token bucket: burst 10, one token back per `max_poll / 2` (§7.1).

use std::time::Duration;

use tokio::time::Instant;

/// Tokens of one endpoint. Each reconnect of the receive loop takes one.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    burst: f64,
    refill: Duration,
    last: Instant,
}

impl Bucket {
    pub(super) fn new(burst: u32, tokens: u32, refill: Duration) -> Self {
        Self { tokens: f64::from(tokens.min(burst)), burst: f64::from(burst), refill, last: Instant::now() }
    }

    /// Takes a token, waiting for it if there is none.
    pub(super) async fn take(&mut self) {
        if self.refill.is_zero() {
            return;
        }
        let now = Instant::now();
        let back = now.duration_since(self.last).as_secs_f64() / self.refill.as_secs_f64();
        self.tokens = (self.tokens + back).min(self.burst) - 1.0;
        self.last = now;
        if self.tokens < 0.0 {
            tokio::time::sleep(self.refill.mul_f64(-self.tokens)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_bucket_gives_its_burst_at_once_and_then_one_token_per_refill() {
        let mut bucket = Bucket::new(10, 10, Duration::from_secs(30));
        let start = Instant::now();
        for _ in 0..10 {
            bucket.take().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for turn in 1..4u32 {
            bucket.take().await;
            let expected = Duration::from_secs(30) * turn;
            assert!(start.elapsed().abs_diff(expected) < Duration::from_millis(50), "{:?}", start.elapsed());
        }
    }
}
