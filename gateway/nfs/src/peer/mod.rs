//! Clients differ: how long they bear silence, how they spell names, which time they look at, what they make of "later" (D34, D35).
//!
//! One [`Policy`] per kind of peer. A connection is told apart by what it does on the wire ([`Sign`]), once: the first sign decides.
//! A [`PeerRule`] decides before that. Who shows no sign is treated as Linux, which bears the most.

mod kind;
mod rule;
mod sign;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vfs::{Call, Principal, Profile, Protocol};

pub use kind::PeerKind;
pub(crate) use kind::{Habits, Policy};
pub use rule::{BadRule, PeerRule};
pub(crate) use sign::Sign;

/// What each kind of peer gets.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    principal: Principal,
    hold: Duration,
    reading_kib: usize,
    rules: Vec<PeerRule>,
}

/// How one peer is treated, and why so.
#[derive(Debug)]
pub(crate) struct Treatment {
    /// Which client it is taken for.
    pub kind: PeerKind,
    /// Why, in words.
    pub why: Cow<'static, str>,
    /// What every question to the VFS carries.
    pub call: Arc<Call>,
    /// What replies have to respect.
    pub habits: Habits,
}

impl Policies {
    /// `reading_bytes`: READ that one connection may wait for at a time.
    pub(crate) fn new(principal: Principal, hold: Duration, reading_bytes: usize, rules: &[PeerRule]) -> Policies {
        let mut rules = rules.to_vec();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix()));
        Policies { principal, hold, reading_kib: reading_bytes / 1024, rules }
    }

    pub(crate) fn reading_kib(&self) -> usize {
        self.reading_kib
    }

    /// What a rule says of this address: the one with the longest prefix.
    pub(crate) fn by_rule(&self, address: IpAddr) -> Option<Treatment> {
        let rule = self.rules.iter().find(|rule| rule.covers(address))?;
        Some(self.treatment(rule.kind(), Cow::Owned(format!("the rule {rule}")), address))
    }

    /// How a peer is treated that has shown no sign yet.
    pub(crate) fn at_first(&self, address: IpAddr) -> Treatment {
        self.treatment(PeerKind::Unknown, Cow::Borrowed("no sign yet"), address)
    }

    fn treatment(&self, kind: PeerKind, why: Cow<'static, str>, address: IpAddr) -> Treatment {
        let policy = Policy::of(kind);
        let mut call = Call::new(self.principal.clone(), Protocol::Nfs, policy.hold(self.hold));
        call.peer = Some(address);
        call.profile = policy.profile;
        Treatment { kind, why, call: Arc::new(call), habits: policy.habits }
    }
}

impl Treatment {
    /// The same peer, treated as unknown so far, now that it has shown what it is.
    pub(crate) fn after(&self, sign: Sign) -> Treatment {
        let policy = Policy::of(sign.kind());
        let call = Call { hold: policy.hold(self.call.hold), profile: policy.profile, ..Call::clone(&self.call) };
        Treatment {
            kind: sign.kind(),
            why: Cow::Borrowed(sign.in_words()),
            call: Arc::new(call),
            habits: policy.habits,
        }
    }

    /// The same treatment of somebody else.
    pub(crate) fn of(&self, principal: &Principal) -> Treatment {
        let call = Call { principal: principal.clone(), ..Call::clone(&self.call) };
        Treatment { kind: self.kind, why: self.why.clone(), call: Arc::new(call), habits: self.habits }
    }

    /// How names are spelled for it.
    pub(crate) fn profile(&self) -> Profile {
        self.call.profile
    }
}

impl Default for Policies {
    fn default() -> Policies {
        Policies::new(Principal::new("local"), Duration::from_secs(45), 64 << 20, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_with_the_longest_prefix_decides_and_others_are_unknown() {
        let rules: Vec<PeerRule> = ["10.0.0.0/8=windows", "10.1.2.3=linux", "2001:db8::/32=macos"]
            .iter()
            .map(|rule| rule.parse().unwrap())
            .collect();
        let policies = Policies::new(Principal::new("local"), Duration::from_secs(45), 1 << 20, &rules);
        let kind = |address: &str| policies.by_rule(address.parse().unwrap()).map(|treatment| treatment.kind);
        assert_eq!(kind("10.9.9.9"), Some(PeerKind::Windows));
        assert_eq!(kind("10.1.2.3"), Some(PeerKind::Linux));
        assert_eq!(kind("2001:db8:1::5"), Some(PeerKind::Macos));
        assert_eq!(kind("192.0.2.1"), None);
        let ruled = policies.by_rule("10.1.2.3".parse().unwrap()).unwrap();
        assert_eq!(ruled.why, "the rule 10.1.2.3=linux");
    }

    #[test]
    fn each_kind_has_its_own_hold_names_and_habits() {
        let policies = Policies::default();
        let first = policies.at_first("192.0.2.1".parse().unwrap());
        let seconds = |treatment: &Treatment| treatment.call.hold.as_secs();
        assert_eq!((first.kind, seconds(&first), first.profile()), (PeerKind::Unknown, 45, Profile::Posix));
        assert_eq!(first.habits, Habits::default());
        let after = |sign| first.after(sign);
        assert_eq!(seconds(&after(Sign::AsksForAcls)), 45);
        let macos = after(Sign::NamelessMachine);
        assert_eq!((seconds(&macos), macos.profile()), (20, Profile::Posix));
        assert!(macos.habits.compares_modified && !macos.habits.fails_on_later);
        let windows = after(Sign::AnonymousUser);
        assert_eq!((seconds(&windows), windows.profile()), (45, Profile::Windows));
        assert!(windows.habits.fails_on_later && !windows.habits.compares_modified);
        assert_eq!(windows.call.peer, first.call.peer);
        // A configured hold that is shorter than a kind's own bound holds for it too.
        let hasty = Policies::new(Principal::new("local"), Duration::from_secs(3), 1 << 20, &[]);
        assert_eq!(seconds(&hasty.at_first("192.0.2.1".parse().unwrap()).after(Sign::NamelessMachine)), 3);
    }
}
