//! READLINK (RFC 1813 §3.3.5): the target as it is safe to serve (D1).

use std::sync::Arc;

use vfs::NodeKind;

use super::results::{put_attributes, put_failure, put_ok, refuse_handle};
use super::{About, Shared, answer, read_node, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

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
    let encode = move |shared: &Shared, reply: &mut Reply, result: vfs::Result<String>| {
        match &result {
            Ok(_) => put_ok(reply),
            Err(error) => put_failure(reply, status_of(error.kind(), About::Names)),
        }
        put_attributes(reply, shared.shown(&node).as_ref());
        if let Ok(target) = result {
            reply.opaque(target.as_bytes());
        }
    };
    let now = (node.kind != NodeKind::Link).then(|| Err(vfs::Error::invalid("this is no symbolic link")));
    Ok(answer(shared, request, reply, now, encode, |shared, _| async move { shared.vfs.read_link(&node).await }))
}
