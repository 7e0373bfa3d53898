//! Ranges of large files: a look is cheap, every byte is right, and states of a file are never mixed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use vfs::testing::{FakeBackend, FakeEntry, MemoryStore, call, vfs_with};
use vfs::{ErrorKind, FileType, Node, Progress, Settings, Timestamp, Vfs};

use crate::{CLIENT, find, know, path, read_all};

const MIB: usize = 1 << 20;

/// Bytes that tell where they are from.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    (0..length as u32).map(|index| ((index >> 3).wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn entry(content: Vec<u8>, modified: i64) -> FakeEntry {
    FakeEntry {
        size: content.len() as u64,
        content: content.into(),
        modified: Some(Timestamp::new(modified, 0)),
        ..FakeEntry::new(FileType::Regular)
    }
}

/// Files above 8 MiB go by ranges; those above `cap` are never collected whole by opening them.
fn settings(cap: u64) -> Settings {
    Settings { ranges_above: 8 << 20, automatic_collection_bytes: cap, ..Settings::default() }
}

async fn with_file(content: &[u8], cap: u64) -> (Arc<FakeBackend>, Arc<MemoryStore>, Vfs, Node) {
    let backend = crate::backend();
    backend.set_ranges(true);
    backend.add_entry(CLIENT, "auto", &["disk.img"], entry(content.to_vec(), 1000));
    let store = Arc::new(MemoryStore::default());
    let vfs = vfs_with(&backend, &store, settings(cap));
    know(&vfs).await;
    let node = find(&vfs, &path("disk.img")).await.unwrap().node;
    (backend, store, vfs, node)
}

async fn read(vfs: &Vfs, node: &Node, offset: usize, length: u32) -> Result<Vec<u8>, ErrorKind> {
    let data = vfs.read(node, offset as u64, length, &call()).await.map_err(|error| error.kind())?;
    Ok(data.segments.iter().flatten().copied().collect())
}

async fn refresh(vfs: &Vfs) {
    let auto = find(vfs, &path("")).await.unwrap().node;
    tokio::time::advance(Duration::from_secs(1)).await;
    let news: Vec<Progress> = vfs.refresh(&auto, 0, &call()).collect().await;
    assert!(matches!(news.last(), Some(Progress::Done { .. })), "{news:?}");
}

