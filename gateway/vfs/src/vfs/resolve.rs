//! Walking a path, and reading links, without ever leaving the endpoint (D1).

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
        let root = self.tree.resolve(&Node::ROOT).await?;
        let mut found = Found { node: root.node, attributes: self.own_attributes(&root) };
        let mut rest: VecDeque<String> =
            names.iter().filter(|name| !name.is_empty()).map(|name| (*name).to_owned()).collect();
        let mut links = 0;
        let mut frozen = false;
        while let Some(name) = rest.pop_front() {
            let next = match name.as_str() {
                "." => continue,
                ".." => {
                    found = self.parent(&found.node).await?;
                    continue;
                }
                name => {
                    let through = Node { view: if frozen { FROZEN } else { 0 }, ..found.node };
                    self.lookup(&found.node, name, &through.of(call)).await?
                }
            };
            frozen |= next.node.is_frozen();
            if next.node.kind != NodeKind::Link || (rest.is_empty() && !follow) {
                found = next;
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Error::new(ErrorKind::Invalid, "too many symbolic links on the way"));
            }
            let target = self.read_link(&next.node).await?;
            for part in target.split('/').rev().filter(|part| !part.is_empty()) {
                rest.push_front(part.to_owned());
            }
        }
        found.node.view = if frozen { FROZEN } else { 0 }; // by name there is one way to everything
        found.attributes = found.node.sees(found.attributes);
        Ok(found)
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
