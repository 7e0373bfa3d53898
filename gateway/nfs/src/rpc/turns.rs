//! Clients on the same machine that send the next call as soon as they have an answer: it is here before a sleeping thread would be
//! awake.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Who needs longer from an answer to the next call is not waited for with open eyes.
const QUICK: Duration = Duration::from_micros(200);
/// So many quick calls in a row, and it is expected of the next one too.
const EXPECTED: u32 = 4;

/// Where there is one core, the client needs it.
static HAS_CORES: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));

/// How quickly the calls of one connection follow the answers.
#[derive(Debug, Default)]
pub(super) struct Turns {
    quick: u32,
}

impl Turns {
    /// A call came at `now`, and the last answer had left at `answered`.
    pub(super) fn note(&mut self, answered: Instant, now: Instant) {
        let is_quick = now.saturating_duration_since(answered) <= QUICK;
        self.quick = if is_quick { (self.quick + 1).min(EXPECTED) } else { 0 };
    }

    /// Whether the next call is expected any moment.
    pub(super) fn is_due(&self, answered: Instant) -> bool {
        self.quick == EXPECTED && *HAS_CORES && answered.elapsed() <= QUICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_whoever_was_quick_several_times_is_expected_to_be_so_again_and_not_for_long() {
        let mut turns = Turns::default();
        let turn = async |turns: &mut Turns, pause: Duration| {
            let answered = Instant::now();
            tokio::time::advance(pause).await;
            turns.note(answered, Instant::now());
        };
        for _ in 0..EXPECTED {
            assert!(!turns.is_due(Instant::now()));
            turn(&mut turns, QUICK / 2).await;
        }
        let answered = Instant::now();
        assert_eq!(turns.is_due(answered), *HAS_CORES);
        tokio::time::advance(QUICK * 2).await;
        assert!(!turns.is_due(answered));
        turn(&mut turns, Duration::from_millis(1)).await;
        assert!(!turns.is_due(Instant::now()));
    }
}