#[tokio::test(start_paused = true)]
async fn a_look_into_a_large_file_moves_little_of_it() {
    let bytes = noise(1, 60 * MIB + 77);
    let (backend, _, vfs, node) = with_file(&bytes, 0).await;
    assert_eq!(read(&vfs, &node, 0, 65_536).await.unwrap(), bytes[..65_536]);
    assert_eq!((backend.fetches(), backend.range_bytes()), (1, 2 * MIB));
    // Its end, and what lies past it.
    let end = bytes.len();
    assert_eq!(read(&vfs, &node, end - 100, 4096).await.unwrap(), bytes[end - 100..]);
    assert!(read(&vfs, &node, end + 5, 10).await.unwrap().is_empty());
    assert_eq!((backend.fetches(), backend.range_bytes()), (2, 3 * MIB + 77));
    assert_eq!(vfs.attributes(&node, &call()).await.unwrap().size, Some(end as u64));
    assert!(!vfs.attributes(&node, &call()).await.unwrap().collected, "only a part is here");
    // Again, by anybody, it costs nothing.
    assert_eq!(read(&vfs, &node, 1000, 10).await.unwrap(), bytes[1000..1010]);
    assert!(vfs.read_now(&node, 1000, 10, &call()).is_some());
    assert_eq!(backend.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_reads_straight_on_gets_ever_larger_ranges_and_every_byte() {
    let bytes = noise(2, 150 * MIB + 5);
    let (backend, _, vfs, node) = with_file(&bytes, 0).await;
    assert!(read_all(&vfs, &node).await.unwrap() == bytes);
    assert!(backend.fetches() <= 8, "{} deliveries", backend.fetches());
    assert_eq!(backend.range_bytes(), bytes.len(), "nothing was moved twice");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_read_on_is_collected_whole() {
    let bytes = noise(3, 40 * MIB);
    let (backend, _, vfs, node) = with_file(&bytes, 1 << 30).await;
    assert!(read_all(&vfs, &node).await.unwrap() == bytes);
    assert_eq!((backend.fetches(), backend.range_bytes()), (2, 2 * MIB));
    assert!(vfs.attributes(&node, &call()).await.unwrap().collected);

    // Looks into several places do the same.
    let (backend, _, vfs, node) = with_file(&bytes, 1 << 30).await;
    for offset in [0, 20 * MIB, 39 * MIB, 10 * MIB, 30 * MIB, 5 * MIB] {
        assert_eq!(read(&vfs, &node, offset, 4096).await.unwrap(), bytes[offset..offset + 4096]);
    }
    assert_eq!(backend.fetches(), 3, "two looks, then the whole file");

    // Who says that he wants it all gets it at once.
    let (backend, _, vfs, node) = with_file(&bytes, 1 << 30).await;
    let call = vfs::Call { reads: vfs::Reads::Whole, ..call() };
    assert_eq!(vfs.read(&node, 0, 10, &call).await.unwrap().len(), 10);
    assert_eq!((backend.fetches(), backend.range_bytes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn readers_of_many_places_leave_together() {
    let bytes = noise(4, 100 * MIB);
    let (backend, _, vfs, node) = with_file(&bytes, 0).await;
    let readers: Vec<_> = (0..40)
        .map(|index| {
            let vfs = vfs.clone();
            tokio::spawn(async move { (index, read(&vfs, &node, index * 2 * MIB + 17, 5000).await.unwrap()) })
        })
        .collect();
    for reader in readers {
        let (index, read) = reader.await.unwrap();
        assert_eq!(read, bytes[index * 2 * MIB + 17..index * 2 * MIB + 5017]);
    }
    assert!(backend.fetches() <= 3, "{} deliveries", backend.fetches());
}

#[tokio::test(start_paused = true)]
async fn states_of_a_file_are_never_mixed() {
    let (old, new) = (noise(5, 50 * MIB), noise(6, 50 * MIB));
    let (backend, _, vfs, node) = with_file(&old, 0).await;
    assert_eq!(read(&vfs, &node, 0, 4096).await.unwrap(), old[..4096]);
    backend.add_entry(CLIENT, "auto", &["disk.img"], entry(new.clone(), 2000));
    assert_eq!(read(&vfs, &node, 30 * MIB, 4096).await.unwrap_err(), ErrorKind::Changed);
    let flows = backend.fetches();
    assert_eq!(read(&vfs, &node, 30 * MIB, 4096).await.unwrap_err(), ErrorKind::Changed);
    assert_eq!(backend.fetches(), flows, "the endpoint is not asked again at once");
    assert_eq!(read(&vfs, &node, MIB, 4096).await.unwrap(), old[MIB..MIB + 4096], "what was held is served");
    refresh(&vfs).await;
    let newer = find(&vfs, &path("disk.img")).await.unwrap().node;
    assert_ne!(newer.version, node.version);
    assert_eq!(read(&vfs, &newer, 30 * MIB, 4096).await.unwrap(), new[30 * MIB..30 * MIB + 4096]);
    assert_eq!(read(&vfs, &newer, 0, 4096).await.unwrap(), new[..4096]);
    assert_eq!(read(&vfs, &node, 0, 4096).await.unwrap(), old[..4096]);
}

#[tokio::test(start_paused = true)]
async fn a_whole_copy_of_another_state_does_not_stand_in_for_what_was_read() {
    let (old, new) = (noise(7, 50 * MIB), noise(8, 50 * MIB));
    let (backend, _, vfs, node) = with_file(&old, 1 << 30).await;
    assert_eq!(read(&vfs, &node, 0, 4096).await.unwrap(), old[..4096]);
    backend.add_entry(CLIENT, "auto", &["disk.img"], entry(new.clone(), 2000));
    assert_eq!(read(&vfs, &node, 2 * MIB, 4096).await.unwrap_err(), ErrorKind::Changed);
    assert_eq!(read(&vfs, &node, 0, 4096).await.unwrap(), old[..4096]);
    // The copy is not lost: it is current now.
    refresh(&vfs).await;
    let flows = backend.fetches();
    let newer = find(&vfs, &path("disk.img")).await.unwrap().node;
    assert_ne!(newer.version, node.version);
    assert!(read_all(&vfs, &newer).await.unwrap() == new);
    assert_eq!(backend.fetches(), flows);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_grew_since_it_was_listed_is_read_as_it_is() {
    let grown = noise(9, 60 * MIB);
    let (backend, _, vfs, node) = with_file(&grown[..50 * MIB], 0).await;
    backend.add_entry(CLIENT, "auto", &["disk.img"], entry(grown.clone(), 2000));
    assert_eq!(read(&vfs, &node, 0, 10).await.unwrap(), grown[..10]);
    assert_eq!(vfs.attributes(&node, &call()).await.unwrap().size, Some(60 << 20));
    assert!(read_all(&vfs, &node).await.unwrap() == grown);
}

#[tokio::test(start_paused = true)]
async fn ranges_outlive_the_process_the_endpoint_and_the_file() {
    let bytes = noise(10, 50 * MIB);
    let (backend, store, vfs, node) = with_file(&bytes, 0).await;
    assert_eq!(read(&vfs, &node, 0, 10).await.unwrap(), bytes[..10]);
    backend.remove(CLIENT, "auto", &["disk.img"]);
    refresh(&vfs).await;
    assert_eq!(read(&vfs, &node, 5, 10).await.unwrap(), bytes[5..15]);
    backend.set_online(CLIENT, false);
    let vfs = vfs_with(&backend, &store, settings(0));
    know(&vfs).await;
    assert_eq!(read(&vfs, &node, MIB, 10).await.unwrap(), bytes[MIB..MIB + 10]);
    assert_eq!(vfs.attributes(&node, &call()).await.unwrap().size, Some(50 << 20));
    let error = read(&vfs, &node, 40 * MIB, 10).await.unwrap_err();
    assert!(matches!(error, ErrorKind::Stale | ErrorKind::Offline), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_said_and_nothing_is_kept_of_it() {
    let bytes = noise(11, 50 * MIB);
    let (backend, _, vfs, node) = with_file(&bytes, 0).await;
    backend.lose_jobs(1);
    assert_eq!(read(&vfs, &node, 0, 10).await.unwrap(), bytes[..10], "a lost task is queued again");
    backend.set_short_reads(true);
    assert_eq!(read(&vfs, &node, 20 * MIB, 10).await.unwrap_err(), ErrorKind::Backend);
    backend.set_short_reads(false);
    assert_eq!(read(&vfs, &node, 20 * MIB, 10).await.unwrap(), bytes[20 * MIB..20 * MIB + 10]);
    backend.deny(CLIENT, "auto", &["disk.img"]);
    assert_eq!(read(&vfs, &node, 30 * MIB, 10).await.unwrap_err(), ErrorKind::Denied);
    let flows = backend.fetches();
    assert_eq!(read(&vfs, &node, 31 * MIB, 10).await.unwrap_err(), ErrorKind::Denied);
    assert_eq!(backend.fetches(), flows);

    backend.add_entry(CLIENT, "auto", &["pagefile.sys"], entry(vec![1; 20 * MIB], 1000));
    refresh(&vfs).await;
    let node = find(&vfs, &path("pagefile.sys")).await.unwrap().node;
    assert_eq!(read(&vfs, &node, 0, 10).await.unwrap_err(), ErrorKind::TooBig);
}

/// What happens to a file and who reads it.
#[derive(Debug, Clone)]
enum Step {
    Write { chunks: u8, same_time: bool },
    Read { handle: usize, offset: u32 },
    Open,
    Refresh,
    Restart,
    Collect { handle: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (9u8..14, any::<bool>()).prop_map(|(chunks, same_time)| Step::Write { chunks, same_time }),
        9 => (0usize..8, 0u32..14 << 20).prop_map(|(handle, offset)| Step::Read { handle, offset }),
        3 => Just(Step::Open),
        2 => Just(Step::Refresh),
        1 => Just(Step::Restart),
        1 => (0usize..8).prop_map(|handle| Step::Collect { handle }),
    ]
}

/// Every byte of the `write`th content is `write`, so a read tells of which state it is.
async fn run(steps: Vec<Step>, cap: u64) -> Result<(), TestCaseError> {
    let (backend, store, mut vfs, first) = with_file(&vec![0; 10 * MIB], cap).await;
    let (mut handles, mut write) = (vec![(first, None::<u8>)], 0u8);
    for step in steps {
        tokio::time::advance(Duration::from_secs(61)).await;
        match step {
            Step::Write { chunks, same_time } => {
                write += 1;
                // A write within one tick of the clock that changes the size cannot be told by the time alone.
                let modified = if same_time { 1000 } else { 1000 + i64::from(write) };
                let length = usize::from(chunks) * MIB + usize::from(write);
                backend.add_entry(CLIENT, "auto", &["disk.img"], entry(vec![write; length], modified));
            }
            Step::Open => handles.push((find(&vfs, &path("disk.img")).await.unwrap().node, None)),
            Step::Refresh => refresh(&vfs).await,
            Step::Restart => {
                vfs = vfs_with(&backend, &store, settings(cap));
                know(&vfs).await;
            }
            Step::Collect { handle } => {
                let (node, _) = &handles[handle % handles.len()];
                let _news: Vec<Progress> = vfs.collect(node, &call()).collect().await;
            }
            Step::Read { handle, offset } => {
                let index = handle % handles.len();
                let node = handles[index].0;
                let Ok(data) = vfs.read(&node, u64::from(offset), 100_000, &call()).await else { continue };
                let bytes: Vec<u8> = data.segments.iter().flatten().copied().collect();
                let Some(state) = bytes.first().copied() else { continue };
                prop_assert!(bytes.iter().all(|byte| *byte == state), "one read of two states");
                for (other, seen) in &mut handles {
                    if other.version == node.version {
                        prop_assert!(seen.is_none_or(|seen| seen == state), "a version that was {seen:?} is {state}");
                        *seen = Some(state);
                    }
                }
                let size = vfs.attributes(&node, &call()).await.unwrap().size.unwrap();
                prop_assert_eq!(data.eof, u64::from(offset) + bytes.len() as u64 == size);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_handle_reads_one_state_of_its_file(steps in proptest::collection::vec(step(), 1..30), whole in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps, if whole { 1 << 30 } else { 0 }))?;
    }
}
