//! GETATTR (RFC 1813 §3.3.1): from the last known listing of any age, at once (D35); only a size that nothing but reading tells
//! makes it wait (D7).

use std::sync::Arc;
use std::time::Duration;

use vfs::{Attributes, Error};

use super::attributes::fattr3;
use super::results::{put_failure, put_ok};
use super::status::handle_status;
use super::{About, Shared, answer, read_node, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

#[inline]
pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let node = match read_node(shared, arguments)? {
        Ok(node) => node,
        Err(error) => {
            put_failure(reply, handle_status(&error));
            return Ok(Answer::Written);
        }
    };
    let now = shared
        .vfs
        .attributes_now(&node)
        .filter(|known| known.as_ref().map_or(true, |attributes| attributes.size.is_some()));
    Ok(answer(
        shared,
        request,
        reply,
        now,
        encode,
        |shared, call| async move { shared.vfs.attributes(&node, &call).await },
    ))
}

#[inline]
fn encode(_: &Shared, reply: &mut Reply, result: vfs::Result<Attributes>) {
    match result.and_then(|attributes| Ok((attributes, attributes.size.ok_or_else(unknown_size)?))) {
        Ok((attributes, size)) => {
            put_ok(reply);
            let attributes = fattr3(&attributes, size, reply.habits());
            reply.raw(&attributes);
        }
        Err(error) => put_failure(reply, status_of(error.kind(), About::Names)),
    }
}

/// GETATTR cannot leave the size out, and a wrong size would be believed.
fn unknown_size() -> Error {
    Error::later(Duration::from_secs(5), "the size is not known yet; ask again")
}
