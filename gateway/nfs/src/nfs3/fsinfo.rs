//! FSINFO (RFC 1813 §3.3.19): what transfers are best, and what this file system can do.

use std::sync::Arc;

use nfsserve::nfs::{FSF_HOMOGENEOUS, FSF_SYMLINK};

use super::results::{put_attributes, put_failure, put_ok, refuse_handle};
use super::{About, MAX_FILE_SIZE, Shared, TRANSFER_LIMIT, answer, read_node, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// Linux takes its rsize from the preferred size, so it equals the maximum (docs/nfs-clients.md §3.1).
const READ_MAXIMUM: u32 = TRANSFER_LIMIT;
const READ_PREFERRED: u32 = TRANSFER_LIMIT;
const MULTIPLE: u32 = 4096;
/// A WRITE that will be refused has to fit into one record.
const WRITE_MAXIMUM: u32 = 32 << 10;
const DIRECTORY_PREFERRED: u32 = 64 << 10;

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
            for figure in
                [READ_MAXIMUM, READ_PREFERRED, MULTIPLE, WRITE_MAXIMUM, WRITE_MAXIMUM, MULTIPLE, DIRECTORY_PREFERRED]
            {
                reply.u32(figure);
            }
            reply.u64(MAX_FILE_SIZE);
            // Times are exact to one nanosecond.
            reply.u32(0);
            reply.u32(1);
            reply.u32(FSF_SYMLINK | FSF_HOMOGENEOUS);
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
