//! Random operations against a model in memory, with restarts in between: the store says what the model says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use raptorgate_store::{DiskStore, Options};
use support::{directory, endpoint, file, key, noise};
use vfs::endpoint::Endpoint;
use vfs::node::Identity;
use vfs::store::{CHUNK_BYTES, ContentKey, DirectoryKey, DirectoryRecord, FileRecord, Store};

#[derive(Debug, Clone)]
enum Operation {
    PutDirectories(Vec<(u64, u128, String)>),
    Publish { export: u64, own: u128, skip: u32, rows: Vec<u8> },
    PutFile { export: u64, own: u128, file: u128, version: u32 },
    PutEndpoint { client: u32, hostname: String },
    PutChunk { content: u128, index: u64, seed: u64, length: usize },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let directory = (0u64..3, 0u128..6);
    prop_oneof![
        3 => proptest::collection::vec((0u64..3, 0u128..6, "[a-zä]{1,9}"), 0..5).prop_map(Operation::PutDirectories),
        5 => (directory.clone(), 1u32..3, proptest::collection::vec(any::<u8>(), 0..60), 1usize..200)
            .prop_map(|((export, own), skip, rows, repeat)| Operation::Publish { export, own, skip, rows: rows.repeat(repeat) }),
        3 => (directory, 0u128..5, any::<u32>())
            .prop_map(|((export, own), file, version)| Operation::PutFile { export, own, file, version }),
        1 => (0u32..4, "[a-z]{0,9}").prop_map(|(client, hostname)| Operation::PutEndpoint { client, hostname }),
        3 => (0u128..4, 0u64..5, any::<u64>(), prop_oneof![1usize..5_000, Just(CHUNK_BYTES)])
            .prop_map(|(content, index, seed, length)| Operation::PutChunk { content, index, seed, length }),
        1 => Just(Operation::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    directories: BTreeMap<DirectoryKey, DirectoryRecord>,
    /// Generations with their rows, oldest first, never more than two.
    rows: BTreeMap<DirectoryKey, Vec<(u32, Vec<u8>)>>,
    files: BTreeMap<(DirectoryKey, Identity), FileRecord>,
    endpoints: BTreeMap<String, Endpoint>,
    chunks: BTreeMap<(ContentKey, u64), Vec<u8>>,
}

impl Model {
    fn generation(&self, key: DirectoryKey) -> u32 {
        self.directories.get(&key).map_or(0, |record| record.generation)
    }

    fn apply(&mut self, store: &DiskStore, operation: Operation) {
        match operation {
            Operation::PutDirectories(named) => {
                let mut records = Vec::new();
                for (export, own, name) in named {
                    let key = key(export, own);
                    let record = directory(&name, self.generation(key));
                    records.push((key, record.clone()));
                }
                store.put_directories(&records).unwrap();
                self.directories.extend(records);
            }
            Operation::Publish { export, own, skip, rows } => {
                let key = key(export, own);
                let record = directory("published", self.generation(key) + skip);
                store.publish(key, &record, &rows).unwrap();
                let kept = self.rows.entry(key).or_default();
                kept.push((record.generation, rows));
                if kept.len() > 2 {
                    kept.remove(0);
                }
                self.directories.insert(key, record);
            }
            Operation::PutFile { export, own, file: of, version } => {
                let (key, own, record) = (key(export, own), Identity(of), file(version));
                store.put_file(key, own, &record).unwrap();
                self.files.insert((key, own), record);
            }
            Operation::PutEndpoint { client, hostname } => {
                let endpoint = endpoint(client, &hostname);
                store.put_endpoint(&endpoint).unwrap();
                self.endpoints.insert(endpoint.id.client_id.to_string(), endpoint);
            }
            Operation::PutChunk { content, index, seed, length } => {
                let bytes = noise(seed, length);
                store.put_chunk(ContentKey(content), index, &bytes).unwrap();
                self.chunks.insert((ContentKey(content), index), bytes);
            }
            Operation::Reopen => unreachable!("done by the caller"),
        }
    }

    fn check(&self, store: &DiskStore) -> Result<(), TestCaseError> {
        for export in 0..3 {
            let mut visited = BTreeMap::new();
            store.each_directory(export, &mut |key, record| visited.insert(key, record).is_none()).unwrap();
            let listed =
                |(key, record): &(&DirectoryKey, &DirectoryRecord)| key.export == export && record.listing.is_some();
            let expected: BTreeMap<_, _> =
                self.directories.iter().filter(listed).map(|(key, record)| (*key, record.clone())).collect();
            prop_assert_eq!(visited, expected);
            for own in 0..6 {
                let key = key(export, own);
                let record = store.directory(key).unwrap();
                prop_assert_eq!(record.as_ref(), self.directories.get(&key));
                let kept = self.rows.get(&key).map_or(&[][..], Vec::as_slice);
                for generation in 0..=self.generation(key) + 1 {
                    let expected = kept.iter().find(|(of, _)| *of == generation).map(|(_, rows)| rows.clone());
                    prop_assert_eq!(store.rows(key, generation).unwrap().map(Vec::from), expected);
                }
                let expected: Vec<_> = self
                    .files
                    .iter()
                    .filter(|((of, _), _)| *of == key)
                    .map(|((_, own), record)| (*own, record.clone()))
                    .collect();
                prop_assert_eq!(store.files(key).unwrap(), expected);
            }
        }
        let mut endpoints = store.endpoints().unwrap();
        endpoints.sort_by_key(|endpoint| endpoint.id.client_id.clone());
        prop_assert_eq!(endpoints, self.endpoints.values().cloned().collect::<Vec<_>>());
        for content in (0..4).map(ContentKey) {
            let here = self.chunks.keys().filter(|(of, _)| *of == content).count();
            prop_assert_eq!(store.chunk_count(content).unwrap(), here as u64);
            for index in 0..5 {
                let chunk = store.chunk(content, index).unwrap();
                prop_assert_eq!(chunk.as_deref(), self.chunks.get(&(content, index)).map(Vec::as_slice));
            }
        }
        let usage = store.usage().unwrap();
        prop_assert_eq!(usage.directories, self.directories.len() as u64);
        prop_assert_eq!(usage.content_bytes, self.chunks.values().map(|bytes| bytes.len() as u64).sum::<u64>());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_store_says_what_a_model_says_across_restarts(operations in proptest::collection::vec(operation(), 1..60)) {
        let state = tempfile::tempdir().unwrap();
        let open = || DiskStore::open(state.path(), Options::default()).unwrap();
        let mut store = open();
        let mut model = Model::default();
        for operation in operations {
            match operation {
                Operation::Reopen => {
                    model.check(&store)?;
                    drop(store);
                    store = open();
                }
                operation => model.apply(&store, operation),
            }
        }
        model.check(&store)?;
        drop(store);
        model.check(&open())?;
    }
}
