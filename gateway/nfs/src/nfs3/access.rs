//! ACCESS (RFC 1813 §3.3.4): what the mode says, for everybody; never a right to change anything (D1).

use std::sync::Arc;

use vfs::{Attributes, FileType};

use super::results::{put_attributes, put_failure, put_ok, refuse_handle};
use super::{About, Shared, answer, read_node, status_of};
use crate::peer::Sign;
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

const READ: u32 = 0x01;
const LOOKUP: u32 = 0x02;
const EXECUTE: u32 = 0x20;

#[inline]
pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let node = read_node(shared, arguments)?;
    let wanted = arguments.u32()?;
    request.peer.look(|| Sign::of_rights(wanted));
    let node = match node {
        Ok(node) => node,
        Err(error) => return Ok(refuse_handle(reply, &error)),
    };
    let encode = move |_: &Shared, reply: &mut Reply, result| put_result(reply, wanted, result);
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

#[inline]
fn put_result(reply: &mut Reply, wanted: u32, result: vfs::Result<Attributes>) {
    match result {
        Ok(attributes) => {
            put_ok(reply);
            put_attributes(reply, Some(&attributes));
            reply.u32(wanted & granted(&attributes));
        }
        Err(error) => {
            put_failure(reply, status_of(error.kind(), About::Names));
            reply.boolean(false);
        }
    }
}

fn granted(attributes: &Attributes) -> u32 {
    let may_read = if attributes.mode & 0o444 == 0 { 0 } else { READ };
    let may_execute = match (attributes.mode & 0o111, attributes.file_type) {
        (0, _) => 0,
        (_, FileType::Directory) => LOOKUP | EXECUTE,
        _ => EXECUTE,
    };
    may_read | may_execute
}
