//! The order in which a program goes through the files of a directory: as they are listed, or by their file ids (`cp -r`, `rm -r`
//! and others sort what READDIR gave them by inode number).

use crate::attributes::FileType;
use crate::node::{Identity, Node};
use crate::snapshot::{Entry, Snapshot};

/// An order of a directory's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Listed,
    FileId,
}

/// Larger directories are not sorted.
const SORTED: u32 = 100_000;

fn is_file(entry: &Entry<'_>) -> bool {
    entry.row.file_type() == FileType::Regular
}

/// The file id of an entry, as those see it who see the directory through `view`.
fn file_id(own: Identity, view: &Node) -> u64 {
    Node { own, ..*view }.file_id()
}

/// The order in which `after` is the next file after `before`. By chance that is so for one pair of files in as many as there are.
pub(super) fn of_neighbours(snapshot: &Snapshot, before: Identity, after: &Node) -> Option<Order> {
    let from = snapshot.by_identity(before)?.ordinal;
    let listed = (from + 1..snapshot.len()).filter_map(|ordinal| snapshot.entry(ordinal)).find(is_file);
    if listed.is_some_and(|entry| entry.identity == after.own) {
        return Some(Order::Listed);
    }
    if snapshot.len() > SORTED {
        return None;
    }
    let (first, second) = (file_id(before, after), after.file_id());
    let between = |entry: &Entry<'_>| (first + 1..second).contains(&file_id(entry.identity, after));
    (first < second && !snapshot.entries().filter(is_file).any(|entry| between(&entry))).then_some(Order::FileId)
}

/// All other entries in the order in which a program comes to them after `node`; those before it last.
pub(super) fn after(snapshot: &Snapshot, node: &Node, order: Order) -> Vec<u32> {
    let from = snapshot.by_identity(node.own).map_or(0, |entry| entry.ordinal);
    if order == Order::Listed || snapshot.len() > SORTED {
        return (from + 1..snapshot.len()).chain(0..from).collect();
    }
    let mut sorted: Vec<(u64, u32)> =
        snapshot.entries().map(|entry| (file_id(entry.identity, node), entry.ordinal)).collect();
    sorted.sort_unstable();
    let here = sorted.partition_point(|(id, _)| *id <= node.file_id());
    sorted.rotate_left(here);
    sorted.into_iter().map(|(_, ordinal)| ordinal).filter(|ordinal| *ordinal != from).collect()
}
