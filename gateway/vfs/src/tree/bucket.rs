//! An endpoint's receive tokens as they are believed to be (docs/velociraptor-api.md §7.1): every delivery costs one, and how soon one
//! comes back is learned from deliveries alone. Never more is believed than was seen.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// Tokens of a full bucket.
const BURST: f64 = 10.0;
/// Seconds until a token comes back: by default, and the bounds of what is believed.
const REFILL: f64 = 30.0;
const FASTEST: f64 = 0.25;
const SLOWEST: f64 = 60.0;
/// A work that was heard of so many seconds later than usual may have waited for a token; one that took so long has.
const LATE: f64 = 1.5;
const LONG: f64 = 10.0;
/// Seconds from a work's departure until it is heard of, before any was.
const USUAL: f64 = 1.0;
/// What polls is not told as taken for longer than this, if there is no token for it.
const UNTAKEN: Duration = Duration::from_secs(5);
/// Longer than this nobody waits for a token: the endpoint was away.
const AWAY: Duration = Duration::from_secs(75);
/// A bucket that is known for shorter than this may be empty, whatever is believed: nobody knows what was taken before.
const ACQUAINTED: Duration = Duration::from_secs(60);
/// After a delivery an endpoint connects again a second later (§7): what wants to leave before that can as well leave together.
const PAUSE: Duration = Duration::from_millis(500);
/// With fewer tokens than this an endpoint may be waiting for one.
const LOW: f64 = 2.0;
/// Works leave when they are believed to have this much of a token: too early costs nothing, and is how a quicker endpoint is noticed.
const EARLY: f64 = 0.8;

/// What is believed of an endpoint's receive tokens: each delivery of work costs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// Whole tokens left.
    pub tokens: u32,
    /// Milliseconds until one comes back.
    pub refill_ms: u64,
    /// Learned from deliveries; else the default is assumed.
    pub measured: bool,
    /// It was seen to take all that waits with one token; else one task for each is assumed.
    pub polls: bool,
    /// When the next one is expected, if there is none.
    pub next: Option<Timestamp>,
}

/// The belief.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Tokens left at `at`; below zero: a delivery waits for one.
    tokens: f64,
    at: Timestamp,
    /// Seconds until one comes back.
    refill: f64,
    /// Since then `taken` deliveries were seen; there were at most `start` tokens.
    since: Timestamp,
    start: f64,
    taken: f64,
    /// The last delivery that was counted was heard of then.
    counted: Timestamp,
    /// Seconds until a work is heard of that needs not wait.
    usual: f64,
    /// Since when it is known.
    met: Option<Timestamp>,
    /// How much of a token a work needs to leave: less each time that one needed not wait.
    early: f64,
    /// A delivery was seen to wait for its token: that the bucket runs empty is more than an assumption.
    waits: bool,
    /// Flows of this endpoint stay undelivered until it takes them, all at once: it polls, and loses nothing (§7.3).
    polls: bool,
    /// The last delivery left then, and was not heard of yet.
    pausing: Option<Timestamp>,
    /// Deliveries that left although the bucket was believed empty, and were not heard of yet.
    unheard: u32,
}

/// A delivery that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    queued: Timestamp,
    /// Tokens that were believed to be left.
    tokens: f64,
}

impl Default for Bucket {
    fn default() -> Bucket {
        let never = Timestamp::default();
        Bucket {
            tokens: BURST,
            at: never,
            refill: REFILL,
            since: never,
            start: BURST + 1.0,
            taken: 0.0,
            counted: never,
            usual: USUAL,
            met: None,
            early: EARLY,
            waits: false,
            polls: false,
            pausing: None,
            unheard: 0,
        }
    }
}

impl Bucket {
    /// Tokens that are believed to be left.
    pub(super) fn tokens(&self, now: Timestamp) -> f64 {
        (self.tokens + now.since(self.at).as_secs_f64() / self.refill).min(BURST)
    }

