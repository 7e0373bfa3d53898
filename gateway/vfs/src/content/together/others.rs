//! Which files come along: those of the directory in the order in which its reader goes, then those of the directories after it.

use std::sync::Arc;

use super::super::collect::Demand;
use super::super::{as_listed, entry_version};
use super::order::{self, Order};
use super::readers::Window;
use super::{Member, SMALL};
use crate::attributes::FileType;
use crate::error::Result;
use crate::flight::EndOnDrop;
use crate::node::{Node, NodeKind};
use crate::path::EndpointPath;
use crate::principal::Spend;
use crate::snapshot::Entry;
use crate::store::{DirectoryKey, Place};
use crate::tree::{Directory, Loaded};
use crate::vfs::Inner;

/// Bytes that leave together at most.
pub(super) const BYTES: u64 = 32 << 20;
/// Directories looked into for files that come along.
const DIRECTORIES: usize = 1_000;
/// Directories with more entries are not looked through when their reader leaves them.
const LOOKED_THROUGH: u32 = 5_000;

/// What was chosen so far.
pub(super) struct Choice {
    pub members: Vec<Member>,
    bytes: u64,
    /// Members at most.
    most: usize,
    /// Each is a flow of its own, and judged as one.
    one_by_one: bool,
    /// Jobs whose uploads may stand in.
    jobs: Vec<Arc<Directory>>,
}

impl Choice {
    pub(super) fn new(demand: &Demand, most: usize, one_by_one: bool) -> Choice {
        Choice { members: Vec::new(), bytes: demand.listed.size, most, one_by_one, jobs: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.members.len() >= self.most || self.bytes >= BYTES
    }
}

/// Whether this is a small file that can be collected.
fn is_small(entry: &Entry<'_>) -> bool {
    let row = &entry.row;
    row.file_type() == FileType::Regular
        && (1..=SMALL).contains(&row.size())
        && !(row.unfetchable() || row.size_unknown() || row.inline().is_some())
}

/// Whether a copy of it is here, of whatever version.
pub(super) fn is_held(directory: &Directory, entry: &Entry<'_>) -> bool {
    directory.file(entry.identity).is_some_and(|record| !record.collected.is_empty())
}

impl Inner {
    /// Whether all small files of a directory are here.
    pub(super) fn has_all_small_files(&self, directory: DirectoryKey) -> bool {
        let Some(directory) = self.tree.in_memory(directory) else { return false };
        let Some(loaded) = directory.loaded() else { return false };
        let mut small = loaded.snapshot.entries().filter(is_small);
        loaded.snapshot.len() <= LOOKED_THROUGH && small.all(|entry| is_held(&directory, &entry))
    }

    /// Adds the small files that a reader is expected to open next.
    pub(super) async fn choose_others(
        self: &Arc<Self>,
        demand: &Demand,
        window: &Window,
        choice: &mut Choice,
    ) -> Result<()> {
        let (directory, Some(path)) = (&demand.directory, demand.path.parent()) else { return Ok(()) };
        let Some(loaded) = self.tree.load(directory).await? else { return Ok(()) };
        choice.jobs = self.jobs_of_others(&path.endpoint).await.unwrap_or_default();
        let ordinals = order::after(&loaded.snapshot, &demand.node, window.order.unwrap_or(Order::Listed)).into_iter();
        self.choose(demand, (directory, &path), &loaded, ordinals, choice).await;
        match &window.below {
            Some(below) => self.choose_after(demand, below, choice).await,
            None => Ok(()),
        }
    }

    /// Adds the small files among `ordinals` of one directory.
    async fn choose(
        self: &Arc<Self>,
        demand: &Demand,
        (directory, path): (&Arc<Directory>, &EndpointPath),
        loaded: &Loaded,
        ordinals: impl Iterator<Item = u32>,
        choice: &mut Choice,
    ) {
        let stand_ins = self.stand_ins(&choice.jobs, path).await.unwrap_or_default();
        for ordinal in ordinals {
            if choice.is_full() {
                return;
            }
            let Some(entry) = loaded.snapshot.entry(ordinal).filter(is_small) else { continue };
            let fits = choice.bytes + entry.row.size() <= BYTES;
            if !fits || is_held(directory, &entry) || stand_ins.of(&[entry], &self.keys).is_some() {
                continue;
            }
            if !self.add(demand, (directory, path), &entry, false, choice).await {
                return;
            }
        }
    }

