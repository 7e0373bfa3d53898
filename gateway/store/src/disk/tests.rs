//! Damage on the disk: noticed, told, never served.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use vfs::ErrorKind;
use vfs::backend::Observation;
use vfs::store::{CHUNK_BYTES, ListingRecord, Place};
use vfs::timestamp::Timestamp;

use super::*;

const KEY: DirectoryKey = DirectoryKey { export: 1, own: Identity(2) };
const CONTENT: ContentKey = ContentKey(0xab);

fn record(generation: u32) -> DirectoryRecord {
    let at = Timestamp::new(1, 0);
    let observation = Observation { job: "F.1".into(), by: "analyst".into(), started: at, seen: at, first_row: 0 };
    DirectoryRecord {
        parent: vfs::store::IdentityText(Identity::ROOT),
        place: Place::Accessors(vfs::EndpointId::root_org("C.1")),
        generation,
        listing: Some(ListingRecord { observation, entries: 1, settled: false }),
        failure: None,
    }
}

fn store() -> (tempfile::TempDir, DiskStore) {
    let state = tempfile::tempdir().unwrap();
    let store = DiskStore::open(state.path(), Options::default()).unwrap();
    (state, store)
}

fn content_file(state: &tempfile::TempDir) -> PathBuf {
    state.path().join(format!("content/00/{:032x}", CONTENT.0))
}

#[test]
fn a_damaged_chunk_is_not_served_until_it_is_written_again() {
    let (state, store) = store();
    let chunk = vec![5; CHUNK_BYTES];
    store.put_chunk(CONTENT, 0, &chunk).unwrap();
    store.put_chunk(CONTENT, 3, b"end").unwrap();
    let file = fs::OpenOptions::new().write(true).open(content_file(&state)).unwrap();
    file.write_all_at(&[6], 777).unwrap();
    assert_eq!(store.chunk(CONTENT, 0).unwrap(), None);
    assert_eq!(store.chunk(CONTENT, 3).unwrap().as_deref(), Some(&b"end"[..]));
    store.put_chunk(CONTENT, 0, &chunk).unwrap();
    assert_eq!(store.chunk(CONTENT, 0).unwrap().unwrap(), chunk);
}

#[test]
fn a_chunk_that_was_cut_off_or_removed_is_not_served() {
    let (state, store) = store();
    store.put_chunk(CONTENT, 0, &[5; 1000]).unwrap();
    let file = fs::OpenOptions::new().write(true).open(content_file(&state)).unwrap();
    file.set_len(999).unwrap();
    assert_eq!(store.chunk(CONTENT, 0).unwrap(), None);
    fs::remove_file(content_file(&state)).unwrap();
    assert_eq!(store.chunk(CONTENT, 0).unwrap(), None);
}

#[test]
fn bytes_whose_checksum_was_never_written_are_not_served() {
    let (_state, store) = store();
    store.contents.write(CONTENT, 0, &[5; 1000]).unwrap();
    assert_eq!(store.chunk(CONTENT, 0).unwrap(), None);
    assert_eq!(store.chunk_count(CONTENT).unwrap(), 0);
}

#[test]
fn a_hole_between_chunks_is_never_served_as_zeros() {
    let (_state, store) = store();
    store.put_chunk(CONTENT, 4, b"far").unwrap();
    for index in 0..4 {
        assert_eq!(store.chunk(CONTENT, index).unwrap(), None);
    }
    assert_eq!(store.chunk_count(CONTENT).unwrap(), 1);
}

#[test]
fn a_damaged_record_is_an_error_not_an_absence() {
    let (_state, store) = store();
    store.put_directories(&[(KEY, record(0))]).unwrap();
    let mut bytes = store.index.directories.get(key::directory(KEY)).unwrap().unwrap().to_vec();
    bytes[20] ^= 1;
    store.index.directories.insert(key::directory(KEY), bytes).unwrap();
    assert_eq!(store.directory(KEY).unwrap_err().kind(), ErrorKind::Backend);
    assert!(store.each_directory(KEY.export, &mut |_, _| true).is_err());
    store.index.files.insert(key::file(KEY, Identity(9)), "no record").unwrap();
    assert_eq!(store.files(KEY).unwrap_err().kind(), ErrorKind::Backend);
}

#[test]
fn a_damaged_directory_does_not_hide_the_others() {
    let (_state, store) = store();
    let others: Vec<_> = (10..20).map(|own| (DirectoryKey { export: 1, own: Identity(own) }, record(1))).collect();
    store.put_directories(&others).unwrap();
    store.index.directories.insert(key::directory(others[3].0), "damaged").unwrap();
    let mut visited = 0;
    let result = store.each_directory(1, &mut |_, _| {
        visited += 1;
        true
    });
    assert!(result.is_err());
    assert_eq!(visited, 9);
}

#[test]
fn damaged_rows_count_as_gone() {
    let (_state, store) = store();
    store.publish(KEY, &record(1), b"rows").unwrap();
    let mut bytes = store.index.listings.get(key::rows(KEY, 1)).unwrap().unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    store.index.listings.insert(key::rows(KEY, 1), bytes).unwrap();
    assert_eq!(store.rows(KEY, 1).unwrap(), None);
}

#[test]
fn a_directory_record_written_later_keeps_its_rows() {
    let (_state, store) = store();
    store.publish(KEY, &record(1), b"first").unwrap();
    store.publish(KEY, &record(2), b"second").unwrap();
    store.put_directories(&[(KEY, record(2)), (KEY, record(2))]).unwrap();
    store.publish(KEY, &record(3), b"third").unwrap();
    assert_eq!(store.rows(KEY, 1).unwrap(), None);
    assert_eq!(store.rows(KEY, 2).unwrap().as_deref(), Some(&b"second"[..]));
    assert_eq!(store.rows(KEY, 3).unwrap().as_deref(), Some(&b"third"[..]));
    assert_eq!(store.usage().unwrap().directories, 1);
}

#[test]
fn an_index_that_is_no_index_is_refused_with_what_to_do() {
    let (state, store) = store();
    store.publish(KEY, &record(1), b"rows").unwrap();
    drop(store);
    for entry in fs::read_dir(state.path().join("index/keyspaces/1")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, "not what it was").unwrap();
        }
    }
    let refusal = DiskStore::open(state.path(), Options::default()).unwrap_err();
    assert!(refusal.to_string().contains("move the state directory away"), "{refusal}");
}
