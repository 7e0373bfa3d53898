//! FSINFO (RFC 1813 §3.3.19): what transfers are best, and what this file system can do.

use std::sync::Arc;

use nfsserve::nfs::{FSF_HOMOGENEOUS, FSF_SYMLINK};

use super::about::about_file_system;
use super::{DIRECTORY_LIMIT, MAX_FILE_SIZE, Shared, TRANSFER_LIMIT};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// Linux takes its rsize from the preferred size, so it equals the maximum (docs/nfs-clients.md §3.1).
const READ_MAXIMUM: u32 = TRANSFER_LIMIT;
const READ_PREFERRED: u32 = TRANSFER_LIMIT;
const MULTIPLE: u32 = 4096;
/// A WRITE that will be refused has to fit into one record.
const WRITE_MAXIMUM: u32 = 32 << 10;
const DIRECTORY_PREFERRED: u32 = DIRECTORY_LIMIT;

pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    about_file_system(shared, request, arguments, reply, |_, _, reply| {
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
    })
}
