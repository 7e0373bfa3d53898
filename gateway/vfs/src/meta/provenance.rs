//! Everything known of an object, exact and unaltered: what the wire had to round, clamp or make safe stands here as it is.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::attributes::{FileType, listed_version};
use crate::error::Result;
use crate::node::{Node, NodeKind};
use crate::store::{DirectoryKey, Place};
use crate::timestamp::Timestamp;
use crate::tree::gone;
use crate::uploads::as_uploaded;
use crate::vfs::Inner;

impl Inner {
    pub(crate) async fn provenance(self: &Arc<Self>, node: &Node) -> Result<Value> {
        if node.kind == NodeKind::Directory {
            let directory = self.tree.resolve(node).await?;
            let mut value = self.directory_json(&directory);
            if directory.place.is_kept()
                && let (Ok(entry), Some(object)) = (self.entry_json(node).await, value.as_object_mut())
            {
                object.insert("entry".to_owned(), entry);
            }
            return Ok(value);
        }
        self.entry_json(node).await
    }

    async fn entry_json(self: &Arc<Self>, node: &Node) -> Result<Value> {
        let parent = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
        let loaded = self.tree.load(&parent).await?.ok_or_else(gone)?;
        let entry = loaded.snapshot.by_identity(node.own).ok_or_else(gone)?;
        let row = &entry.row;
        let times = row.times();
        let current = self.found(&parent, &entry, node.is_frozen());
        let copies = parent.file(node.own);
        let details: Option<Value> = row.details().and_then(|details| serde_json::from_str(details).ok());
        let listed = listed_version(row.size(), times.modified);
        let queued = match &parent.place {
            Place::Endpoint(place) => place.child(row.name()).map_or(Value::Null, |path| self.queued_json(&path)),
            _ => Value::Null,
        };
        let newer =
            copies.as_ref().is_some_and(|record| current.node.version != listed && !record.collected.is_empty());
        Ok(json!({
            "directory": self.directory_json(&parent),
            "name": row.name(),
            "shown_as": row.shown(),
            "type": row.file_type(),
            "mode": format!("{:04o}", row.mode()),
            "size_listed": row.size(),
            "size_known_only_by_reading": row.size_unknown(),
            "fetchable": !row.unfetchable() && row.file_type() == FileType::Regular,
            "times": {
                "modified": text(times.modified), "accessed": text(times.accessed), "changed": text(times.changed), "born": text(times.born),
            },
            "link": row.link(),
            "details": details,
            "queued": queued,
            "upload": as_uploaded(&parent.place, row),
            "version_listed": listed,
            "version_served": current.node.version,
            "endpoint_has_changed_since": newer,
            "copies": copies.as_ref().map(|record| record.collected.clone()).unwrap_or_default(),
            "copies_in_ranges": copies.map(|record| record.in_ranges.clone()).unwrap_or_default(),
        }))
    }
}

fn text(time: Option<Timestamp>) -> Value {
    time.map_or(json!("not known"), |time| json!(time.to_rfc3339()))
}
