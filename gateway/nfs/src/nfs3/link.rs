//! LINK (RFC 1813 §3.3.15): read-only; the results tell of the file and of the directory.

use super::results::{put_attributes, read_directory_and_name, read_only_pair};
use super::{Shared, read_node};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let file = read_node(shared, arguments)?;
    let (directory, _name) = read_directory_and_name(shared, arguments)?;
    Ok(read_only_pair(shared, reply, (file, directory), |reply, file| {
        put_attributes(reply, file.and_then(|file| shared.shown(file)).as_ref());
    }))
}
