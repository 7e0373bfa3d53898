//! WRITE (RFC 1813 §3.3.7): read-only.

use super::results::read_only;
use super::{Shared, read_node};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

const HIGHEST_STABLE_HOW: u32 = 2;

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let node = read_node(shared, arguments)?;
    let _offset = arguments.u64()?;
    let _count = arguments.u32()?;
    if arguments.u32()? > HIGHEST_STABLE_HOW {
        return Err(Refusal::GarbageArguments);
    }
    let _data = arguments.opaque(arguments.remaining())?;
    Ok(read_only(shared, reply, node))
}
