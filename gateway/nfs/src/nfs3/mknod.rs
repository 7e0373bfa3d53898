//! MKNOD (RFC 1813 §3.3.11): read-only.

use nfsserve::nfs::ftype3;

use super::Shared;
use super::results::{read_directory_and_name, read_only, skip_sattr3};
use crate::rpc::{Answer, Decoder, Refusal, Reply};

const BLOCK: u32 = ftype3::NF3BLK as u32;
const CHARACTER: u32 = ftype3::NF3CHR as u32;
const SOCKET: u32 = ftype3::NF3SOCK as u32;
const FIFO: u32 = ftype3::NF3FIFO as u32;

pub(super) fn call(shared: &Shared, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
    let (directory, _name) = read_directory_and_name(shared, arguments)?;
    match arguments.u32()? {
        BLOCK | CHARACTER => {
            skip_sattr3(arguments)?;
            arguments.u64()?;
        }
        SOCKET | FIFO => skip_sattr3(arguments)?,
        1..=5 => {}
        _ => return Err(Refusal::GarbageArguments),
    }
    Ok(read_only(shared, reply, directory))
}
