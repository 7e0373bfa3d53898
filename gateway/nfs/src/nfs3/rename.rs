//! RENAME (RFC 1813 §3.3.14): read-only; the results tell of both directories.

use super::Shared;
use super::results::{read_directory_and_name, read_only_pair, wcc_body};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let (from, _name) = read_directory_and_name(shared, arguments)?;
    let (to, _new_name) = read_directory_and_name(shared, arguments)?;
    Ok(read_only_pair(shared, reply, (from, to), wcc_body(shared)))
}
