//! FSSTAT (RFC 1813 §3.3.18). How full an endpoint's disk is, nobody has asked it; nothing can be written, so nothing is free.

use std::sync::Arc;

use super::results::{put_attributes, put_failure, put_ok, refuse_handle};
use super::{About, Shared, answer, read_node, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// Bytes total, free, available; files total, free, available.
const FIGURES: [u64; 6] = [0; 6];
/// The figures may be asked for again at any time.
const INVARIABLE_SECONDS: u32 = 0;

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
    let encode = |_: &Shared, reply: &mut Reply, result: vfs::Result<vfs::Attributes>| match result {
        Ok(attributes) => {
            put_ok(reply);
            put_attributes(reply, Some(&attributes));
            FIGURES.iter().for_each(|figure| reply.u64(*figure));
            reply.u32(INVARIABLE_SECONDS);
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
