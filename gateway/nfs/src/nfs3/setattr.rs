//! SETATTR (RFC 1813 §3.3.2): read-only.

use super::results::{read_only, skip_sattr3};
use super::{Shared, read_node};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let node = read_node(shared, arguments)?;
    skip_sattr3(arguments)?;
    if arguments.boolean()? {
        arguments.u64()?;
    }
    Ok(read_only(shared, reply, node))
}
