//! PATHCONF (RFC 1813 §3.3.20): what names can be.

use std::sync::Arc;

use super::Shared;
use super::about::about_file_system;
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// Hard links are not told apart.
const LINK_MAX: u32 = 1;
/// The longest name that is listed; longer ones get a short spelling.
const NAME_MAX: u32 = 255;

pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    about_file_system(shared, request, arguments, reply, |shared, node, reply| {
        reply.u32(LINK_MAX);
        reply.u32(NAME_MAX);
        reply.boolean(true); // longer names are refused, not cut
        reply.boolean(true); // chown is for the privileged (and refused)
        reply.boolean(shared.vfs.ignores_case(node));
        reply.boolean(true); // names keep their case
    })
}
