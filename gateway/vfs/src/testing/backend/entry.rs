//! What a fake tree is made of.

use bytes::Bytes;

use crate::attributes::FileType;
use crate::timestamp::Timestamp;

/// One entry of a fake tree.
#[derive(Debug, Clone)]
pub struct FakeEntry {
    /// Type on the endpoint.
    pub file_type: FileType,
    /// Permission bits.
    pub mode: u16,
    /// Size as listed; [`FakeBackend::add_file`] sets it to the content's length.
    pub size: u64,
    /// Only reading tells the size.
    pub size_unknown: bool,
    /// The name was no UTF-8.
    pub unfetchable: bool,
    /// Modification time.
    pub modified: Option<Timestamp>,
    /// Raw link target.
    pub link: Option<String>,
    /// Content that comes with the listing.
    pub inline: Option<Vec<u8>>,
    /// Content that collecting gives.
    pub content: Bytes,
}

impl FakeEntry {
    /// An entry of this type, made in 2020.
    pub fn new(file_type: FileType) -> FakeEntry {
        FakeEntry {
            file_type,
            mode: 0o644,
            size: 0,
            size_unknown: false,
            unfetchable: false,
            modified: Some(Timestamp::new(1_577_836_800, 123_456_789)),
            link: None,
            inline: None,
            content: Bytes::new(),
        }
    }
}
