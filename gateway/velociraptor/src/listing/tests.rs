//! No listing is ever told that is not exactly what the endpoint has, however the rows arrive.

use std::collections::BTreeMap;

use proptest::prelude::*;
use velociraptor_proto::proto;
use vfs::{EndpointId, EndpointPath};

use super::{Tree, Whole};

/// A directory: names of files, and sub-directories.
#[derive(Debug, Clone)]
struct Directory {
    files: Vec<String>,
    directories: BTreeMap<String, Directory>,
}

fn any_directory() -> impl Strategy<Value = Directory> {
    let files = || prop::collection::vec("[a-c\"\\\\é]{1,4}", 0..6);
    let leaf = files().prop_map(|files| Directory { files, directories: BTreeMap::new() });
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (files(), prop::collection::btree_map("[d-f\"/]{1,4}", inner, 0..4))
            .prop_map(|(files, directories)| Directory { files, directories })
    })
}

#[derive(Default)]
struct Tables {
    listing: Vec<serde_json::Value>,
    stats: Vec<serde_json::Value>,
    truth: BTreeMap<Vec<String>, Vec<String>>,
}

impl Tables {
    fn walk(&mut self, path: &[String], directory: &Directory, depth: u32) {
        let start = self.listing.len();
        let names = directory.directories.keys().map(|name| (name, "drwxr-xr-x"));
        let names: Vec<_> = names.chain(directory.files.iter().map(|name| (name, "-rw-r--r--"))).collect();
        for (name, mode) in &names {
            let components = [path, &[(*name).clone()]].concat();
            self.listing.push(serde_json::json!([components, name, 1, mode, self.listing.len()]));
        }
        self.stats.push(serde_json::json!([path, "auto", {"start_idx": start, "end_idx": self.listing.len()}]));
        self.truth.insert(path.to_vec(), names.iter().map(|(name, _)| (*name).clone()).collect());
        if depth > 0 {
            for (name, below) in &directory.directories {
                self.walk(&[path, std::slice::from_ref(name)].concat(), below, depth - 1);
            }
        }
    }
}

fn page(columns: &[&str], rows: &[serde_json::Value]) -> proto::GetTableResponse {
    proto::GetTableResponse {
        columns: columns.iter().map(ToString::to_string).collect(),
        rows: rows.iter().map(|row| proto::Row { json: row.to_string(), ..Default::default() }).collect(),
        ..Default::default()
    }
}

fn listing(rows: &[serde_json::Value]) -> proto::GetTableResponse {
    page(&["_Components", "Name", "Size", "Mode", "_Idx"], rows)
}

fn stats(rows: &[serde_json::Value]) -> proto::GetTableResponse {
    page(&["Components", "Accessor", "Stats"], rows)
}

fn root() -> EndpointPath {
    EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto").child("top").unwrap()
}

fn found(whole: Vec<Whole>, all: &mut BTreeMap<Vec<String>, Vec<String>>) {
    for whole in whole {
        let path = whole.directory.components.iter().map(ToString::to_string).collect();
        let names = whole.rows.iter().map(|row| row.name().to_owned()).collect();
        assert!(all.insert(path, names).is_none(), "no directory twice");
    }
}

proptest! {
    #[test]
    fn every_directory_is_told_exactly_as_it_is(
        directory in any_directory(),
        depth in 0u32..6,
        steps in prop::collection::vec((0usize..7, 0usize..4), 0..40),
    ) {
        let mut tables = Tables::default();
        tables.walk(&["top".into()], &directory, depth);
        let mut tree = Tree::new(root(), depth);
        let mut told = BTreeMap::new();
        let (mut row, mut stat) = (0, 0);
        for (rows, statistics) in steps {
            let end = tables.listing.len().min(row + rows);
            tree.listing(&listing(&tables.listing[row..end])).unwrap();
            row = end;
            let end = tables.stats.len().min(stat + statistics);
            tree.statistics(&stats(&tables.stats[stat..end]));
            stat = end;
            found(tree.whole(), &mut told);
            for (path, names) in &told {
                prop_assert_eq!(names, &tables.truth[path]);
            }
        }
        tree.listing(&listing(&tables.listing[row..])).unwrap();
        tree.statistics(&stats(&tables.stats[stat..]));
        found(tree.whole(), &mut told);
        prop_assert_eq!(tree.unlisted(), 0);
        prop_assert_eq!(told, tables.truth);
    }

    #[test]
    fn what_was_cut_off_is_not_told(directory in any_directory(), rows in 0usize..60, statistics in 0usize..30, lost in 0usize..60) {
        let mut tables = Tables::default();
        tables.walk(&["top".into()], &directory, 9);
        tables.listing.truncate(rows);
        tables.stats.truncate(statistics);
        if lost < tables.listing.len() {
            tables.listing.remove(lost);
        }
        let mut tree = Tree::new(root(), 9);
        tree.statistics(&stats(&tables.stats));
        tree.listing(&listing(&tables.listing)).unwrap();
        let mut told = BTreeMap::new();
        found(tree.whole(), &mut told);
        for (path, names) in &told {
            prop_assert_eq!(names, &tables.truth[path]);
        }
    }

    #[test]
    fn no_table_makes_it_fail(rows in prop::collection::vec("\\PC{0,40}|\\[[\"a,0-9\\[\\]]{0,20}\\]", 0..20), depth in 0u32..3) {
        let mut tree = Tree::new(root(), depth);
        let rows: Vec<_> = rows.into_iter().map(|json| proto::Row { json, ..Default::default() }).collect();
        for columns in [["_Components", "Name", "Mode", "_Idx"], ["Components", "Stats", "Name", "Dir"]] {
            let page = proto::GetTableResponse { columns: columns.map(String::from).to_vec(), rows: rows.clone(), ..Default::default() };
            let _ = tree.listing(&page);
            tree.statistics(&page);
        }
        tree.whole();
    }
}
