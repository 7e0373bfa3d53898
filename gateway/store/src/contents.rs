//! Content files: chunks at their own offsets, written before anything says that they are there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use vfs::error::{Error, Result};
use vfs::store::{CHUNK_BYTES, ContentKey};
use xxhash_rust::xxh3::xxh3_64;

use crate::buffers::Buffers;
use crate::error;
use crate::layout::PRIVATE_FILE;

const VERSION: u8 = 1;
const RECORD: usize = 1 + 8 + 4;

/// What the index keeps of a chunk: how long it is and what it hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRecord {
    checksum: u64,
    length: u32,
}

impl ChunkRecord {
    /// Bytes of the chunk.
    pub(crate) fn length(self) -> u64 {
        self.length.into()
    }

    pub(crate) fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [VERSION; RECORD];
        bytes[1..9].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[9..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// `None` for bytes that are no such record.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<ChunkRecord> {
        let (&VERSION, rest) = bytes.split_first()? else {
            return None;
        };
        let (checksum, length) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let record = ChunkRecord { checksum: u64::from_le_bytes(*checksum), length };
        (length as usize <= CHUNK_BYTES).then_some(record)
    }
}

/// The directory of content files.
#[derive(Debug)]
pub(crate) struct Contents {
    directory: PathBuf,
    buffers: Arc<Buffers>,
}

impl Contents {
    pub(crate) fn new(directory: PathBuf) -> Contents {
        Contents { directory, buffers: Arc::default() }
    }

    fn path(&self, content: ContentKey) -> PathBuf {
        let name = format!("{:032x}", content.0);
        self.directory.join(&name[..2]).join(name)
    }

    /// Writes a chunk; what is returned goes into the index only now.
    ///
    /// # Errors
    /// `Invalid` for a chunk of impossible length or place, `Backend` if the disk fails.
    pub(crate) fn write(&self, content: ContentKey, index: u64, bytes: &[u8]) -> Result<ChunkRecord> {
        let offset = offset(index).filter(|_| !bytes.is_empty() && bytes.len() <= CHUNK_BYTES);
        let length = u32::try_from(bytes.len()).ok();
        let (Some(offset), Some(length)) = (offset, length) else {
            return Err(Error::invalid("a chunk has between 1 byte and 1 MiB and lies below 8 EiB"));
        };
        let path = self.path(content);
        let file = create(&path).map_err(|cause| error::disk("creating a content file", &path, &cause))?;
        file.write_all_at(bytes, offset).map_err(|cause| error::disk("writing a content file", &path, &cause))?;
        Ok(ChunkRecord { checksum: xxh3_64(bytes), length })
    }

    /// Reads the chunk that `record` describes; `None` if other bytes are there than were written.
    ///
    /// # Errors
    /// `Backend` if the disk fails.
    pub(crate) fn read(&self, content: ContentKey, index: u64, record: ChunkRecord) -> Result<Option<Bytes>> {
        let Some(offset) = offset(index) else {
            return Ok(None);
        };
        let path = self.path(content);
        let mut buffer = self.buffers.take(record.length as usize);
        let bytes = &mut buffer.bytes;
        match File::open(&path).and_then(|file| file.read_exact_at(bytes, offset)) {
            Ok(()) if xxh3_64(bytes) == record.checksum => Ok(Some(Bytes::from_owner(buffer))),
            Ok(()) => {
                tracing::warn!(path = %path.display(), index, "a chunk is damaged and is fetched again: its checksum does not match");
                Ok(None)
            }
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                tracing::warn!(path = %path.display(), index, error = %cause, "a chunk is gone and is fetched again");
                Ok(None)
            }
            Err(cause) => Err(error::disk("reading a content file", &path, &cause)),
        }
    }
}

/// Where a chunk begins; `None` past what files can have.
fn offset(index: u64) -> Option<u64> {
    let offset = index.checked_mul(CHUNK_BYTES as u64)?;
    i64::try_from(offset).ok()?.checked_add(CHUNK_BYTES as i64)?;
    Some(offset)
}

fn create(path: &PathBuf) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE_FILE).open(path);
    match open() {
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            open()
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunk_records_are_read_back_as_written(checksum: u64, length in 0u32..=1 << 20, other in proptest::collection::vec(any::<u8>(), 0..20)) {
            let record = ChunkRecord { checksum, length };
            prop_assert_eq!(ChunkRecord::from_bytes(&record.to_bytes()), Some(record));
            let _ = ChunkRecord::from_bytes(&other);
        }
    }

    #[test]
    fn chunks_of_impossible_length_or_place_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let contents = Contents::new(directory.path().into());
        let chunk = vec![1; CHUNK_BYTES + 1];
        for (index, length) in [(0, 0), (0, CHUNK_BYTES + 1), (u64::MAX, 1), (1 << 43, 1)] {
            assert!(contents.write(ContentKey(1), index, &chunk[..length]).is_err(), "{index} {length}");
        }
    }
}
