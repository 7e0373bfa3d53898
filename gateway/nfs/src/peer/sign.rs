//! What gives a client away (docs/nfs-clients.md §3). Every sign is sure enough to decide alone; what is not, is no sign here.

use super::PeerKind;
use crate::nfs3;
use crate::portmap;
use crate::rpc::Credential;

/// Something that only one client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Linux negotiates from NFS version 4 downwards; macOS begins with 3, Windows knows no 4.
    AsksForVersion4,
    /// Linux asks for the side protocol NFS_ACL on the connection of every new mount.
    AsksForAcls,
    /// Linux asks ACCESS for exactly these rights: all but EXECUTE of a directory, all but LOOKUP and DELETE of a file.
    AsksForLinuxRights,
    /// macOS leaves the machine name of AUTH_SYS empty in every call.
    NamelessMachine,
    /// macOS asks a portmapper over IPv6 by GETVERSADDR.
    AsksForVersionedAddress,
    /// Windows calls as user and group -2, without further groups, where no identities are mapped.
    AnonymousUser,
}

/// NFS_ACL, a program that is not served.
const ACL_PROGRAM: u32 = 100_227;
const GETVERSADDR: u32 = 9;
const RPCBIND_VERSION: u32 = 4;
const ANONYMOUS: u32 = u32::MAX - 1;
const LINUX_RIGHTS: [u32; 2] = [0x1f, 0x2d];

impl Sign {
    /// The sign in the head of a call.
    pub(crate) fn of_call(program: u32, version: u32, procedure: u32, credential: &Credential<'_>) -> Option<Sign> {
        match (program, version, procedure) {
            (nfs3::PROGRAM, 4, _) => return Some(Sign::AsksForVersion4),
            (ACL_PROGRAM, ..) => return Some(Sign::AsksForAcls),
            (portmap::PROGRAM, RPCBIND_VERSION, GETVERSADDR) => return Some(Sign::AsksForVersionedAddress),
            _ => {}
        }
        match credential {
            Credential::Sys { machine: b"", stamp: 0, .. } => Some(Sign::NamelessMachine),
            Credential::Sys { uid: ANONYMOUS, gid: ANONYMOUS, groups: b"", .. } => Some(Sign::AnonymousUser),
            _ => None,
        }
    }

    /// The sign in what ACCESS asks for.
    pub(crate) fn of_rights(wanted: u32) -> Option<Sign> {
        LINUX_RIGHTS.contains(&wanted).then_some(Sign::AsksForLinuxRights)
    }

    pub(crate) fn kind(self) -> PeerKind {
        match self {
            Sign::AsksForVersion4 | Sign::AsksForAcls | Sign::AsksForLinuxRights => PeerKind::Linux,
            Sign::NamelessMachine | Sign::AsksForVersionedAddress => PeerKind::Macos,
            Sign::AnonymousUser => PeerKind::Windows,
        }
    }

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Sign::AsksForVersion4 => "asked for NFS version 4 first",
            Sign::AsksForAcls => "asked for NFS_ACL",
            Sign::AsksForLinuxRights => "asks ACCESS for what Linux asks for",
            Sign::NamelessMachine => "names no machine in AUTH_SYS",
            Sign::AsksForVersionedAddress => "asked the portmapper by GETVERSADDR",
            Sign::AnonymousUser => "calls as user and group -2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sys(machine: &'static [u8], uid: u32, gid: u32, groups: &'static [u8]) -> Credential<'static> {
        Credential::Sys { stamp: 0, machine, uid, gid, groups }
    }

    #[test]
    fn a_user_of_linux_who_is_called_nobody_is_no_windows() {
        let seen = |credential| Sign::of_call(nfs3::PROGRAM, 3, 1, &credential);
        assert_eq!(seen(sys(b"host", 65_534, 65_534, b"")), None);
        assert_eq!(seen(sys(b"HOST", ANONYMOUS, ANONYMOUS, b"")), Some(Sign::AnonymousUser));
        // macOS' nobody is -2 too, but its machine has no name.
        assert_eq!(seen(sys(b"", ANONYMOUS, ANONYMOUS, b"")), Some(Sign::NamelessMachine));
        assert_eq!(seen(sys(b"host", ANONYMOUS, ANONYMOUS, &[0; 4])), None);
        assert_eq!(seen(Credential::None), None);
    }

    #[test]
    fn rights_that_others_ask_for_too_are_no_sign() {
        for (wanted, sign) in [(0x1f, true), (0x2d, true), (0x3f, false), (0x01, false), (0, false)] {
            assert_eq!(Sign::of_rights(wanted).is_some(), sign, "{wanted:x}");
        }
    }
}
