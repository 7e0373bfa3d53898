//! GETATTR: from the last known listing of any age (D35).

use std::sync::Arc;

use super::{Found, Inner};
use crate::attributes::{Attributes, DIRECTORY_MODE, FileType, file_system_id, stamped};
use crate::content::{Current, Held, attributes, current, held_attributes};
use crate::error::{Error, Result};
use crate::flight::RETRY_AFTER;
use crate::node::{Identity, Node, NodeKind};
use crate::principal::Call;
use crate::snapshot::Entry;
use crate::store::{DirectoryKey, Place};
use crate::timestamp::Timestamp;
use crate::tree::{Directory, State, gone, safe_target};

/// A size that only reading tells is waited for so long (D7).
const SIZE_HOLD: std::time::Duration = std::time::Duration::from_secs(5);
impl Inner {
    pub(super) fn attributes_now(self: &Arc<Self>, node: &Node) -> Option<Result<Attributes>> {
        if node.kind == NodeKind::Directory {
            self.look_at_jobs_in_background(node);
            return self.directory_attributes_now(node);
        }
        if node.kind == NodeKind::Meta {
            return None;
        }
        let parent = self.tree.in_memory(DirectoryKey { export: node.export, own: node.parent })?;
        let loaded = parent.loaded_guard();
        let entry = loaded.as_ref()?.snapshot.by_identity(node.own);
        match self.version_attributes(&parent, entry.as_ref(), node) {
            Ok(attributes) if attributes.size.is_none() => None,
            result => Some(result),
        }
    }

    pub(super) async fn attributes(self: &Arc<Self>, node: &Node, call: &Call) -> Result<Attributes> {
        if let Some(result) = self.attributes_now(node) {
            return result;
        }
        match node.kind {
            NodeKind::Directory => {
                let directory = self.tree.resolve(node).await?;
                self.directory_attributes(&directory).await
            }
            NodeKind::Meta => self.meta_attributes(node).await,
            NodeKind::File | NodeKind::Link | NodeKind::Special => {
                let parent = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
                let loaded = self.tree.load(&parent).await?.ok_or_else(gone)?;
                let entry = loaded.snapshot.by_identity(node.own);
                let attributes = self.version_attributes(&parent, entry.as_ref(), node)?;
                if attributes.size.is_some() {
                    return Ok(attributes);
                }
                self.fetch_unknown_size(&parent, node, call).await?;
                let attributes = self.version_attributes(&parent, entry.as_ref(), node)?;
                if attributes.size.is_none() {
                    return Err(Error::later(RETRY_AFTER, "the size is not known yet"));
                }
                Ok(attributes)
            }
        }
    }

    /// The size of a file that only reading tells: never 0 (D7).
    async fn fetch_unknown_size(self: &Arc<Self>, parent: &Arc<Directory>, node: &Node, call: &Call) -> Result<()> {
        let hold = call.hold.min(SIZE_HOLD);
        self.demand_collection(parent, node, call).await?.wait(hold).await
    }

    /// Attributes of exactly the version that the node names (D6). `entry` is `None` if it left the listing: what was collected of it
    /// stays with its readers (D5).
    fn version_attributes(
        &self,
        parent: &Arc<Directory>,
        entry: Option<&Entry<'_>>,
        node: &Node,
    ) -> Result<Attributes> {
        if node.kind == NodeKind::File
            && let Some(held) = Held::of(parent, node)
        {
            return Ok(held_attributes(entry, node, &held));
        }
        let entry = entry.ok_or_else(gone)?;
        let fsid = file_system_id(node.export, node.session);
        let row = &entry.row;
        if row.file_type() != FileType::Regular {
            if row.file_type().node_kind() != node.kind {
                return Err(gone());
            }
            return Ok(attributes(entry, fsid, &Current::listed(0, None), self.link_length(parent, entry)));
        }
        let listed = crate::attributes::listed_version(row.size(), row.times().modified);
        if node.kind != NodeKind::File || node.version != listed {
            return Err(Error::stale("the file changed on the endpoint, and this version was never collected"));
        }
        let size = match row.inline() {
            Some(inline) => Some(inline.len() as u64),
            None => (!row.size_unknown()).then_some(row.size()),
        };
        let current = Current { is_whole: parent.is_uploads(), ..Current::listed(listed, size) };
        Ok(attributes(entry, fsid, &current, None))
    }

    /// An entry of a listing as an object: the version that is current. `frozen`: what was collected stays current for ever (D11).
    pub(crate) fn found(&self, parent: &Arc<Directory>, entry: &Entry<'_>, frozen: bool) -> Found {
        let now = self.clock.now();
        let state = parent.state();
        self.found_at(parent, &state, entry, now, frozen)
    }

