//! LOOKUP (RFC 1813 §3.3.3). "No such file" is only ever said by a fresh listing (D35); the VFS decides, and may make it wait.

use std::sync::Arc;

use vfs::{Call, Error, Found, Node};

use super::results::{put_attributes, put_failure, put_handle, put_ok, read_directory_and_name, refuse_handle};
use super::{About, Shared, answer, status_of};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// Stands for bytes that are no UTF-8. No listing contains it: it is no character.
const NO_CHARACTER: char = '\u{fffe}';

#[inline]
pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let (directory, name) = read_directory_and_name(shared, arguments)?;
    let directory = match directory {
        Ok(directory) => directory,
        Err(error) => return Ok(refuse_handle(reply, &error)),
    };
    let encode = move |shared: &Shared, reply: &mut Reply, result| put_result(shared, reply, &directory, result);
    let name = match name {
        b"" => {
            encode(shared, reply, Err(Error::invalid("the name is empty")));
            return Ok(Answer::Written);
        }
        b"." => {
            let now = shared
                .vfs
                .attributes_now(&directory)
                .map(|known| known.map(|attributes| Found { node: directory, attributes }));
            return Ok(answer(shared, request, reply, now, encode, |shared, call| itself(shared, directory, call)));
        }
        b".." => {
            return Ok(answer(shared, request, reply, None, encode, |shared, _| async move {
                shared.vfs.parent(&directory).await
            }));
        }
        name => name,
    };
    let Ok(name) = std::str::from_utf8(name) else {
        let stand_in = stand_in(name);
        return Ok(answer(shared, request, reply, None, encode, |shared, call| async move {
            // Nothing is called so; the question is only whether that is certain yet.
            shared
                .vfs
                .lookup(&directory, &stand_in, &call)
                .await
                .and(Err(Error::absent("no name here has these bytes")))
        }));
    };
    let now = shared.vfs.lookup_now(&directory, name, request.peer.call());
    Ok(answer(shared, request, reply, now, encode, |shared, call| {
        let name = name.to_owned();
        async move { shared.vfs.lookup(&directory, &name, &call).await }
    }))
}

async fn itself(shared: Arc<Shared>, directory: Node, call: Arc<Call>) -> vfs::Result<Found> {
    let attributes = shared.vfs.attributes(&directory, &call).await?;
    Ok(Found { node: directory, attributes })
}

/// A name that certainly is not in any listing, as different as the bytes are.
fn stand_in(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(char::REPLACEMENT_CHARACTER, NO_CHARACTER.encode_utf8(&mut [0; 4]))
}

#[inline]
fn put_result(shared: &Shared, reply: &mut Reply, directory: &Node, result: vfs::Result<Found>) {
    match result {
        Ok(found) => {
            put_ok(reply);
            put_handle(reply, shared, &found.node);
            put_attributes(reply, Some(&found.attributes));
        }
        Err(error) => put_failure(reply, status_of(error.kind(), About::Names)),
    }
    put_attributes(reply, shared.shown(directory).as_ref());
}
