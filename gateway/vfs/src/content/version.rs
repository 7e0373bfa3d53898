//! Versions of files: a listing names one, a collection observes one, and the later observation wins (D5, D6, D27).

use std::sync::Arc;
use std::time::Duration;

use super::held::Held;
use crate::attributes::{Attributes, DIRECTORY_MODE, FILE_MODE, FileType, LINK_MODE, file_system_id, listed_version};
use crate::backend::{FetchedContent, Observation};
use crate::error::Result;
use crate::node::{Identity, Node};
use crate::snapshot::{Entry, Times};
use crate::store::{Collected, FileAsListed, FileRecord};
use crate::timestamp::Timestamp;
use crate::tree::{Directory, blocking};
use crate::vfs::Inner;

/// The version of a file that a look-up gives now.
pub(crate) struct Current {
    /// Its number (D6).
    pub version: u32,
    /// Its size; `None` if only reading tells (D7).
    pub size: Option<u64>,
    /// All of its bytes were collected.
    pub is_whole: bool,
    /// Its own times, if the listing has moved on since (D5).
    pub copy_times: Option<Times>,
}

impl Current {
    /// What was not collected whole, or has no content.
    pub(crate) fn listed(version: u32, size: Option<u64>) -> Current {
        Current { version, size, is_whole: false, copy_times: None }
    }
}

/// The version of a file as it is listed (D6).
pub(crate) fn entry_version(entry: &Entry<'_>) -> u32 {
    listed_version(entry.row.size(), entry.row.times().modified)
}

/// The version of `entry` that is current at `now`.
pub(crate) fn current(
    entry: &Entry<'_>,
    record: Option<&FileRecord>,
    listed_at: Timestamp,
    now: Timestamp,
    copy_max_age: Duration,
) -> Current {
    let row = &entry.row;
    let listed = entry_version(entry);
    if let Some(inline) = row.inline() {
        return Current::listed(listed, Some(inline.len() as u64));
    }
    if let Some(record) = record {
        let as_listed = record.collected.iter().rev().find(|copy| copy.version == listed);
        let newest = record.collected.iter().max_by_key(|copy| copy.observation.seen);
        let chosen = match (as_listed, newest) {
            (_, Some(newest)) if newest.observation.seen >= listed_at => Some(newest),
            (Some(as_listed), _) => Some(as_listed),
            (None, Some(newest)) if now.since(newest.observation.seen) < copy_max_age => Some(newest),
            (None, _) => None,
        };
        if let Some(copy) = chosen {
            let copy_times = copy.listed.times.filter(|_| copy.version != listed);
            return Current { version: copy.version, size: Some(copy.size), is_whole: true, copy_times };
        }
        if let Some(held) = record.ranges(listed) {
            return Current::listed(listed, Some(held.state.size));
        }
    }
    Current::listed(listed, (!row.size_unknown()).then_some(row.size()))
}

/// Attributes of an entry whose content is the given version.
pub(crate) fn attributes(entry: &Entry<'_>, fsid: u64, current: &Current, link_length: Option<u64>) -> Attributes {
    let row = &entry.row;
    let times = current.copy_times.unwrap_or_else(|| row.times());
    let file_type = row.file_type();
    let (mode, size) = match file_type {
        FileType::Directory => (DIRECTORY_MODE, Some(4096)),
        FileType::Regular => (FILE_MODE, current.size),
        FileType::Symlink => (LINK_MODE, Some(link_length.unwrap_or(row.size()))),
        _ => (FILE_MODE, Some(0)),
    };
    Attributes {
        file_type,
        mode,
        size,
        fsid,
        file_id: entry.identity.file_id(),
        accessed: times.accessed,
        modified: times.modified,
        changed: times.changed,
        born: times.born,
        collected: file_type != FileType::Regular || current.is_whole || row.inline().is_some(),
    }
}

