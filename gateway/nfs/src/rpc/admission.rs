//! Who on this machine may use the mount (D3: loopback is not a permission).

use super::credential::Credential;
use super::peer::{Peer, Security};

/// Why a credential is refused (`auth_stat`, RFC 5531 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum AuthStatus {
    /// It cannot be read, or its flavor is not known here.
    BadCredential = 1,
    /// It is understood and not enough.
    TooWeak = 5,
}

/// Why a caller from this machine is not admitted.
pub(crate) const STRANGER: &str = "another user's process on this machine";

/// The rule for callers from this machine. Callers from elsewhere are judged by where the server listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    loopback_any: bool,
    owner: Option<u32>,
}

impl Admission {
    /// `loopback_any` lets every local process in; else reserved source ports (the kernel's client), user 0, `owner`, and
    /// whoever has a certificate.
    pub(crate) fn new(loopback_any: bool, owner: Option<u32>) -> Admission {
        Admission { loopback_any, owner }
    }

    /// Whether the call may do more than NULL.
    #[inline]
    pub(crate) fn admits(&self, peer: &Peer, credential: &Credential<'_>) -> bool {
        if self.loopback_any || !peer.is_loopback() || peer.has_reserved_port() || peer.security == Security::Certified
        {
            return true;
        }
        credential.uid().is_some_and(|uid| uid == 0 || Some(uid) == self.owner)
    }
}

/// The user that this process runs as.
#[cfg(target_os = "linux")]
pub(crate) fn owner() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    Some(std::fs::metadata("/proc/self").ok()?.uid())
}

/// The user that this process runs as; not known without the system's own calls.
#[cfg(not(target_os = "linux"))]
pub(crate) fn owner() -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Transport;

    fn peer(address: &str) -> Peer {
        Peer::new(
            address.parse().unwrap(),
            "127.0.0.1:2049".parse().unwrap(),
            Transport::Tcp,
            &crate::peer::Policies::default(),
        )
    }

    fn user(uid: u32) -> Credential<'static> {
        Credential::Sys { stamp: 0, machine: b"", uid, gid: 0, groups: b"" }
    }

    #[test]
    fn from_loopback_only_the_kernel_root_and_the_owner_come_in() {
        let rule = Admission::new(false, Some(1000));
        for (address, credential, admitted) in [
            ("127.0.0.1:900", Credential::None, true),
            ("127.0.0.1:40000", Credential::None, false),
            ("127.0.0.1:40000", user(0), true),
            ("127.0.0.1:40000", user(1000), true),
            ("127.0.0.1:40000", user(1001), false),
            ("[::1]:40000", user(1001), false),
            ("[::ffff:127.0.0.1]:40000", user(1001), false),
            ("192.0.2.9:40000", Credential::None, true),
        ] {
            assert_eq!(rule.admits(&peer(address), &credential), admitted, "{address} {credential:?}");
        }
        let certified = peer("127.0.0.1:40000").over_tls(Some(vfs::Principal::new("alice")));
        assert!(rule.admits(&certified, &user(1001)));
        assert!(!rule.admits(&peer("127.0.0.1:40000").over_tls(None), &user(1001)));
        assert!(Admission::new(true, None).admits(&peer("127.0.0.1:40000"), &Credential::None));
    }
}
