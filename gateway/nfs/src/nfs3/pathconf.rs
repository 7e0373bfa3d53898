//! PATHCONF (RFC 1813 §3.3.20): what names can be.

use std::sync::Arc;

use super::results::{put_attributes, put_failure, put_ok, refuse_handle};
use super::{About, Shared, answer, read_node, status_of};
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
    let node = match read_node(shared, arguments)? {
        Ok(node) => node,
        Err(error) => return Ok(refuse_handle(reply, &error)),
    };
    let encode = move |shared: &Shared, reply: &mut Reply, result: vfs::Result<vfs::Attributes>| match result {
        Ok(attributes) => {
            put_ok(reply);
            put_attributes(reply, Some(&attributes));
            reply.u32(LINK_MAX);
            reply.u32(NAME_MAX);
            reply.boolean(true); // longer names are refused, not cut
            reply.boolean(true); // chown is for the privileged (and refused)
            reply.boolean(shared.vfs.ignores_case(&node));
            reply.boolean(true); // names keep their case
        }
        Err(error) => {
            put_failure(reply, status_of(error.kind(), About::Names));
            reply.boolean(false);
        }
    };
    let now = shared.vfs.attributes_now(&node);
    Ok(answer(
        shared,
        request,
        reply,
        now,
        encode,
        |shared, call| async move { shared.vfs.attributes(&node, &call).await },
    ))
}
