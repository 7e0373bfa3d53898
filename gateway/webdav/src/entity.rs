//! The entity tag of an object: quoted, strong, and the same in PROPFIND, HEAD and GET.

use vfs::{Attributes, Node, NodeKind};
use xxhash_rust::xxh3::Xxh3;

/// The entity tag without its quotes; `None` for directories, whose listing has no version that a client could use.
///
/// A version binds to at most one content for ever (D6), so identity, version, size and modification time name the bytes.
pub(crate) fn tag(node: &Node, attributes: &Attributes) -> Option<[u8; TAG_LENGTH]> {
    if node.kind == NodeKind::Directory {
        return None;
    }
    let mut hash = Xxh3::new();
    hash.update(&node.export.to_le_bytes());
    hash.update(&node.own.to_bytes());
    hash.update(&node.version.to_le_bytes());
    hash.update(&attributes.size.unwrap_or(u64::MAX).to_le_bytes());
    let modified = attributes.modified.unwrap_or_default();
    hash.update(&modified.seconds.to_le_bytes());
    hash.update(&modified.nanos.to_le_bytes());
    let mut rest = hash.digest128();
    let mut tag = [0; TAG_LENGTH];
    for place in tag.iter_mut().rev() {
        *place = DIGITS[usize::from(rest as u8 & 31)];
        rest >>= 5;
    }
    Some(tag)
}

/// Characters of a tag: 100 bits.
pub(crate) const TAG_LENGTH: usize = 20;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// [`tag`] as text, without quotes.
pub(crate) fn tag_text(node: &Node, attributes: &Attributes) -> Option<String> {
    tag(node, attributes).map(|tag| tag.iter().copied().map(char::from).collect())
}
