//! MKDIR (RFC 1813 §3.3.9): read-only.

use super::Shared;
use super::results::{read_directory_and_name, read_only, skip_sattr3};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let (directory, _name) = read_directory_and_name(shared, arguments)?;
    skip_sattr3(arguments)?;
    Ok(read_only(shared, reply, directory))
}
