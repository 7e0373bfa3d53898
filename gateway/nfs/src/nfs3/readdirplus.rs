//! READDIRPLUS (RFC 1813 §3.3.17): names, file ids, attributes and handles.

use std::sync::Arc;

use vfs::Listing;

use super::directory::{Entry, Place, Room, put_page};
use super::results::{POST_OP_ATTR, POST_OP_FH, put_attributes, put_failure, put_optional_handle, refuse_handle};
use super::{About, DIRECTORY_LIMIT, Shared, answer, read_node, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// "Neither attributes nor handle".
const NOTHING: usize = 4 + 4;

pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let directory = read_node(shared, arguments)?;
    let place = Place::after(arguments.u64()?);
    let _verifier = arguments.fixed(8)?;
    let plain = arguments.u32()? as usize;
    let total = arguments.u32()?.min(DIRECTORY_LIMIT) as usize;
    let directory = match directory {
        Ok(directory) => directory,
        Err(error) => return Ok(refuse_handle(reply, &error)),
    };
    let profile = request.peer.treatment().profile();
    let encode = move |shared: &Shared, reply: &mut Reply, result: vfs::Result<Listing>| match result {
        Ok(listing) => {
            reply.reserve(total.min((listing.len() as usize + 2) * 256));
            put_page(shared, reply, (&listing, place), Room { total, plain }, profile, bytes, |reply, entry| {
                put(shared, reply, entry)
            });
        }
        Err(error) => {
            put_failure(reply, status_of(error.kind(), About::Names));
            put_attributes(reply, shared.shown(&directory).as_ref());
        }
    };
    let now = place.open_now(shared, &directory, request.peer.call());
    Ok(answer(shared, request, reply, now, encode, |shared, call| place.open(shared, directory, call)))
}

fn bytes(entry: &Entry<'_>) -> usize {
    entry.plain_bytes()
        + match &entry.object {
            Some((_, attributes)) if attributes.size.is_some() => POST_OP_ATTR + POST_OP_FH,
            Some(_) => 4 + POST_OP_FH,
            None => NOTHING,
        }
}

#[inline]
fn put(shared: &Shared, reply: &mut Reply, entry: &Entry<'_>) {
    entry.put_plain(reply);
    match &entry.object {
        Some((node, attributes)) => {
            put_attributes(reply, Some(attributes));
            put_optional_handle(reply, shared, node);
        }
        None => {
            reply.boolean(false);
            reply.boolean(false);
        }
    }
}