    /// As [`Inner::found`], for many entries of one directory.
    pub(crate) fn found_at(
        &self,
        parent: &Arc<Directory>,
        state: &State,
        entry: &Entry<'_>,
        now: Timestamp,
        frozen: bool,
    ) -> Found {
        let export = self.export_of_child(parent, entry);
        let fsid = file_system_id(export, parent.node.session);
        let file_type = entry.row.file_type();
        let mut node = Node {
            kind: file_type.node_kind(),
            export,
            parent: parent.node.own,
            own: entry.identity,
            version: 0,
            session: 0,
            view: 0,
        };
        if file_type == FileType::Directory {
            let attributes = self.stamped_directory(entry, fsid, &node);
            return Found { node, attributes };
        }
        if matches!(parent.place, Place::Meta { .. } | Place::MetaFiles { .. }) {
            node.kind = NodeKind::Meta;
        }
        let record = if file_type == FileType::Regular { parent.file(entry.identity) } else { None };
        let listed_at = state.listing.as_ref().map(|listing| listing.observation.seen).unwrap_or_default();
        let copy_max_age = if frozen { std::time::Duration::MAX } else { self.settings.freshness.copy_max_age };
        let mut current = current(entry, record.as_deref(), listed_at, now, copy_max_age);
        current.is_whole |= parent.is_uploads();
        let attributes = attributes(entry, fsid, &current, self.link_length(parent, entry));
        if node.kind == NodeKind::File {
            node.version = current.version;
        }
        Found { node, attributes }
    }

    /// The size of a link is the length of what READLINK gives.
    fn link_length(&self, parent: &Directory, entry: &Entry<'_>) -> Option<u64> {
        let raw = entry.row.link()?;
        Some(match &parent.place {
            Place::Endpoint(place) => {
                safe_target(raw, &place.components, self.system_of(parent.node.export)).len() as u64
            }
            _ => raw.len() as u64,
        })
    }

    /// The endpoints' own directories carry their export; everything else has that of its directory.
    fn export_of_child(&self, parent: &Directory, entry: &Entry<'_>) -> u64 {
        if parent.place != Place::Root {
            return parent.node.export;
        }
        let endpoint = crate::endpoint::EndpointId::of_client_id(entry.row.name());
        let export = self.keys.export(&endpoint);
        if self.endpoints.get(export).is_some() { export } else { 0 }
    }

    /// A directory's attributes carry its change stamp (D4).
    fn stamped_directory(&self, entry: &Entry<'_>, fsid: u64, node: &Node) -> Attributes {
        let mut attributes = attributes(entry, fsid, &Current::listed(0, None), None);
        let generation = self
            .tree
            .in_memory(DirectoryKey { export: node.export, own: node.own })
            .map_or(0, |directory| directory.state().generation);
        attributes.changed = Some(stamped(attributes.changed.or(attributes.modified), generation));
        attributes
    }

    fn directory_attributes_now(self: &Arc<Self>, node: &Node) -> Option<Result<Attributes>> {
        let directory = self.tree.in_memory(DirectoryKey { export: node.export, own: node.own })?;
        match &directory.place {
            Place::Root | Place::Meta { .. } | Place::MetaFiles { .. } => {
                return Some(Ok(self.own_attributes(&directory)));
            }
            _ => {}
        }
        let parent = self.tree.in_memory(DirectoryKey { export: node.export, own: node.parent })?;
        let loaded = parent.loaded_guard();
        let Some(entry) = loaded.as_ref()?.snapshot.by_identity(node.own) else {
            return Some(self.unlisted_directory(&directory));
        };
        let fsid = file_system_id(node.export, node.session);
        Some(Ok(self.stamped_directory(&entry, fsid, node)))
    }

    pub(super) async fn directory_attributes(self: &Arc<Self>, directory: &Arc<Directory>) -> Result<Attributes> {
        if let Some(result) = self.directory_attributes_now(&directory.node) {
            return result;
        }
        let node = &directory.node;
        let parent = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
        let loaded = self.tree.load(&parent).await?.ok_or_else(gone)?;
        match loaded.snapshot.by_identity(node.own) {
            Some(entry) => Ok(self.stamped_directory(&entry, file_system_id(node.export, node.session), node)),
            None => self.unlisted_directory(directory),
        }
    }

    /// Accessors that can be reached without being listed have attributes all the same; anything else is gone.
    fn unlisted_directory(&self, directory: &Arc<Directory>) -> Result<Attributes> {
        match &directory.place {
            Place::Endpoint(place) if place.components.is_empty() => Ok(self.own_attributes(directory)),
            // The server has forgotten the job: what was read of it can still be read.
            Place::Uploads(place) if place.below.is_empty() => Ok(self.own_attributes(directory)),
            _ => Err(gone()),
        }
    }

    /// Attributes of a directory that no listing describes.
    pub(crate) fn own_attributes(&self, directory: &Arc<Directory>) -> Attributes {
        let node = &directory.node;
        let since = match self.endpoints.get(node.export) {
            Some(entry) => entry.endpoint().first_seen,
            None => self.endpoints.list().iter().filter_map(|entry| entry.endpoint().first_seen).max(),
        };
        Attributes {
            file_type: FileType::Directory,
            mode: DIRECTORY_MODE,
            size: Some(4096),
            fsid: file_system_id(node.export, node.session),
            file_id: node.own.file_id(),
            accessed: since,
            modified: since,
            changed: Some(stamped(since, directory.state().generation)),
            born: since,
            collected: true,
        }
    }

    pub(super) async fn parent(self: &Arc<Self>, node: &Node) -> Result<Found> {
        let key = DirectoryKey { export: node.export, own: node.parent };
        let parent = self.tree.resolve_key(key).await?;
        let attributes = self.directory_attributes(&parent).await?;
        debug_assert!(node.own == Identity::ROOT || parent.node.own == node.parent, "a parent is what the handle says");
        Ok(Found { node: parent.node, attributes })
    }
}
