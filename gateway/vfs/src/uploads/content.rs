//! The files of a job's uploads as content: the same as copies that were collected for us, but that nobody has to collect them.

use std::sync::Arc;

use super::layout::at;
use crate::backend::{ContentLocation, FetchedContent, Observation};
use crate::content::{as_listed, record_collected};
use crate::error::Result;
use crate::node::Node;
use crate::snapshot::Row;
use crate::store::{Place, UploadsPlace};
use crate::tree::{Directory, gone};
use crate::vfs::Inner;

/// What a directory's entry does not say of an upload by its name and size: nothing, as a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct UploadDetails {
    /// What the endpoint said the size was when it opened the file, if that is not the content's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_when_opened: Option<u64>,
    /// The server stores it with holes, and knows where.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sparse: bool,
    /// SHA-256 by the endpoint, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_endpoint: Option<String>,
    /// The components as the job gave them, if the tree has other ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<String>>,
    /// Where the server keeps it, if not where its directory says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<ContentLocation>,
}

impl Inner {
    /// Makes the upload that `node` names a copy of its own file, so that READ finds it.
    pub(crate) async fn take_upload(self: &Arc<Self>, directory: &Arc<Directory>, node: &Node) -> Result<()> {
        let Place::Uploads(place) = &directory.place else { return Err(gone()) };
        let loaded = self.tree.load(directory).await?.ok_or_else(gone)?;
        let entry = loaded.snapshot.by_identity(node.own).ok_or_else(gone)?;
        let state = directory.state();
        let observation = state.listing.as_ref().map(|listing| listing.observation.clone()).ok_or_else(gone)?;
        // Seen by the endpoint at some time in its job: not when the list was read.
        let observation = Observation { seen: observation.started, ..observation };
        let content = uploaded(place, &entry.row)?;
        let listed = as_listed(&entry, node.version);
        record_collected(self, directory, node.own, node.version, listed, (content, observation), None).await
    }
}

/// The content that an entry of a directory of uploads stands for.
pub(super) fn uploaded(place: &UploadsPlace, row: &Row<'_>) -> Result<FetchedContent> {
    let details = details(row)?;
    let location = match (details.location, &place.stored) {
        (Some(location), _) => location,
        (None, Some(stored)) => at(stored, &place.below, row.name()),
        (None, None) => return Err(gone()),
    };
    Ok(FetchedContent { size: row.size(), location, sparse: details.sparse, sha256_endpoint: details.sha256_endpoint })
}

/// Whether the job called the upload otherwise than the tree does.
pub(super) fn has_other_components(row: &Row<'_>) -> bool {
    !details(row).is_ok_and(|details| details.components.is_none())
}

fn details(row: &Row<'_>) -> Result<UploadDetails> {
    match row.details() {
        Some(details) => serde_json::from_str(details).map_err(|_| gone()),
        None => Ok(UploadDetails::default()),
    }
}

/// Provenance of an upload: what was uploaded, and where the server keeps it.
pub(crate) fn as_uploaded(place: &Place, row: &Row<'_>) -> Option<serde_json::Value> {
    let Place::Uploads(place) = place else { return None };
    let content = uploaded(place, row).ok()?;
    let accessor = place.below.first();
    let below = place.below.iter().skip(1).map(ToString::to_string).chain([row.name().to_owned()]);
    let details = details(row).ok()?;
    Some(serde_json::json!({
        "flow": place.job.id,
        "accessor": accessor,
        "components": details.components.unwrap_or_else(|| below.collect()),
        "size_when_opened": details.size_when_opened.unwrap_or(content.size),
        "sparse": content.sparse,
        "location": content.location,
    }))
}