    /// Whether the endpoint may be waiting for a token, and hold no connection for that reason alone.
    pub(super) fn may_wait(&mut self, now: Timestamp) -> bool {
        let met = *self.met.get_or_insert(now);
        self.tokens(now) < LOW || now.since(met) < ACQUAINTED
    }

    /// It held no connection although it was believed to have tokens: others may have taken them.
    pub(super) fn doubt(&mut self, now: Timestamp) {
        (self.tokens, self.at) = (self.tokens(now).min(0.0), now);
    }

    /// Whether works may leave side by side: what does not go with the first token goes with the second, or all go with one.
    pub(super) fn takes_several(&self, now: Timestamp) -> bool {
        self.polls || self.tokens(now) >= LOW
    }

    /// How long the next delivery should wait for others to leave with it; `None` if it should leave. `spare`: it should leave a token.
    pub(super) fn wait(&self, now: Timestamp, spare: bool) -> Option<Duration> {
        let need = if spare { LOW } else { self.early };
        let missing = need - self.tokens(now);
        // Only an assumption says that there is none: one delivery finds out.
        let tries = !self.waits && self.unheard == 0 && !spare;
        let token = if tries { 0.0 } else { missing.max(0.0) * self.refill };
        let pause = self.pausing.map_or(Duration::ZERO, |since| PAUSE.saturating_sub(now.since(since)));
        Some(pause.max(Duration::from_secs_f64(token))).filter(|wait| !wait.is_zero())
    }

    /// When the next token is expected, if there is none.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let missing = 1.0 - self.tokens(now);
        (missing > 0.0).then(|| now.plus(Duration::from_secs_f64(missing * self.refill)))
    }

    /// The belief, for people.
    pub(super) fn told(&self, now: Timestamp) -> Budget {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and BURST
        let tokens = self.tokens(now).clamp(0.0, BURST) as u32;
        Budget {
            tokens,
            refill_ms: u64::try_from(Duration::from_secs_f64(self.refill).as_millis()).unwrap_or(u64::MAX),
            measured: self.waits || self.refill < REFILL,
            polls: self.polls,
            next: self.due(now),
        }
    }

    /// A delivery of `tokens` was queued.
    pub(super) fn spend(&mut self, tokens: f64, now: Timestamp) {
        let left = self.tokens(now);
        if left >= BURST {
            // One more than the bucket holds: that of the connection which the endpoint keeps.
            (self.since, self.start, self.taken) = (now, BURST + 1.0, 0.0);
        }
        // One that polls takes all that waits with one token.
        let debt = if self.polls { 0.0 } else { -1.0 };
        (self.tokens, self.at) = ((left - tokens).max(debt), now);
    }

    /// As [`Bucket::spend`], for a delivery that will be heard of.
    pub(super) fn send(&mut self, tokens: f64, now: Timestamp) -> Sent {
        let sent = Sent { queued: now, tokens: self.tokens(now) };
        self.spend(tokens, now);
        self.unheard += u32::from(sent.is_doubtful());
        self.pausing = Some(now);
        sent
    }

    /// The server says that the endpoint has taken it. On a websocket it says so at once, whatever is true.
    pub(super) fn taken(&mut self, sent: Sent, now: Timestamp) {
        let waited = now.since(sent.queued);
        if waited > UNTAKEN && waited < AWAY && sent.tokens < LOW {
            self.polls = true;
        }
    }

    /// The endpoint has said something of it.
    pub(super) fn heard(&mut self, sent: Sent, now: Timestamp) {
        if sent.queued < self.counted {
            return; // it may have come together with the one before
        }
        self.counted = now;
        self.taken += 1.0;
        let elapsed = now.since(self.since).as_secs_f64();
        let took = now.since(sent.queued);
        let away = took >= AWAY;
        let took = took.as_secs_f64();
        let late = took > self.usual + LATE && !away;
        if late && sent.tokens < LOW && (self.waits || took >= LONG) {
            // It took the only token just now. From one such moment to the next, what was taken is what came back.
            if self.start == 0.0 {
                let seen = (elapsed / self.taken).clamp(FASTEST, SLOWEST);
                // Others take tokens too: a slower refill is believed by halves.
                self.refill = if seen < self.refill { seen } else { (self.refill + seen) / 2.0 };
            }
            (self.tokens, self.at) = (0.0, now);
            (self.since, self.start, self.taken) = (now, 0.0, 0.0);
            (self.waits, self.early) = (true, EARLY);
            return;
        }
        if sent.tokens >= LOW && took < LONG {
            self.usual += (took - self.usual) / 4.0;
        } else if late && took >= LONG {
            self.doubt(now);
        } else if sent.is_doubtful() && !late {
            self.early /= 2.0;
            self.tokens = self.tokens.max(0.0);
        }
        if self.taken > self.start {
            // So many can only have come if they come back at least so fast.
            let left = self.tokens(now);
            self.refill = self.refill.min(elapsed / (self.taken - self.start)).max(FASTEST);
            (self.tokens, self.at) = (left, now);
        }
    }

    /// It was heard of, or nobody listens any more.
    pub(super) fn settle(&mut self, sent: Sent) {
        self.unheard = self.unheard.saturating_sub(u32::from(sent.is_doubtful()));
        self.pausing = self.pausing.filter(|since| *since != sent.queued);
    }

    /// A task was lost on its way: that happens on websockets only.
    pub(super) fn lost(&mut self) {
        self.polls = false;
    }
}