    /// Adds a file of `directory`, unless its collection is under way already. False if the budget is spent.
    pub(super) async fn add(
        self: &Arc<Self>,
        demand: &Demand,
        (directory, path): (&Arc<Directory>, &EndpointPath),
        entry: &Entry<'_>,
        is_companion: bool,
        choice: &mut Choice,
    ) -> bool {
        let Ok(path) = path.child(entry.row.name()) else { return true };
        let size = entry.row.size();
        if choice.one_by_one {
            let spend = Spend::Collection { bytes: size };
            if self.admission.admit(&demand.call, &path.endpoint, &path.to_string(), &spend).await.is_err() {
                return false;
            }
        }
        let version = entry_version(entry);
        let (parent, own) = (directory.node.own, entry.identity);
        let node = Node { kind: NodeKind::File, parent, own, version, ..demand.node };
        let (flight, started) = self.join_collection(directory, &node, &path, &demand.call);
        if started {
            let (directory, listed) = (directory.clone(), as_listed(entry, version));
            let demand = Demand { directory, node, path, listed, ..demand.clone() };
            choice.bytes += size;
            choice.members.push(Member { demand, is_companion, _guard: EndOnDrop(flight.clone()), flight });
        }
        true
    }

    /// Goes on through the directories after the demanded one, in the order in which a program goes through a tree, as far as they were
    /// listed.
    async fn choose_after(self: &Arc<Self>, demand: &Demand, below: &EndpointPath, choice: &mut Choice) -> Result<()> {
        let mut levels = self.levels(demand, below).await?;
        let mut looked = 0;
        while let Some((directory, from)) = levels.pop() {
            let (Some(loaded), Place::Endpoint(path)) = (self.tree.load(&directory).await?, &directory.place) else {
                continue;
            };
            let is_directory = |entry: &Entry<'_>| entry.row.file_type() == FileType::Directory;
            let entries = (from..loaded.snapshot.len()).filter_map(|ordinal| loaded.snapshot.entry(ordinal));
            let Some(next) = entries.into_iter().find(is_directory) else { continue };
            levels.push((directory.clone(), next.ordinal + 1));
            let Ok(place) = path.child(next.row.name()) else { continue };
            let node = directory.node;
            let child = self.tree.known(node.export, node.own, next.identity, Place::Endpoint(place.clone())).await?;
            looked += 1;
            if let Some(loaded) = self.tree.load(&child).await? {
                let ordinals = 0..loaded.snapshot.len();
                self.choose(demand, (&child, &place), &loaded, ordinals, choice).await;
                levels.push((child, 0));
            }
            if choice.is_full() || looked >= DIRECTORIES {
                break;
            }
        }
        Ok(())
    }

    /// The directories from `below` down to the demanded one, each with the ordinal from which the walk goes on in it.
    async fn levels(self: &Arc<Self>, demand: &Demand, below: &EndpointPath) -> Result<Vec<(Arc<Directory>, u32)>> {
        let mut levels = vec![(demand.directory.clone(), 0)];
        while let Some((directory, _)) = levels.last() {
            let node = directory.node;
            let at_the_top = match &directory.place {
                Place::Endpoint(path) => path.components.len() <= below.components.len(),
                _ => true,
            };
            if at_the_top {
                break;
            }
            let parent = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
            let Some(loaded) = self.tree.load(&parent).await? else { break };
            let from = loaded.snapshot.by_identity(node.own).map_or(0, |entry| entry.ordinal + 1);
            levels.push((parent, from));
        }
        levels.reverse();
        Ok(levels)
    }
}
