//! What NLM's procedures pass around; ranges have 64 bits in version 4 and 32 before it.

use super::locks::{Lock, Owner, Range};
use crate::rpc::{Decoder, Refusal, Reply, Request};

/// Longest name of a client.
pub(super) const NAME_LIMIT: usize = 1024;
/// Longest `netobj`.
const OBJECT_LIMIT: usize = 1024;
/// What is kept of an owner; clients use some 20 bytes.
const OWNER_LIMIT: usize = 256;

/// `nlm4_stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Status {
    Granted = 0,
    Denied = 1,
    NoLocks = 2,
    Blocked = 3,
    StaleHandle = 7,
}

impl Status {
    /// What to say of a handle that names nothing: before version 4 there is no word for it.
    pub(super) fn stale(version: u32) -> Status {
        if version == 4 { Status::StaleHandle } else { Status::NoLocks }
    }
}

/// Which range of which file is meant, and who means it.
pub(super) struct Target<'a> {
    pub handle: &'a [u8],
    pub owner: Owner,
    pub range: Range,
}

impl<'a> Target<'a> {
    /// `nlm4_lock` or `nlm_lock`.
    pub(super) fn read(request: &Request<'_>, arguments: &mut Decoder<'a>) -> Result<Target<'a>, Refusal> {
        let caller = arguments.opaque(NAME_LIMIT)?;
        let handle = arguments.opaque(OBJECT_LIMIT)?;
        let object = arguments.opaque(OWNER_LIMIT)?;
        let process = arguments.u32()?;
        let range = if request.version == 4 {
            Range::new(arguments.u64()?, arguments.u64()?)
        } else {
            Range::new_32(arguments.u32()?, arguments.u32()?)
        };
        let owner = Owner { peer: request.peer.address.ip(), caller: caller.into(), object: object.into(), process };
        Ok(Target { handle, owner, range })
    }

    pub(super) fn lock(&self, is_exclusive: bool) -> Lock {
        Lock { owner: self.owner.clone(), is_exclusive, range: self.range }
    }
}

/// The client's own mark on a call.
pub(super) fn cookie<'a>(arguments: &mut Decoder<'a>) -> Result<&'a [u8], Refusal> {
    Ok(arguments.opaque(OBJECT_LIMIT)?)
}

/// `nlm4_holder`: who is in the way.
pub(super) fn put_holder(reply: &mut Reply, version: u32, holder: &Lock) {
    reply.boolean(holder.is_exclusive);
    reply.u32(holder.owner.process);
    reply.opaque(&holder.owner.object);
    let (offset, length) = holder.range.offset_and_length();
    if version == 4 {
        reply.u64(offset);
        reply.u64(length);
    } else {
        reply.u32(u32::try_from(offset).unwrap_or(u32::MAX));
        reply.u32(u32::try_from(length).unwrap_or(0));
    }
}
