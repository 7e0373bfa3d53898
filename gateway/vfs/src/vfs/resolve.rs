//! Walking a path, and reading links, without ever leaving the endpoint (D1).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use super::{Found, Inner};
use crate::error::{Error, ErrorKind, Result};
use crate::node::{FROZEN, Node, NodeKind};
use crate::principal::Call;
use crate::store::{DirectoryKey, Place};
use crate::tree::{gone, safe_target};

/// Links on one walk at most, as Linux has it.
const LINKS: usize = 40;

impl Inner {
    pub(super) async fn resolve(self: &Arc<Self>, names: &[&str], follow: bool, call: &Call) -> Result<Found> {
        // Where the walk is: `None` at `/`, whose attributes (a look at all endpoints) few ask for.
        let mut at: Option<Found> = None;
        let mut rest: VecDeque<Cow<'_, str>> =
            names.iter().filter(|name| !name.is_empty()).map(|name| Cow::Borrowed(*name)).collect();
        let mut links = 0;
        let mut frozen = false;
        while let Some(name) = rest.pop_front() {
            let from = at.map_or(Node::ROOT, |found| found.node);
            let next = match &*name {
                "." => continue,
                ".." => {
                    at = Some(self.parent(&from).await?);
                    continue;
                }
                name => {
                    let through = Node { view: if frozen { FROZEN } else { 0 }, ..from };
                    let is_last = rest.iter().all(|name| name == ".");
                    self.step(&from, name, is_last, &through.of(call)).await?
                }
            };
            frozen |= next.node.is_frozen();
            if next.node.kind != NodeKind::Link || (rest.is_empty() && !follow) {
                at = Some(next);
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Error::new(ErrorKind::Invalid, "too many symbolic links on the way"));
            }
            let target = self.read_link(&next.node).await?;
            for part in target.split('/').rev().filter(|part| !part.is_empty()) {
                rest.push_front(Cow::Owned(part.to_owned()));
            }
        }
        let mut found = match at {
            Some(found) => found,
            None => {
                let root = self.tree.resolve(&Node::ROOT).await?;
                Found { node: root.node, attributes: self.own_attributes(&root) }
            }
        };
        found.node.view = if frozen { FROZEN } else { 0 }; // by name there is one way to everything
        found.attributes = found.node.sees(found.attributes);
        Ok(found)
    }

    /// One name of a path. Of a directory on the way only the node counts, so memory is enough; the attributes of the last one are exact.
    async fn step(self: &Arc<Self>, from: &Node, name: &str, is_last: bool, call: &Call) -> Result<Found> {
        match self.lookup_now(from, name, call) {
            Some(Ok(found)) if !is_last || found.node.kind != NodeKind::Directory => Ok(found),
            _ => self.lookup(from, name, call).await,
        }
    }

    pub(super) async fn read_link(self: &Arc<Self>, node: &Node) -> Result<String> {
        if node.kind != NodeKind::Link {
            return Err(Error::new(ErrorKind::Unsupported, "this is no symbolic link"));
        }
        let parent = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
        let loaded = self.tree.load(&parent).await?.ok_or_else(gone)?;
        let entry = loaded.snapshot.by_identity(node.own).ok_or_else(gone)?;
        let raw = entry.row.link().ok_or_else(|| Error::backend("the endpoint did not say where this link leads"))?;
        Ok(match &parent.place {
            Place::Endpoint(place) => safe_target(raw, &place.components, self.system_of(parent.node.export)),
            _ => raw.to_owned(),
        })
    }
}

impl Inner {
    pub(super) async fn read(
        self: &Arc<Self>,
        node: &Node,
        offset: u64,
        length: u32,
        call: &Call,
    ) -> Result<super::Data> {
        match node.kind {
            NodeKind::Meta => self.meta_read(node, offset, length, call).await,
            _ => self.read_file(node, offset, length, call).await,
        }
    }
}
