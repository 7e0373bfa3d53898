//! Identities and handles: what names an object for ever, the same after every restart and on every replica.
//!
//! `H(own)` is a keyed hash of `H(parent)` and the raw name, so an identity is a function of (endpoint, accessor, components)
//! and the key alone. A handle is 64 bytes (D6):
//!
//! | bytes | field |
//! |---|---|
//! | 0 | format, 1 |
//! | 1 | kind in the low three bits, view in the others |
//! | 2..4 | key id |
//! | 4..12 | export: hash of organisation and client id; 0 above the endpoints |
//! | 12..28 | H(parent) |
//! | 28..44 | H(own) |
//! | 44..48 | version of a file; 0 for everything else |
//! | 48..56 | session; 0 without a ticket |
//! | 56..64 | MAC over bytes 0..56 |

use std::fmt;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher128};
use std::hash::Hasher;

use crate::endpoint::EndpointId;
use crate::error::{Error, Result};

/// Length of every handle.
pub const HANDLE_BYTES: usize = 64;
const FORMAT: u8 = 1;

/// A 128-bit identity, `H(own)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Identity(pub u128);

impl Identity {
    /// The identity of `/`, which has no parent: its own parent is this value too.
    pub const ROOT: Identity = Identity(1);

    /// The file id of RFC 1813 `fattr3`: never 0, bit 63 clear (some clients sign-extend it).
    pub fn file_id(self) -> u64 {
        #[allow(clippy::cast_possible_truncation)] // the low half is the point
        let low = (self.0 as u64) & (u64::MAX >> 1);
        low.max(1)
    }

    /// Big-endian bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From big-endian bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Identity {
        Identity(u128::from_be_bytes(bytes))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// What sort of object a handle names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NodeKind {
    /// A directory: of an endpoint, or one of the gateway's own.
    Directory = 1,
    /// A regular file (registry values and streams too).
    File = 2,
    /// A symbolic link.
    Link = 3,
    /// A device, FIFO, socket or anything else without content.
    Special = 4,
    /// A file of the gateway's own, below `.raptorgate`.
    Meta = 5,
}

impl NodeKind {
    fn from_byte(byte: u8) -> Option<NodeKind> {
        Some(match byte {
            1 => NodeKind::Directory,
            2 => NodeKind::File,
            3 => NodeKind::Link,
            4 => NodeKind::Special,
            5 => NodeKind::Meta,
            _ => return None,
        })
    }
}

/// The object that a verified handle names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// Sort of object.
    pub kind: NodeKind,
    /// Hash of the endpoint, 0 above the endpoints.
    pub export: u64,
    /// Identity of the directory that holds it.
    pub parent: Identity,
    /// Its own identity.
    pub own: Identity,
    /// Version of a file, from size and mtime as listed; 0 otherwise.
    pub version: u32,
    /// Session of a ticket, or 0.
    pub session: u64,
    /// How many times the way here went through `.raptorgate/root`: 0 to [`MAX_VIEW`]; plus [`FROZEN`] below `/frozen` (D11). File ids
    /// differ from view to view: the Linux client refuses a directory that is found below itself (`ELOOP`).
    pub view: u8,
}

/// The deepest view. Linux follows at most 40 links on one walk.
pub const MAX_VIEW: u8 = 15;
/// The views below `/frozen`, where nothing is refreshed or collected again.
pub const FROZEN: u8 = 16;
const KIND_BITS: u32 = 3;

impl Node {
    /// `/`: the list of endpoints.
    pub const ROOT: Node = Node {
        kind: NodeKind::Directory,
        export: 0,
        parent: Identity::ROOT,
        own: Identity::ROOT,
        version: 0,
        session: 0,
        view: 0,
    };

    /// It lies below `/frozen`.
    pub fn is_frozen(&self) -> bool {
        self.view & FROZEN != 0
    }

    /// The file id of RFC 1813 `fattr3`: never 0, bit 63 clear.
    pub fn file_id(&self) -> u64 {
        viewed_file_id(self.own, self.view)
    }

    /// The file id of the directory that holds it.
    pub fn parent_file_id(&self) -> u64 {
        viewed_file_id(self.parent, self.view)
    }
}

/// Each view has file ids of its own.
fn viewed_file_id(identity: Identity, view: u8) -> u64 {
    let mixed = identity.file_id() ^ u64::from(view).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed & (u64::MAX >> 1)).max(1)
}

/// The secret that identities and handles are made with. Replicas that share it mint the same handles.
#[derive(Clone)]
pub struct Keys {
    id: u16,
    identity: [u8; 16],
    mac: [u8; 16],
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.id)
    }
}

impl Keys {
    /// Keys from a 32-byte secret.
    pub fn new(secret: &[u8; 32]) -> Keys {
        let mut identity = [0; 16];
        let mut mac = [0; 16];
        identity.copy_from_slice(&secret[..16]);
        mac.copy_from_slice(&secret[16..]);
        let mut hasher = SipHasher24::new_with_key(&mac);
        hasher.write(b"raptorgate key id");
        #[allow(clippy::cast_possible_truncation)] // 16 bits tell keys apart
        let id = hasher.finish() as u16;
        Keys { id, identity, mac }
    }

