//! Records as bytes: a version, a checksum, and JSON, so that a damaged record is noticed and a later version can read an earlier one's.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vfs::error::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 8;

/// The bytes of a record.
pub(crate) fn seal<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION; HEADER];
    serde_json::to_writer(&mut bytes, record)
        .map_err(|error| Error::backend(format!("a record cannot be written: {error}")))?;
    let checksum = xxh3_64(&bytes[HEADER..]);
    bytes[1..HEADER].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// The record in `bytes`.
///
/// # Errors
/// `Backend` if they are damaged or of another version.
pub(crate) fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let parts = bytes.split_first().and_then(|(version, rest)| Some((*version, rest.split_first_chunk::<8>()?)));
    let Some((VERSION, (checksum, json))) = parts else {
        return Err(damaged("it has no known format"));
    };
    if xxh3_64(json) != u64::from_le_bytes(*checksum) {
        return Err(damaged("its checksum does not match"));
    }
    serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))
}

fn damaged(reason: &str) -> Error {
    tracing::error!(reason, "a record of the state is damaged");
    Error::backend("a record of the gateway's own state is damaged: see its log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(text in "\\PC{0,40}", position: prop::sample::Index, change in 1u8..) {
            let mut bytes = seal(&text).unwrap();
            prop_assert_eq!(open::<String>(&bytes).unwrap(), text);
            let position = position.index(bytes.len());
            bytes[position] ^= change;
            prop_assert!(open::<String>(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(open::<String>(&bytes).is_err());
        }
    }
}
