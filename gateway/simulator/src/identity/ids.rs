//! Ids as the server makes them: `C.` + 16 hex digits, `F.` + 13 base32 characters that sort by time.

use crate::clock::Clock;
use crate::seeded;

const BASE32_HEX: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// The client id that follows from an endpoint's host name.
pub(crate) fn client_id(seed: u64, hostname: &str) -> String {
    format!("C.{:016x}", seeded::hash(seed ^ 0xc11e_4711, hostname.as_bytes()))
}

/// `^C\.[a-z0-9]+` or `server` (`docs/velociraptor-api.md` §9).
pub(crate) fn is_client_id(text: &str) -> bool {
    text == "server"
        || text.strip_prefix("C.").is_some_and(|rest| {
            rest.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// Makes flow ids: the second in the high half, then the fraction, then a counter; strictly increasing.
#[derive(Debug, Default)]
pub(crate) struct FlowIds {
    last: u64,
}

impl FlowIds {
    pub(crate) fn next(&mut self, clock: &Clock) -> String {
        let now = clock.now();
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let candidate = (now.as_secs() << 32) | fraction;
        self.last = candidate.max(self.last.saturating_add(1));
        format!("F.{}", encode(self.last))
    }

    /// Makes sure that the next id is above one that is already on disk.
    pub(crate) fn seen(&mut self, flow_id: &str) {
        if let Some(value) = flow_id.strip_prefix("F.").and_then(decode) {
            self.last = self.last.max(value);
        }
    }
}

fn encode(value: u64) -> String {
    // 64 bits and one bit of padding make 13 characters of 5 bits.
    let wide = u128::from(value) << 1;
    (0..13u32)
        .map(|place| {
            let index = (wide >> (60 - 5 * place)) & 31;
            char::from(BASE32_HEX.get(index as usize).copied().unwrap_or(b'0'))
        })
        .collect()
}

fn decode(text: &str) -> Option<u64> {
    if text.len() != 13 {
        return None;
    }
    let mut wide: u128 = 0;
    for byte in text.bytes() {
        let index = BASE32_HEX.iter().position(|digit| *digit == byte)?;
        wide = (wide << 5) | index as u128;
    }
    u64::try_from(wide >> 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn flow_ids_have_the_measured_form_and_sort_by_time() {
        let clock = Clock::starting_at(std::time::Duration::from_secs(1_795_528_426));
        let mut ids = FlowIds::default();
        let made: Vec<String> = (0..1000).map(|_| ids.next(&clock)).collect();
        assert!(made.iter().all(|id| id.len() == 15 && id.starts_with("F.DC2P")));
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[tokio::test]
    async fn flow_ids_stay_above_those_already_on_disk() {
        let clock = Clock::starting_at(std::time::Duration::from_secs(1_000));
        let mut ids = FlowIds::default();
        ids.seen("F.DC2PDQKDQG1RO");
        assert!(ids.next(&clock).as_str() > "F.DC2PDQKDQG1RO");
    }

    #[test]
    fn client_ids_depend_on_host_name_and_seed_only() {
        assert_eq!(client_id(1, "web-01"), client_id(1, "web-01"));
        assert_ne!(client_id(1, "web-01"), client_id(2, "web-01"));
        assert!(is_client_id(&client_id(1, "web-01")));
        assert!(!is_client_id("xx") && !is_client_id("") && !is_client_id("C."));
    }
}
