//! Trees that are made as they are walked: a function of seed and path, so that nothing is stored and nothing costs.

mod index;
mod linux;
mod linux_places;
mod node;
mod registry;
mod volume;
mod wild;
mod windows;
mod windows_places;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Generated;
use crate::tree::FileSystem;

/// The file systems of a generated endpoint.
pub(crate) fn file_system(tree: Generated, seed: u64, clock: Clock) -> Arc<dyn FileSystem> {
    match tree {
        Generated::Linux => Arc::new(linux::Linux::new(seed, clock)),
        Generated::Windows => Arc::new(windows::Windows::new(seed, clock)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tree::mode::Kind;

    /// Walks up to `limit` directories; each listed directory lists, and each entry is told as its listing told it.
    fn walk(files: &dyn FileSystem, accessor: &str, start: Vec<String>, limit: usize) -> (usize, u64) {
        let mut pending = vec![start];
        let mut walked = 0;
        let mut entries = 0;
        // Breadth first, spread over the tree by taking from either end.
        while let Some(directory) = if walked % 2 == 0 { pending.pop() } else { Some(pending.remove(0)) } {
            walked += 1;
            let listing = match files.list(accessor, &directory) {
                Ok(listing) => listing,
                Err(failure) => {
                    let known = ["denied", "restricted"].iter().any(|word| failure.text.contains(word));
                    assert!(known, "{accessor} {directory:?}: {}", failure.text);
                    continue;
                }
            };
            // Children of the fallback are named by the device: `stat` by drive tells them through the OS API.
            let by_device = listing.components != directory;
            let mut names = HashSet::new();
            for (place, entry) in listing.entries.enumerate() {
                entries += 1;
                let twins = entry.name.contains('\u{fffd}');
                assert!(names.insert(entry.name.clone()) || twins, "{directory:?} has {:?} twice", entry.name);
                let mut path = directory.clone();
                path.push(entry.name.clone());
                if place < 20 && !twins && !by_device {
                    let told = files.stat(accessor, &path);
                    let told = told.unwrap_or_else(|failure| panic!("{accessor} {path:?}: {}", failure.text));
                    assert_eq!((&told.name, &told.mode, &told.data), (&entry.name, &entry.mode, &entry.data));
                }
                if entry.kind == Kind::Directory && pending.len() < limit {
                    pending.push(path);
                }
            }
            if walked >= limit || pending.is_empty() {
                break;
            }
        }
        (walked, entries)
    }

    #[tokio::test]
    async fn every_listed_directory_lists_and_every_entry_is_told_as_it_was_listed() {
        let clock = Clock::starting_at(std::time::Duration::from_secs(1_795_528_426));
        let windows = file_system(Generated::Windows, 1, clock.clone());
        for accessor in ["auto", "ntfs", "registry"] {
            let (walked, entries) = walk(&*windows, accessor, Vec::new(), 300);
            assert!(walked >= 200 && entries > 1000, "{accessor}: {walked} {entries}");
        }
        let linux = file_system(Generated::Linux, 1, clock);
        let (walked, entries) = walk(&*linux, "auto", Vec::new(), 600);
        assert!(walked >= 500 && entries > 10_000, "{walked} {entries}");
    }

    #[tokio::test]
    async fn a_tree_is_the_same_for_the_same_seed_and_another_for_another() {
        let clock = Clock::starting_at(std::time::Duration::from_secs(1_795_528_426));
        let path: Vec<String> = ["C:", "Users", "alice", "Documents"].map(String::from).to_vec();
        let entries = |seed| {
            let files = file_system(Generated::Windows, seed, clock.clone());
            let listing = files.list("auto", &path).expect("it lists");
            listing.entries.collect::<Vec<_>>()
        };
        assert_eq!(entries(1), entries(1));
        assert_ne!(entries(1), entries(2));
    }

    #[tokio::test]
    async fn a_walk_through_fifteen_thousand_directories_takes_no_time() {
        let clock = Clock::starting_at(std::time::Duration::from_secs(1_795_528_426));
        let files = file_system(Generated::Windows, 1, clock.clone());
        let base: Vec<String> = ["C:", "Windows", "WinSxS"].map(String::from).to_vec();
        let names: Vec<String> = files.list("auto", &base).expect("it lists").entries.map(|entry| entry.name).collect();
        assert_eq!(names.len(), 15_000);
        let started = clock.elapsed();
        for name in names.iter().step_by(10) {
            let mut path = base.clone();
            path.push(name.clone());
            assert!(files.list("auto", &path).is_ok_and(|listing| listing.entries.count() > 0));
        }
        assert!(clock.elapsed() - started < std::time::Duration::from_secs(5));
    }
}
