//! CREATE (RFC 1813 §3.3.8): read-only.

use super::Shared;
use super::results::{read_directory_and_name, read_only, skip_sattr3};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let (directory, _name) = read_directory_and_name(shared, arguments)?;
    match arguments.u32()? {
        0 | 1 => skip_sattr3(arguments)?,
        2 => {
            arguments.u64()?;
        }
        _ => return Err(Refusal::GarbageArguments),
    }
    Ok(read_only(shared, reply, directory))
}
