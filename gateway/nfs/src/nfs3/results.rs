//! Pieces that most results share: status, attributes after the operation, handles.

use nfsserve::nfs::nfsstat3;
use vfs::{Attributes, Error, HANDLE_BYTES, Node};

use super::attributes::{FATTR3, fattr3};
use super::status::handle_status;
use super::{Shared, read_node};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

/// Bytes of `post_op_attr` with attributes.
pub(super) const POST_OP_ATTR: usize = 4 + FATTR3;
/// Bytes of `post_op_fh3` with a handle.
pub(super) const POST_OP_FH: usize = 4 + 4 + HANDLE_BYTES;

/// `NFS3_OK`.
#[inline]
pub(super) fn put_ok(reply: &mut Reply) {
    reply.u32(nfsstat3::NFS3_OK as u32);
}

/// The status of a failure, as the client that it goes to knows it.
pub(super) fn put_failure(reply: &mut Reply, status: nfsstat3) {
    let status = match status {
        nfsstat3::NFS3ERR_JUKEBOX if reply.habits().fails_on_later => nfsstat3::NFS3ERR_IO,
        status => status,
    };
    reply.set_failed(status as u32);
    reply.u32(status as u32);
}

/// `post_op_attr`: absent if there are none, or if the size is not known (D7).
#[inline]
pub(super) fn put_attributes(reply: &mut Reply, attributes: Option<&Attributes>) {
    match attributes.and_then(|attributes| Some((attributes, attributes.size?))) {
        Some((attributes, size)) => {
            let mut bytes = [0; POST_OP_ATTR];
            bytes[3] = 1;
            bytes[4..].copy_from_slice(&fattr3(attributes, size, reply.habits()));
            reply.raw(&bytes);
        }
        None => reply.boolean(false),
    }
}

/// `nfs_fh3`.
#[inline]
pub(super) fn put_handle(reply: &mut Reply, shared: &Shared, node: &Node) {
    reply.opaque(&shared.vfs.handle(node));
}

/// `post_op_fh3`.
#[inline]
pub(super) fn put_optional_handle(reply: &mut Reply, shared: &Shared, node: &Node) {
    reply.boolean(true);
    put_handle(reply, shared, node);
}

/// `wcc_data`: what was there before is not told, what is there now is.
pub(super) fn put_wcc(reply: &mut Reply, shared: &Shared, node: Option<&Node>) {
    reply.boolean(false);
    put_attributes(reply, node.and_then(|node| shared.shown(node)).as_ref());
}

/// A procedure's results when its handle was refused: the status and one absent `post_op_attr`.
pub(super) fn refuse_handle(reply: &mut Reply, error: &Error) -> Answer {
    put_failure(reply, handle_status(error));
    reply.boolean(false);
    Answer::Written
}

/// ROFS with one `wcc_data`, or the refusal of the handle.
pub(super) fn read_only(shared: &Shared, reply: &mut Reply, node: Result<Node, Error>) -> Answer {
    match node {
        Ok(node) => {
            put_failure(reply, nfsstat3::NFS3ERR_ROFS);
            put_wcc(reply, shared, Some(&node));
        }
        Err(error) => {
            put_failure(reply, handle_status(&error));
            put_wcc(reply, shared, None);
        }
    }
    Answer::Written
}

/// ROFS for two handles: `first` writes the body of the first, the second is always a `wcc_data`.
pub(super) fn read_only_pair(
    shared: &Shared,
    reply: &mut Reply,
    (one, two): (Result<Node, Error>, Result<Node, Error>),
    first: impl FnOnce(&mut Reply, Option<&Node>),
) -> Answer {
    let status =
        [&one, &two].into_iter().find_map(|node| node.as_ref().err()).map_or(nfsstat3::NFS3ERR_ROFS, handle_status);
    put_failure(reply, status);
    first(reply, one.as_ref().ok());
    put_wcc(reply, shared, two.as_ref().ok());
    Answer::Written
}

/// The first body of RENAME.
pub(super) fn wcc_body(shared: &Shared) -> impl FnOnce(&mut Reply, Option<&Node>) {
    move |reply, node| put_wcc(reply, shared, node)
}

/// `diropargs3`: a directory and a name in it.
pub(super) fn read_directory_and_name<'a>(
    shared: &Shared,
    arguments: &mut Decoder<'a>,
) -> Result<(Result<Node, Error>, &'a [u8]), Refusal> {
    let directory = read_node(shared, arguments)?;
    Ok((directory, arguments.opaque(super::NAME_LIMIT)?))
}

/// `sattr3`, which nobody needs here but which has to be there.
pub(super) fn skip_sattr3(arguments: &mut Decoder<'_>) -> Result<(), Refusal> {
    for _mode_uid_gid in 0..3 {
        if arguments.boolean()? {
            arguments.u32()?;
        }
    }
    if arguments.boolean()? {
        arguments.u64()?;
    }
    for _access_and_modification in 0..2 {
        match arguments.u32()? {
            0 | 1 => {}
            2 => {
                arguments.u64()?;
            }
            _ => return Err(Refusal::GarbageArguments),
        }
    }
    Ok(())
}
