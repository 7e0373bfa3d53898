//! Who a call says it comes from: `AUTH_NONE`, `AUTH_SYS` (RFC 5531 §14 and appendix A), and the `AUTH_TLS` probe (RFC 9289 §4.1).

use super::decode::{Decoder, Malformed};

const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;
const AUTH_TLS: u32 = 7;
/// The most bytes that a credential or verifier may have.
pub(crate) const MAX_BODY: usize = 400;
const MAX_MACHINE_NAME: usize = 255;
const MAX_GROUPS: usize = 16;

/// The credential of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential<'a> {
    /// Nothing is said.
    None,
    /// The client's word, as good as the client.
    Sys {
        /// Chosen by the client.
        stamp: u32,
        /// The client's name for itself.
        machine: &'a [u8],
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Further groups, four bytes each, big-endian; at most 16.
        groups: &'a [u8],
    },
    /// The question whether this server does TLS.
    TlsProbe,
    /// A flavor that is not supported here.
    Unsupported(u32),
}

impl<'a> Credential<'a> {
    /// Reads flavor and body.
    ///
    /// # Errors
    /// [`Malformed`] if flavor and length are; a malformed body of a known flavor gives `Ok(Err(Malformed))`, because that is
    /// answered (`AUTH_BADCRED`) while the former is no call at all.
    pub(crate) fn read(decoder: &mut Decoder<'a>) -> Result<Result<Credential<'a>, Malformed>, Malformed> {
        let flavor = decoder.u32()?;
        let body = decoder.opaque(MAX_BODY)?;
        Ok(match flavor {
            AUTH_NONE => Ok(Credential::None),
            AUTH_SYS => Credential::sys(body),
            AUTH_TLS => Ok(Credential::TlsProbe),
            other => Ok(Credential::Unsupported(other)),
        })
    }

    /// The user, if the call names one.
    pub(crate) fn uid(&self) -> Option<u32> {
        match self {
            Credential::Sys { uid, .. } => Some(*uid),
            _ => None,
        }
    }

    /// What the client calls its machine, if it says. Anybody may write anything there: to be shown escaped.
    pub(crate) fn machine(&self) -> String {
        match self {
            Credential::Sys { machine, .. } => String::from_utf8_lossy(machine).into_owned(),
            _ => String::new(),
        }
    }

    fn sys(body: &'a [u8]) -> Result<Credential<'a>, Malformed> {
        let mut decoder = Decoder::new(body);
        let stamp = decoder.u32()?;
        let machine = decoder.opaque(MAX_MACHINE_NAME)?;
        let uid = decoder.u32()?;
        let gid = decoder.u32()?;
        let count = decoder.u32()? as usize;
        if count > MAX_GROUPS {
            return Err(Malformed);
        }
        let groups = decoder.fixed(count * 4)?;
        Ok(Credential::Sys { stamp, machine, uid, gid, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sys(machine: &[u8], groups: u32) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 1];
        body.extend(u32::try_from(machine.len()).unwrap().to_be_bytes());
        body.extend(machine);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([0, 0, 3, 0xe8, 0, 0, 0, 100]);
        body.extend(groups.to_be_bytes());
        for group in 0..groups {
            body.extend(group.to_be_bytes());
        }
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn auth_sys_names_a_user_within_its_limits() {
        let bytes = sys(b"host", 16);
        let credential = Credential::read(&mut Decoder::new(&bytes)).unwrap().unwrap();
        assert_eq!(credential.uid(), Some(1000));
        let Credential::Sys { machine, gid, groups, .. } = credential else { panic!("not AUTH_SYS") };
        assert_eq!((machine, gid, groups.len()), (&b"host"[..], 100, 64));
    }

    #[test]
    fn seventeen_groups_or_a_long_name_are_a_bad_credential() {
        assert_eq!(Credential::read(&mut Decoder::new(&sys(b"h", 17))), Ok(Err(Malformed)));
        assert_eq!(Credential::read(&mut Decoder::new(&sys(&[b'x'; 256], 0))), Ok(Err(Malformed)));
        assert!(Credential::read(&mut Decoder::new(&sys(&[b'x'; 255], 0))).unwrap().is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), flavor in 0u32..9) {
            let mut framed = flavor.to_be_bytes().to_vec();
            framed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            framed.extend(&bytes);
            framed.resize(framed.len().next_multiple_of(4), 0);
            let read = Credential::read(&mut Decoder::new(&framed));
            prop_assert_eq!(read.is_err(), bytes.len() > MAX_BODY);
            let _ = Credential::read(&mut Decoder::new(&bytes));
        }
    }
}
