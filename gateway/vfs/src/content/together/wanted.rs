//! Files that somebody asked for together, in so many words: in as few deliveries as the server allows.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::collect::Demand;
use super::super::companions::may_have_companions;
use super::Member;
use super::others::BYTES;
use crate::error::Result;
use crate::flight::EndOnDrop;
use crate::node::{Node, NodeKind};
use crate::principal::Call;
use crate::store::DirectoryKey;
use crate::tree::{Directory, Loaded};
use crate::vfs::Inner;

/// Files of one delivery.
const FILES: usize = 512;

/// A directory that files lie in, while they are looked at.
struct Place {
    directory: Arc<Directory>,
    loaded: Arc<Loaded>,
    /// Names in it, folded: who has companions among them goes with those alone.
    names: HashSet<String>,
}

impl Inner {
    /// The deliveries in which these files, all of one endpoint, leave. Files that are gone are in none.
    pub(crate) async fn deliveries(self: &Arc<Self>, files: &[Node]) -> Result<Vec<Vec<Node>>> {
        let mut deliveries = Vec::new();
        let Some(first) = files.first() else { return Ok(deliveries) };
        let endpoint = self.endpoint_of(first.export)?.endpoint().id.clone();
        let many = self.backend.capabilities(&endpoint).await?.fetch_many;
        let (mut place, mut group, mut bytes): (Option<Place>, Vec<Node>, u64) = (None, Vec::new(), 0);
        for file in files.iter().filter(|file| file.kind == NodeKind::File && file.export == first.export) {
            if place.as_ref().is_none_or(|place| place.directory.node.own != file.parent) {
                place = self.place_of(file).await?;
            }
            let Some(place) = &place else { continue };
            let Some(entry) = place.loaded.snapshot.by_identity(file.own) else { continue };
            let (name, size) = (entry.row.name(), entry.row.size());
            let alone = !many
                || size >= BYTES
                || entry.row.size_unknown()
                || may_have_companions(name, |other| place.names.contains(other));
            if alone {
                deliveries.push(vec![*file]);
                continue;
            }
            if group.len() >= FILES || bytes + size > BYTES {
                deliveries.push(std::mem::take(&mut group));
                bytes = 0;
            }
            group.push(*file);
            bytes += size;
        }
        if !group.is_empty() {
            deliveries.push(group);
        }
        Ok(deliveries)
    }

    async fn place_of(&self, file: &Node) -> Result<Option<Place>> {
        let key = DirectoryKey { export: file.export, own: file.parent };
        let directory = self.tree.resolve_key(key).await?;
        let Some(loaded) = self.tree.load(&directory).await? else { return Ok(None) };
        let names = loaded.snapshot.entries().map(|entry| entry.row.name().to_ascii_lowercase()).collect();
        Ok(Some(Place { directory, loaded, names }))
    }

    /// Starts the collection of files that leave in one delivery. Whoever wants one of them joins it.
    pub(crate) async fn collect_wanted(self: &Arc<Self>, files: &[Node], call: &Call) -> Result<()> {
        let mut members = Vec::with_capacity(files.len());
        for file in files {
            let key = DirectoryKey { export: file.export, own: file.parent };
            let directory = self.tree.resolve_key(key).await?;
            let demand = self.demand_of(&directory, file, call).await?;
            if !self.was_uploaded(&demand).await {
                members.extend(self.member(demand));
            }
        }
        let mut members = members.into_iter();
        let Some(first) = members.next() else { return Ok(()) };
        self.activities.add(first.flight.clone());
        let inner = self.clone();
        tokio::spawn(async move { inner.leave_with(first, members.collect()).await });
        Ok(())
    }

    /// `None` if it is on its way already.
    fn member(&self, demand: Demand) -> Option<Member> {
        let Demand { directory, node, path, call, .. } = &demand;
        let (flight, started) = self.join_collection(directory, node, path, call);
        flight.want();
        flight.keep();
        started.then(|| Member { demand, is_companion: false, _guard: EndOnDrop(flight.clone()), flight })
    }
}