/// Attributes of the version that `node` names and of which something is held. `entry` is `None` if the file left the listing: then
/// those that it had (D5).
pub(crate) fn held_attributes(entry: Option<&Entry<'_>>, node: &Node, held: &Held) -> Attributes {
    let fsid = file_system_id(node.export, node.session);
    let as_listed = held.listed().and_then(|listed| listed.times);
    if let Some(entry) = entry.filter(|entry| entry.row.file_type() == FileType::Regular) {
        let copy_times = as_listed.filter(|_| node.version != entry_version(entry));
        let current =
            Current { version: node.version, size: Some(held.size()), is_whole: held.whole().is_some(), copy_times };
        return attributes(entry, fsid, &current, None);
    }
    let collected_at = held.observation().map(|observation| observation.started);
    let times = as_listed.unwrap_or(Times { modified: collected_at, ..Times::default() });
    Attributes {
        file_type: FileType::Regular,
        mode: FILE_MODE,
        size: Some(held.size()),
        fsid,
        file_id: node.own.file_id(),
        accessed: times.accessed,
        modified: times.modified,
        changed: times.changed,
        born: times.born,
        collected: held.whole().is_some(),
    }
}

/// What the listing says of a file whose `version` is to be collected.
pub(crate) fn as_listed(entry: &Entry<'_>, version: u32) -> FileAsListed {
    let row = &entry.row;
    let is_listed = version == entry_version(entry);
    FileAsListed { name: row.name().to_owned(), size: row.size(), times: is_listed.then(|| row.times()) }
}

/// Remembers content that was collected for `version` of the file `own`, in the store first.
pub(crate) async fn record_collected(
    inner: &Arc<Inner>,
    directory: &Arc<Directory>,
    own: Identity,
    version: u32,
    listed: FileAsListed,
    fetched: (FetchedContent, Observation),
    set: Option<&Arc<str>>,
) -> Result<()> {
    let (content, observation) = fetched;
    let collected = Collected {
        version,
        listed,
        size: content.size,
        location: content.location,
        sparse: content.sparse,
        observation,
        set: set.cloned(),
        sha256_endpoint: content.sha256_endpoint,
        digests: None,
    };
    update_file(inner, directory, own, move |record| {
        // A version binds to at most one content, for ever (D6).
        let known = record.collected.iter().any(|copy| copy.version == version || copy.location == collected.location);
        if !known {
            record.collected.push(collected);
        }
        !known
    })
    .await
}

/// Whether somebody else's copy is the listed version: its size is the listed one, and the file was last modified before their
/// collection began (D27). Nor was anything else about it changed since: who sets a modification time back cannot hide a change so.
pub(crate) fn is_as_listed(entry: &Entry<'_>, content: &FetchedContent, observation: &Observation) -> bool {
    let Times { modified, changed, .. } = entry.row.times();
    let is_earlier = |time: Option<Timestamp>| time.is_none_or(|time| time < observation.started);
    content.size == entry.row.size() && is_earlier(modified) && is_earlier(changed)
}

/// The version that somebody else's copy is: the listed one, or one of its own.
pub(crate) fn version_of_found(entry: &Entry<'_>, content: &FetchedContent, observation: &Observation) -> u32 {
    let listed = entry_version(entry);
    if is_as_listed(entry, content, observation) {
        return listed;
    }
    match listed_version(content.size, Some(observation.started)) {
        // Modified at the very moment at which they began.
        same if same == listed => same.checked_add(1).unwrap_or(1),
        own => own,
    }
}

