//! COMMIT (RFC 1813 §3.3.21): read-only, so there is nothing to commit.

use super::results::read_only;
use super::{Shared, read_node};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let node = read_node(shared, arguments)?;
    let _offset = arguments.u64()?;
    let _count = arguments.u32()?;
    Ok(read_only(shared, reply, node))
}
