//! Keys of the index: fixed-width and big-endian, so that what belongs together is one range.

use vfs::backend::Job;
use vfs::endpoint::EndpointId;
use vfs::node::Identity;
use vfs::store::{ContentKey, DirectoryKey};

/// `export | own`: all directories of an endpoint are one range.
pub(crate) fn directory(key: DirectoryKey) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&key.export.to_be_bytes());
    bytes[8..].copy_from_slice(&key.own.to_bytes());
    bytes
}

/// The directory that [`directory`] made these bytes of.
pub(crate) fn parse_directory(bytes: &[u8]) -> Option<DirectoryKey> {
    let (export, own) = bytes.split_first_chunk::<8>()?;
    let own: [u8; 16] = own.try_into().ok()?;
    Some(DirectoryKey { export: u64::from_be_bytes(*export), own: Identity::from_bytes(own) })
}

/// `export | own | generation`.
pub(crate) fn rows(key: DirectoryKey, generation: u32) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..24].copy_from_slice(&directory(key));
    bytes[24..].copy_from_slice(&generation.to_be_bytes());
    bytes
}

/// `export | own of the directory | own of the file`: the files of a directory are one range.
pub(crate) fn file(key: DirectoryKey, own: Identity) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..24].copy_from_slice(&directory(key));
    bytes[24..].copy_from_slice(&own.to_bytes());
    bytes
}

/// The file's identity in a key that [`file`] made.
pub(crate) fn parse_file(bytes: &[u8]) -> Option<Identity> {
    let own: [u8; 16] = bytes.get(24..)?.try_into().ok()?;
    Some(Identity::from_bytes(own))
}

/// `content | index`: the chunks of a content are one range.
pub(crate) fn chunk(content: ContentKey, index: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&content.0.to_be_bytes());
    bytes[16..].copy_from_slice(&index.to_be_bytes());
    bytes
}

/// Organisation and client id, which contain no zero byte.
pub(crate) fn endpoint(id: &EndpointId) -> Vec<u8> {
    [id.org.as_bytes(), id.client_id.as_bytes()].join(&0)
}

/// Organisation, client id and job id, which contain no zero byte.
pub(crate) fn job(job: &Job) -> Vec<u8> {
    [job.endpoint.org.as_bytes(), job.endpoint.client_id.as_bytes(), job.id.as_bytes()].join(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_read_back_as_written(export: u64, own: u128, file_own: u128, bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let key = DirectoryKey { export, own: Identity(own) };
            prop_assert_eq!(parse_directory(&directory(key)), Some(key));
            prop_assert_eq!(parse_file(&file(key, Identity(file_own))), Some(Identity(file_own)));
            prop_assert_eq!(parse_directory(&bytes).is_some(), bytes.len() == 24);
            prop_assert_eq!(parse_file(&bytes).is_some(), bytes.len() == 40);
        }
    }
}
