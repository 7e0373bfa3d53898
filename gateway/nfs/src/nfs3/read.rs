//! READ (RFC 1813 §3.3.6): at most 1 MiB, short only at the end, `eof` exact; the bytes go from the cache to the socket uncopied.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use vfs::{Call, Data, Node};

use super::results::{put_attributes, put_failure, put_ok, refuse_handle};
use super::{About, Shared, TRANSFER_LIMIT, answer, busy, read_node, status_of};
use crate::rpc::{Answer, Decoder, Peer, Refusal, Reply, Request};

/// Data, and the permits that stand for its bytes until it is in the output queue.
type Held = (Data, [Option<OwnedSemaphorePermit>; 2]);

#[inline]
pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let node = read_node(shared, arguments)?;
    let offset = arguments.u64()?;
    let count = arguments.u32()?.min(TRANSFER_LIMIT);
    let node = match node {
        Ok(node) => node,
        Err(error) => return Ok(refuse_handle(reply, &error)),
    };
    let now = shared
        .vfs
        .read_now(&node, offset, count, request.peer.call())
        .map(|read| read.map(|data| (data, [None, None])));
    let encode = move |shared: &Shared, reply: &mut Reply, result| put_result(shared, reply, &node, count, result);
    let peer = request.peer.clone();
    Ok(answer(shared, request, reply, now, encode, |shared, call| wait(shared, peer, node, offset, count, call)))
}

/// Waits for a turn, then for the data. A turn is needed because data that has come but not left yet takes memory.
async fn wait(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    node: Node,
    offset: u64,
    count: u32,
    call: Arc<Call>,
) -> vfs::Result<Held> {
    let kib = count.div_ceil(1024).min(shared.reading_kib);
    let turns = async {
        let own = peer.reading.clone().acquire_many_owned(kib).await.ok();
        let all = shared.reading.clone().acquire_many_owned(kib).await.ok();
        [own, all]
    };
    let turns = tokio::time::timeout(call.hold, turns).await.map_err(|_| busy())?;
    Ok((shared.vfs.read(&node, offset, count, &call).await?, turns))
}

#[inline]
fn put_result(shared: &Shared, reply: &mut Reply, node: &Node, count: u32, result: vfs::Result<Held>) {
    match result {
        Ok((data, turns)) => {
            let (segments, length, is_whole) = at_most(data.segments, count as usize);
            put_ok(reply);
            put_attributes(reply, Some(&data.attributes));
            reply.u32(u32::try_from(length).unwrap_or(count));
            reply.boolean(data.eof && is_whole);
            reply.payload(segments);
            turns.into_iter().flatten().for_each(|turn| reply.keep(turn));
        }
        Err(error) => {
            put_failure(reply, status_of(error.kind(), About::Content));
            put_attributes(reply, shared.shown(node).as_ref());
        }
    }
}

/// The client has room for `limit` bytes and no more.
fn at_most(mut segments: Vec<Bytes>, limit: usize) -> (Vec<Bytes>, usize, bool) {
    let mut length = 0;
    let mut is_whole = true;
    for segment in &mut segments {
        if segment.len() > limit - length {
            segment.truncate(limit - length);
            is_whole = false;
        }
        length += segment.len();
    }
    (segments, length, is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_was_asked_for_never_leaves() {
        let segments = || vec![Bytes::from_static(b"abc"), Bytes::from_static(b"defg"), Bytes::from_static(b"h")];
        assert_eq!(at_most(segments(), 8).1, 8);
        assert!(at_most(segments(), 8).2);
        let (cut, length, is_whole) = at_most(segments(), 5);
        assert_eq!((cut.concat(), length, is_whole), (b"abcde".to_vec(), 5, false));
    }
}