impl Sent {
    /// There may have been no token for it.
    fn is_doubtful(&self) -> bool {
        self.tokens < 1.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bucket of a real endpoint that polls.
    struct Real {
        tokens: f64,
        at: f64,
        refill: f64,
    }

    impl Real {
        /// A delivery queued at `at` seconds: when the endpoint takes it.
        fn deliver(&mut self, at: f64) -> f64 {
            let tokens = (self.tokens + (at - self.at) / self.refill).min(BURST) - 1.0;
            let wait = if tokens < 0.0 { -tokens * self.refill } else { 0.0 };
            (self.tokens, self.at) = (tokens.max(0.0), at + wait);
            at + wait
        }

        fn tokens(&self, at: f64) -> f64 {
            (self.tokens + (at - self.at) / self.refill).min(BURST)
        }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::new(1_000_000, 0).plus(Duration::from_secs_f64(seconds))
    }

    /// Deliveries one after another, each after a pause and as soon as the belief lets it go; each takes `work` seconds.
    fn run(real: &mut Real, bucket: &mut Bucket, pauses: &[f64], work: f64) -> f64 {
        let mut now = 0.0;
        for pause in pauses {
            now += pause;
            now += bucket.wait(at(now), false).map_or(0.0, |wait| wait.as_secs_f64());
            let sent = bucket.send(1.0, at(now));
            now = real.deliver(now);
            bucket.taken(sent, at(now));
            now += work;
            bucket.heard(sent, at(now));
            bucket.settle(sent);
        }
        now
    }

    proptest! {
        #[test]
        fn the_refill_is_learned_and_never_believed_faster_than_it_is(
            refill in 0.5f64..30.0, tokens in 0.0f64..10.0, pauses in prop::collection::vec(0.0f64..0.3, 120..200),
        ) {
            let mut real = Real { tokens, at: 0.0, refill };
            let mut bucket = Bucket::default();
            run(&mut real, &mut bucket, &pauses, 0.8);
            prop_assert!(bucket.refill >= refill * 0.999, "{} is faster than {refill}", bucket.refill);
            // Work and pauses take time, too: faster than 1.1 s they cannot be told apart.
            prop_assert!(bucket.refill <= refill.max(1.1) * 1.3 + 0.3, "{} is not {refill}", bucket.refill);
        }

        #[test]
        fn others_who_take_tokens_never_make_it_believe_more(
            refill in 1.0f64..30.0, pauses in prop::collection::vec((0.0f64..20.0, 0u8..3), 1..100),
        ) {
            let mut real = Real { tokens: BURST, at: 0.0, refill };
            let mut bucket = Bucket::default();
            let mut now = 0.0;
            for (pause, others) in pauses {
                now += pause;
                for _ in 0..others {
                    now = real.deliver(now);
                }
                now += bucket.wait(at(now), false).map_or(0.0, |wait| wait.as_secs_f64());
                let sent = bucket.send(1.0, at(now));
                now = real.deliver(now) + 0.8;
                bucket.heard(sent, at(now));
                bucket.settle(sent);
                prop_assert!((FASTEST..=SLOWEST).contains(&bucket.refill));
                prop_assert!(bucket.refill >= refill * 0.999, "{} is faster than {refill}", bucket.refill);
                if bucket.start == 0.0 && bucket.taken == 0.0 {
                    prop_assert!(bucket.tokens(at(now)) <= real.tokens(now) + 0.01, "just seen empty");
                }
            }
        }

        #[test]
        fn a_lowered_max_poll_is_noticed(pauses in prop::collection::vec(0.0f64..0.3, 60..80)) {
            let mut bucket = Bucket::default();
            run(&mut Real { tokens: 0.0, at: 0.0, refill: 30.0 }, &mut bucket, &pauses[..10], 0.8);
            prop_assert!((29.0..=33.0).contains(&bucket.refill), "{}", bucket.refill);
            let start = 1_000.0;
            let mut shifted = Bucket { at: at(0.0), tokens: 0.0, since: at(0.0), counted: at(0.0), start: 0.0, taken: 0.0, ..bucket };
            run(&mut Real { tokens: 10.0, at: -start, refill: 1.0 }, &mut shifted, &pauses, 0.8);
            prop_assert!(shifted.refill < 3.0, "{}", shifted.refill);
        }
    }

    #[test]
    fn a_first_delivery_finds_out_whether_the_bucket_is_empty() {
        let mut bucket = Bucket::default();
        let sent: Vec<_> = (0..10).map(|second| bucket.send(1.0, at(f64::from(second)))).collect();
        assert_eq!(bucket.wait(at(9.6), false), None, "an assumption only");
        let trial = bucket.send(1.0, at(10.0));
        assert!(bucket.wait(at(10.1), false).is_some(), "one tries, others gather");
        for sent in sent {
            bucket.settle(sent);
        }
        bucket.heard(trial, at(31.0));
        bucket.settle(trial);
        let wait = bucket.wait(at(31.0), false).unwrap().as_secs_f64();
        assert!((23.0..25.0).contains(&wait), "{wait}: a little before the token is due");
        assert!(bucket.wait(at(56.0), false).is_none());
    }

    #[test]
    fn what_is_told_is_an_assumption_until_it_was_seen() {
        let mut bucket = Bucket::default();
        let assumed = bucket.told(at(0.0));
        assert_eq!((assumed.tokens, assumed.refill_ms, assumed.measured, assumed.next), (10, 30_000, false, None));
        run(&mut Real { tokens: 0.0, at: 0.0, refill: 10.0 }, &mut bucket, &[0.1; 200], 0.8);
        let seen = bucket.told(bucket.at);
        assert!(seen.measured && seen.tokens == 0 && seen.next.is_some(), "{seen:?}");
        assert!((10_000..14_000).contains(&seen.refill_ms), "{seen:?}");
    }

    #[test]
    fn an_endpoint_that_was_away_says_nothing_of_its_tokens() {
        let mut bucket = Bucket::default();
        let sent = bucket.send(1.0, at(0.0));
        bucket.heard(sent, at(150.0));
        assert!(!bucket.waits);
        assert!(bucket.tokens(at(150.0)) > 9.0);
    }
}
