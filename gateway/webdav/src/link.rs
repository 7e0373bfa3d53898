//! Symbolic links as WebDAV can show them: a small file whose content is the target, exactly as the endpoint says it. No client follows
//! that, so nothing needs to be made safe; paths through a link are followed by the model (D1).

use vfs::{Attributes, Node, Vfs};

/// The raw target.
///
/// # Errors
/// As [`Vfs::provenance`].
pub(crate) async fn raw_target(vfs: &Vfs, link: &Node) -> vfs::Result<String> {
    let provenance = vfs.provenance(link).await?;
    match provenance.get("link").and_then(serde_json::Value::as_str) {
        Some(raw) => Ok(raw.to_owned()),
        None => vfs.read_link(link).await,
    }
}

/// Attributes of a link as a file with this content.
pub(crate) fn described(attributes: &Attributes, target: &str) -> Attributes {
    Attributes { size: Some(target.len() as u64), ..*attributes }
}
