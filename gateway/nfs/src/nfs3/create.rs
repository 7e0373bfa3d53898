//! CREATE (RFC 1813 §3.3.8): read-only. A name that exists already is told as that, as a local read-only file system does: Linux from
//! 6.8 on sends CREATE without LOOKUP for `open(O_CREAT)` and opens what exists (`flock FILE`, `>>` of a shell), but gives up at ROFS.

use std::sync::Arc;

use nfsserve::nfs::nfsstat3;
use vfs::{ErrorKind, Found, Node};

use super::results::{put_failure, put_wcc, read_directory_and_name, read_only, skip_sattr3};
use super::{Shared, answer};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let (directory, name) = read_directory_and_name(shared, arguments)?;
    match arguments.u32()? {
        0 | 1 => skip_sattr3(arguments)?,
        2 => {
            arguments.u64()?;
        }
        _ => return Err(Refusal::GarbageArguments),
    }
    let (Ok(directory), Ok(name)) = (&directory, std::str::from_utf8(name)) else {
        return Ok(read_only(shared, reply, directory));
    };
    let (directory, name) = (*directory, name.to_owned());
    let now = shared.vfs.lookup_now(&directory, &name, request.peer.call());
    let encode = move |shared: &Shared, reply: &mut Reply, result| put_result(shared, reply, &directory, result);
    Ok(answer(shared, request, reply, now, encode, |shared, call| async move {
        shared.vfs.lookup(&directory, &name, &call).await
    }))
}

fn put_result(shared: &Shared, reply: &mut Reply, directory: &Node, result: vfs::Result<Found>) {
    let status = match result {
        Ok(_) => nfsstat3::NFS3ERR_EXIST,
        // Whether it exists is not known yet, so the client asks again.
        Err(error) if matches!(error.kind(), ErrorKind::Later { .. }) => nfsstat3::NFS3ERR_JUKEBOX,
        Err(_) => nfsstat3::NFS3ERR_ROFS,
    };
    put_failure(reply, status);
    put_wcc(reply, shared, Some(directory));
}
