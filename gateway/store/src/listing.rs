//! Listings as the index keeps them: compressed once, before journal and tables see them.

use std::borrow::Cow;

use bytes::Bytes;
use vfs::error::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
const HEADER: usize = 1 + 4 + 8;
/// The largest listing that is kept, before compression: ten million rows.
const MAX_BYTES: usize = 1 << 30;

/// Why stored bytes are no listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("not a compressed listing of a known format")]
    Format,
    #[error("the checksum does not match")]
    Checksum,
}

/// `rows` as the index keeps them.
///
/// # Errors
/// `Backend` past [`MAX_BYTES`].
pub(crate) fn compress(rows: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(rows.len()).ok().filter(|_| rows.len() <= MAX_BYTES);
    let length = length.ok_or_else(|| Error::backend("the listing is too large for the gateway's state"))?;
    let compressed = lz4_flex::block::compress(rows);
    let (method, body) =
        if compressed.len() < rows.len() { (LZ4, Cow::Owned(compressed)) } else { (PLAIN, Cow::Borrowed(rows)) };
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.push(method);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&xxh3_64(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The rows in `bytes`.
pub(crate) fn decompress(bytes: &[u8]) -> Result<Bytes, Damage> {
    let (method, rest) = bytes.split_first().ok_or(Damage::Format)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Damage::Format)?;
    let (checksum, body) = rest.split_first_chunk::<8>().ok_or(Damage::Format)?;
    let length = u32::from_le_bytes(*length) as usize;
    if xxh3_64(body) != u64::from_le_bytes(*checksum) {
        return Err(Damage::Checksum);
    }
    match *method {
        PLAIN if body.len() == length => Ok(Bytes::copy_from_slice(body)),
        // LZ4 never shrinks below 1/255, so a wrong length cannot make us allocate much more than is there.
        LZ4 if length <= MAX_BYTES.min(body.len().saturating_mul(256)) => {
            let rows = lz4_flex::block::decompress(body, length).map_err(|_| Damage::Format)?;
            if rows.len() == length { Ok(rows.into()) } else { Err(Damage::Format) }
        }
        _ => Err(Damage::Format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(rows in proptest::collection::vec(any::<u8>(), 0..600), repeat in 1usize..9) {
            let rows = rows.repeat(repeat);
            prop_assert_eq!(decompress(&compress(&rows).unwrap()).unwrap(), rows);
        }

        #[test]
        fn a_changed_byte_never_gives_other_rows(rows in "[ab]{0,300}", position: prop::sample::Index, change in 1u8..) {
            let mut bytes = compress(rows.as_bytes()).unwrap();
            let position = position.index(bytes.len());
            bytes[position] ^= change;
            prop_assert!(decompress(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&bytes);
        }
    }
}