/// Changes the record of a file, in the store first, one change at a time. `change` says whether there is anything to write.
pub(crate) async fn update_file(
    inner: &Arc<Inner>,
    directory: &Arc<Directory>,
    own: Identity,
    change: impl FnOnce(&mut FileRecord) -> bool,
) -> Result<()> {
    let _turn = directory.recording.lock().await;
    inner.tree.load(directory).await?; // and it stays while we hold the turn
    let mut record = directory.file(own).map(|record| FileRecord::clone(&record)).unwrap_or_default();
    if !change(&mut record) {
        return Ok(());
    }
    let store = inner.store.clone();
    let key = directory.key();
    let saved = record.clone();
    blocking(move || store.put_file(key, own, &saved)).await?;
    directory.set_file(own, record);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ContentLocation;
    use crate::node::Keys;
    use crate::snapshot::{EntryFields, Rows, Snapshot};

    fn snapshot(size: u64, modified: i64) -> Snapshot {
        let mut rows = Rows::new();
        let times = Times { modified: Some(Timestamp::new(modified, 0)), ..Times::default() };
        assert!(rows.push(&EntryFields {
            name: "log",
            shown: None,
            file_type: FileType::Regular,
            mode: 0o644,
            size,
            size_unknown: false,
            unfetchable: false,
            times,
            link: None,
            inline: None,
            details: None,
        }));
        Snapshot::seal(rows, Identity(9), &Keys::new(&[0; 32]))
    }

    fn copy(version: u32, size: u64, seen: i64) -> Collected {
        let at = Timestamp::new(seen, 0);
        Collected {
            version,
            listed: FileAsListed { name: "log".into(), size, times: None },
            size,
            location: ContentLocation { org: "root".into(), components: vec![format!("{version}")] },
            sparse: false,
            observation: Observation { job: "F.1".into(), by: "me".into(), started: at, seen: at, first_row: 0 },
            set: None,
            sha256_endpoint: None,
            digests: None,
        }
    }

    fn choose(snapshot: &Snapshot, copies: Vec<Collected>, listed_at: i64, now: i64) -> (u32, Option<u64>) {
        let record = FileRecord { collected: copies, ..FileRecord::default() };
        let entry = snapshot.entry(0).unwrap();
        let hour = Duration::from_secs(3600);
        let current = current(&entry, Some(&record), Timestamp::new(listed_at, 0), Timestamp::new(now, 0), hour);
        (current.version, current.size)
    }

    #[test]
    fn a_growing_log_converges() {
        let first = snapshot(100, 10);
        let v1 = listed_version(100, Some(Timestamp::new(10, 0)));
        // Collected after the listing: the later observation wins, with the size that was uploaded.
        assert_eq!(choose(&first, vec![copy(v1, 150, 20)], 15, 30), (v1, Some(150)));
        // Listed again, larger: within the hour the copy stays current…
        let second = snapshot(200, 40);
        assert_eq!(choose(&second, vec![copy(v1, 150, 20)], 50, 60), (v1, Some(150)));
        // …after it the listing is.
        let v2 = listed_version(200, Some(Timestamp::new(40, 0)));
        assert_eq!(choose(&second, vec![copy(v1, 150, 20)], 50, 20 + 3601), (v2, Some(200)));
        // And once that was collected, it stays.
        assert_eq!(choose(&second, vec![copy(v1, 150, 20), copy(v2, 210, 70)], 50, 99_999), (v2, Some(210)));
    }

    #[test]
    fn a_copy_of_others_is_the_listed_version_only_if_nothing_changed_since_they_began() {
        let listing = snapshot(100, 10);
        let entry = listing.entry(0).unwrap();
        let version = |size: u64, began: i64| {
            let Collected { location, observation, .. } = copy(1, size, began);
            let content = FetchedContent { size, location, sparse: false, sha256_endpoint: None };
            (is_as_listed(&entry, &content, &observation), version_of_found(&entry, &content, &observation))
        };
        let listed = entry_version(&entry);
        assert_eq!(version(100, 11), (true, listed));
        for (size, began) in [(100, 10), (100, 9), (101, 11)] {
            let (same, own) = version(size, began);
            assert!(!same && own != listed, "{size} {began}");
        }
    }

    #[test]
    fn an_old_copy_of_what_is_listed_needs_no_new_collection() {
        let listing = snapshot(100, 10);
        let v1 = listed_version(100, Some(Timestamp::new(10, 0)));
        assert_eq!(choose(&listing, vec![copy(v1, 100, 20)], 99_000, 99_999), (v1, Some(100)));
    }
}