    /// The identity of the child called `name`. `occurrence` counts earlier entries with the same name in the same listing
    /// (names that were no UTF-8 can look alike, docs/velociraptor-api.md §4.2); it is 0 for every ordinary entry.
    pub fn child(&self, parent: Identity, name: &str, occurrence: u32) -> Identity {
        let mut hasher = SipHasher128::new_with_key(&self.identity);
        hasher.write(&parent.to_bytes());
        hasher.write(name.as_bytes());
        if occurrence > 0 {
            hasher.write(&[0]); // no name contains it
            hasher.write(&occurrence.to_be_bytes());
        }
        Identity(hasher.finish128().as_u128())
    }

    /// The export of an endpoint: never 0.
    pub fn export(&self, endpoint: &EndpointId) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.identity);
        hasher.write(endpoint.org.as_bytes());
        hasher.write(&[0]);
        hasher.write(endpoint.client_id.as_bytes());
        hasher.finish().max(1)
    }

    /// The 64 bytes that name `node`.
    pub fn encode(&self, node: &Node) -> [u8; HANDLE_BYTES] {
        let mut bytes = [0; HANDLE_BYTES];
        bytes[0] = FORMAT;
        bytes[1] = node.kind as u8 | node.view << KIND_BITS;
        bytes[2..4].copy_from_slice(&self.id.to_be_bytes());
        bytes[4..12].copy_from_slice(&node.export.to_be_bytes());
        bytes[12..28].copy_from_slice(&node.parent.to_bytes());
        bytes[28..44].copy_from_slice(&node.own.to_bytes());
        bytes[44..48].copy_from_slice(&node.version.to_be_bytes());
        bytes[48..56].copy_from_slice(&node.session.to_be_bytes());
        let mac = self.mac(&bytes[..56]);
        bytes[56..64].copy_from_slice(&mac.to_be_bytes());
        bytes
    }

    /// Verifies a handle and says what it names.
    ///
    /// # Errors
    /// `Invalid` if the bytes are no handle at all, `Stale` if they were made with another key or altered.
    pub fn decode(&self, bytes: &[u8]) -> Result<Node> {
        let bytes: &[u8; HANDLE_BYTES] =
            bytes.try_into().map_err(|_| Error::invalid("a handle has exactly 64 bytes"))?;
        if bytes[0] != FORMAT {
            return Err(Error::invalid("this is no handle of this gateway"));
        }
        if bytes[2..4] != self.id.to_be_bytes() {
            return Err(Error::stale("the handle was made with another key: unmount and mount again"));
        }
        if self.mac(&bytes[..56]) != u64::from_be_bytes(array(&bytes[56..64])) {
            return Err(Error::stale("the handle was altered"));
        }
        let kind = NodeKind::from_byte(bytes[1] & 7)
            .ok_or_else(|| Error::invalid("the handle names no known kind of object"))?;
        Ok(Node {
            kind,
            export: u64::from_be_bytes(array(&bytes[4..12])),
            parent: Identity::from_bytes(array(&bytes[12..28])),
            own: Identity::from_bytes(array(&bytes[28..44])),
            version: u32::from_be_bytes(array(&bytes[44..48])),
            session: u64::from_be_bytes(array(&bytes[48..56])),
            view: bytes[1] >> KIND_BITS,
        })
    }

    fn mac(&self, bytes: &[u8]) -> u64 {
        SipHasher24::new_with_key(&self.mac).hash(bytes)
    }
}

fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(slice);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::new(&[7; 32])
    }

    proptest! {
        #[test]
        fn a_handle_names_what_it_was_made_for(export: u64, parent: u128, own: u128, version: u32, session: u64, kind in 1u8..=5, view in 0..=MAX_VIEW) {
            let node = Node {
                kind: NodeKind::from_byte(kind).unwrap(), export, parent: Identity(parent), own: Identity(own), version, session, view,
            };
            prop_assert_eq!(keys().decode(&keys().encode(&node)).unwrap(), node);
        }

        #[test]
        fn no_altered_bit_passes(bit in 0usize..512) {
            let mut bytes = keys().encode(&Node::ROOT);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(keys().decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(keys().decode(&bytes).is_err());
        }
    }

    #[test]
    fn handles_do_not_depend_on_the_process() {
        // The wire format is for ever: a mount made today is read by tomorrow's program.
        let endpoint = EndpointId::root_org("C.0123456789abcdef");
        let keys = keys();
        let node = Node {
            kind: NodeKind::File,
            export: keys.export(&endpoint),
            parent: Identity::ROOT,
            own: keys.child(Identity::ROOT, "auto", 0),
            version: 9,
            session: 0,
            view: 0,
        };
        let hex: String = keys.encode(&node).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.len(), 128);
        assert_eq!(&hex[..4], "0102");
        assert_ne!(keys.child(Identity::ROOT, "auto", 1), node.own);
        assert_ne!(Keys::new(&[8; 32]).child(Identity::ROOT, "auto", 0), node.own);
    }
}
