//! Basic authentication with one pair of credentials, compared in constant time, with failures slowed down (D3).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::config::Credentials;

/// Failures that an address may make, and the time in which one is forgiven.
const FAILURES: u32 = 30;
const FORGIVENESS: Duration = Duration::from_secs(2);
/// Addresses remembered at most; past it the ones longest silent are forgotten.
const ADDRESSES: usize = 4_096;

/// Checks the `Authorization` header.
pub(crate) struct Authenticator {
    expected: [u8; 32],
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The right credentials.
    Accepted,
    /// None, or the wrong ones.
    Refused,
    /// Not even looked at: too many wrong ones came from this address.
    TooMany,
}

struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn now(&self) -> u32 {
        let forgiven = self.last.elapsed().as_millis() / FORGIVENESS.as_millis();
        self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

impl Authenticator {
    /// Accepts these credentials only.
    pub(crate) fn new(credentials: &Credentials) -> Authenticator {
        Authenticator { expected: digest(&credentials.user, &credentials.password), failures: Mutex::default() }
    }

    /// Looks at a header. A peer that `proved` itself on this connection already is not slowed down by what others at its
    /// address do.
    pub(crate) fn check(&self, header: Option<&[u8]>, peer: IpAddr, proved: bool) -> Verdict {
        let Some(header) = header else { return Verdict::Refused };
        if !proved && self.failed(peer) >= FAILURES {
            return Verdict::TooMany;
        }
        let given = parse(header);
        let (user, password) = given.as_ref().map_or(("", ""), |(user, password)| (user, password));
        let user = user.rsplit_once('\\').map_or(user, |(_, user)| user);
        let bare = user.split_once('@').map_or(user, |(user, _)| user);
        // Both are compared, whatever the first one says.
        if equal(&digest(user, password), &self.expected) | equal(&digest(bare, password), &self.expected) {
            return Verdict::Accepted;
        }
        self.remember(peer);
        Verdict::Refused
    }

    fn failed(&self, peer: IpAddr) -> u32 {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&peer).map_or(0, Failures::now)
    }

    fn remember(&self, peer: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES {
            failures.retain(|_, known| known.now() > 0);
        }
        if failures.len() >= ADDRESSES
            && let Some(oldest) = failures.iter().min_by_key(|(_, known)| known.last).map(|(peer, _)| *peer)
        {
            failures.remove(&oldest);
        }
        let known = failures.entry(peer).or_insert(Failures { count: 0, last: Instant::now() });
        *known = Failures { count: known.now() + 1, last: Instant::now() };
    }
}

/// User and password of a Basic header.
fn parse(header: &[u8]) -> Option<(String, String)> {
    let header = std::str::from_utf8(header).ok()?;
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(token.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Both in one digest, so that neither length nor prefix of either can be timed.
fn digest(user: &str, password: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((user.len() as u64).to_le_bytes());
    hash.update(user);
    hash.update(password);
    hash.finalize().into()
}

fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    std::hint::black_box(left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn authenticator() -> Authenticator {
        Authenticator::new(&Credentials { user: "analyst".into(), password: "s3cr:et".into() })
    }

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[tokio::test]
    async fn only_the_right_pair_passes_with_or_without_a_domain() {
        let authenticator = authenticator();
        for good in ["analyst:s3cr:et", "WORKGROUP\\analyst:s3cr:et", "analyst@gate.example:s3cr:et"] {
            assert_eq!(authenticator.check(Some(&basic(good)), PEER, false), Verdict::Accepted, "{good}");
        }
        let wrong: [&[u8]; 6] =
            [b"", b"Basic", b"Basic !!", b"Bearer abc", &basic("analyst:s3cr"), &basic("analysts3cr:et")];
        for bad in wrong {
            assert_eq!(authenticator.check(Some(bad), PEER, false), Verdict::Refused);
        }
        assert_eq!(authenticator.check(None, PEER, false), Verdict::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_guesses_is_slowed_down_but_a_proven_connection_is_not() {
        let authenticator = authenticator();
        let good = basic("analyst:s3cr:et");
        for _ in 0..FAILURES {
            assert_eq!(authenticator.check(Some(&basic("analyst:guess")), PEER, false), Verdict::Refused);
        }
        assert_eq!(authenticator.check(Some(&good), PEER, false), Verdict::TooMany);
        assert_eq!(authenticator.check(Some(&good), PEER, true), Verdict::Accepted);
        assert_eq!(authenticator.check(Some(&good), "10.0.0.1".parse().unwrap(), false), Verdict::Accepted);
        tokio::time::advance(FORGIVENESS).await;
        assert_eq!(authenticator.check(Some(&good), PEER, false), Verdict::Accepted);
    }
}
