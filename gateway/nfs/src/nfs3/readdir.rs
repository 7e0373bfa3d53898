//! READDIR (RFC 1813 §3.3.16): names and file ids.

use std::sync::Arc;

use vfs::Listing;

use super::directory::{Place, Room, put_page};
use super::results::{put_attributes, put_failure, refuse_handle};
use super::{About, DIRECTORY_LIMIT, Shared, answer, read_node, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let directory = read_node(shared, arguments)?;
    let place = Place::after(arguments.u64()?);
    let _verifier = arguments.fixed(8)?;
    let total = arguments.u32()?.min(DIRECTORY_LIMIT) as usize;
    let directory = match directory {
        Ok(directory) => directory,
        Err(error) => return Ok(refuse_handle(reply, &error)),
    };
    let profile = request.peer.treatment().profile();
    let encode = move |shared: &Shared, reply: &mut Reply, result: vfs::Result<Listing>| match result {
        Ok(listing) => {
            reply.reserve(total.min((listing.len() as usize + 2) * 64));
            put_page(
                shared,
                reply,
                (&listing, place),
                Room { total, plain: total },
                profile,
                |entry| entry.plain_bytes(),
                |reply, entry| {
                    entry.put_plain(reply);
                },
            );
        }
        Err(error) => {
            put_failure(reply, status_of(error.kind(), About::Names));
            put_attributes(reply, shared.shown(&directory).as_ref());
        }
    };
    let now = place.open_now(shared, &directory, request.peer.call());
    Ok(answer(shared, request, reply, now, encode, |shared, call| place.open(shared, directory, call)))
}
