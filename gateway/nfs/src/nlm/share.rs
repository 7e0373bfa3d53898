//! SHARE and UNSHARE: DOS sharing modes. Everybody may read and nobody writes, so every mode is compatible with every other.

use super::wire::{NAME_LIMIT, Status};
use super::{Shared, wire};
use crate::rpc::{Decoder, Refusal, Reply, Request};

const OBJECT_LIMIT: usize = 1024;

pub(super) fn call(
    shared: &Shared,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let cookie = wire::cookie(arguments)?;
    let _caller = arguments.opaque(NAME_LIMIT)?;
    let handle = arguments.opaque(OBJECT_LIMIT)?;
    let _owner = arguments.opaque(OBJECT_LIMIT)?;
    let _mode = arguments.u32()?;
    let _access = arguments.u32()?;
    let _is_reclaim = arguments.boolean()?;
    let status = if shared.vfs.node(handle).is_ok() { Status::Granted } else { Status::stale(request.version) };
    super::put_status(reply, cookie, status);
    reply.u32(0); // sequence
    Ok(())
}
