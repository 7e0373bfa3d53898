//! The three procedures that tell about the file system of an object (FSSTAT, FSINFO, PATHCONF) answer alike: the object's attributes, then
//! figures of their own.

use std::sync::Arc;

use vfs::{Attributes, Node};

use super::results::{put_attributes, put_failure, put_ok, refuse_handle};
use super::{About, Shared, answer, read_node, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// Answers with the attributes of the object that the handle names, followed by what `put_figures` puts.
pub(super) fn about_file_system(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
    put_figures: impl Fn(&Shared, &Node, &mut Reply) + Send + 'static,
) -> Result<Answer, Refusal> {
    let node = match read_node(shared, arguments)? {
        Ok(node) => node,
        Err(error) => return Ok(refuse_handle(reply, &error)),
    };
    let encode = move |shared: &Shared, reply: &mut Reply, result: vfs::Result<Attributes>| match result {
        Ok(attributes) => {
            put_ok(reply);
            put_attributes(reply, Some(&attributes));
            put_figures(shared, &node, reply);
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
