//! The one rule, by property: whatever happens to an endpoint, in whatever order, an answer is something that was true.
//!
//! Random operations run against the VFS and against a record of every state that the endpoint's directory ever had. An entry that is
//! served existed; a name that is "absent" was missing in a state that the rules allow to speak of; bytes are those of one state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use vfs::backend::{Backend, Layered, Metrics};
use vfs::testing::{Chaos, FakeBackend, FakeEntry, MemoryStore, call, vfs_through};
use vfs::{Clock, ErrorKind, FileType, Node, Settings, Timestamp, Vfs};

use crate::{CLIENT, know};

/// What happens.
#[derive(Debug, Clone)]
enum Step {
    Write { name: u8, length: u16 },
    Remove { name: u8 },
    Online(bool),
    Wait { seconds: u32 },
    Restart,
    List,
    Refresh,
    Lookup { name: u8 },
    Read { name: u8 },
    LoseTasks,
    ShortReads(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..4, 1u16..3000).prop_map(|(name, length)| Step::Write { name, length }),
        2 => (0u8..4).prop_map(|name| Step::Remove { name }),
        2 => any::<bool>().prop_map(Step::Online),
        3 => prop_oneof![1u32..20, 250u32..400, 3500u32..3700, 80_000u32..90_000].prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
        4 => Just(Step::List),
        2 => Just(Step::Refresh),
        4 => (0u8..5).prop_map(|name| Step::Lookup { name }),
        5 => (0u8..4).prop_map(|name| Step::Read { name }),
        1 => Just(Step::LoseTasks),
        1 => any::<bool>().prop_map(Step::ShortReads),
    ]
}

type Files = BTreeMap<String, Vec<u8>>;

/// The endpoint's directory, now and at every time before.
struct Truth {
    backend: Arc<FakeBackend>,
    now: Files,
    history: Vec<(Timestamp, Files)>,
    writes: u32,
    online: bool,
}

impl Truth {
    fn at(&self) -> Timestamp {
        self.backend.clock().now()
    }

    fn changed(&mut self) {
        self.history.push((self.at(), self.now.clone()));
    }

    fn write(&mut self, name: u8, length: u16) {
        self.writes += 1;
        let content: Vec<u8> =
            (0..length).map(|index| (u32::from(index) ^ self.writes.wrapping_mul(97)) as u8).collect();
        let entry = FakeEntry {
            size: content.len() as u64,
            modified: Some(Timestamp::new(1000 + i64::from(self.writes), 0)),
            content: content.clone().into(),
            ..FakeEntry::new(FileType::Regular)
        };
        self.backend.add_entry(CLIENT, "auto", &["d", &format!("f{name}")], entry);
        self.now.insert(format!("f{name}"), content);
        self.changed();
    }

    /// The states that the directory had within the last `age`.
    fn within(&self, age: Duration) -> impl Iterator<Item = &Files> {
        let now = self.at();
        let ends = self.history.iter().skip(1).map(|(start, _)| *start).chain([now]);
        self.history.iter().zip(ends).filter(move |(_, end)| now.since(*end) <= age).map(|((_, files), _)| files)
    }

    fn ever(&self) -> impl Iterator<Item = &Files> {
        self.history.iter().map(|(_, files)| files)
    }
}

async fn list(vfs: &Vfs, node: &Node) -> Result<Vec<String>, vfs::Error> {
    let listing = vfs.list(node, &call()).await?;
    let mut names: Vec<String> =
        (0..listing.len()).map(|at| listing.name(at, vfs::Profile::Posix).into_owned()).collect();
    names.sort();
    Ok(names)
}

fn same(files: &Files, names: &[String]) -> bool {
    files.keys().eq(names.iter())
}

/// The program's own layers over the backend; under them chaos, if there is a seed for it.
fn layered(backend: &Arc<FakeBackend>, chaos: Option<u64>) -> Arc<dyn Backend> {
    let server: Arc<dyn Backend> = match chaos {
        None => return backend.clone(),
        Some(seed) => Layered::over(backend.clone(), Chaos::new(seed)),
    };
    vfs::backend::layers(server, &Metrics::default())
}

async fn run(steps: Vec<Step>, settings: Settings, chaos: Option<u64>) -> Result<(), TestCaseError> {
    let backend = crate::backend();
    backend.add_directory(CLIENT, "auto", &["d"]);
    let mut store = Arc::new(MemoryStore::default());
    let mut vfs = vfs_through(layered(&backend, chaos), &backend, &store, settings.clone());
    know(&vfs).await;
    let mut truth = Truth { backend: backend.clone(), now: Files::new(), history: Vec::new(), writes: 0, online: true };
    truth.changed();
    // Where it is may be asked until it is told.
    let node = loop {
        match vfs.resolve(&[CLIENT, "auto", "d"], false, &call()).await {
            Ok(found) => break found.node,
            Err(error) => prop_assert!(chaos.is_some() && error.kind() == ErrorKind::Backend, "{error:?}"),
        }
        tokio::time::advance(Duration::from_secs(10)).await;
    };
    let stale = Duration::from_secs(24 * 3600) + Duration::from_secs(60);
    for step in steps {
        // Every step takes a moment, so that "before" and "after" mean something.
        tokio::time::advance(Duration::from_secs(1)).await;
        match step {
            Step::Write { name, length } => truth.write(name, length),
            Step::Remove { name } => {
                backend.remove(CLIENT, "auto", &["d", &format!("f{name}")]);
                truth.now.remove(&format!("f{name}"));
                truth.changed();
            }
            Step::Online(online) => {
                backend.set_online(CLIENT, online);
                truth.online = online;
                tokio::time::advance(Duration::from_secs(5)).await; // the server's word is good for 3 s
            }
            Step::Wait { seconds } => tokio::time::advance(Duration::from_secs(u64::from(seconds))).await,
            Step::Restart => {
                store = store.after_a_kill();
                vfs = vfs_through(layered(&backend, chaos), &backend, &store, settings.clone());
                know(&vfs).await;
            }
            Step::LoseTasks => backend.lose_jobs(1),
            Step::ShortReads(short) => backend.set_short_reads(short),
            Step::Refresh => {
                let last = vfs.refresh(&node, 0, &call()).collect::<Vec<_>>().await.pop();
                if let Some(vfs::Progress::Done { .. }) = last {
                    let names = list(&vfs, &node).await.unwrap();
                    prop_assert!(same(&truth.now, &names), "after a refresh: {names:?} is not {:?}", truth.now.keys());
                }
            }
            Step::List => match list(&vfs, &node).await {
                // Where a new look fails, what is known stays good, and its age is told (SEMANTICS 3.4).
                Ok(names) if truth.online && chaos.is_none() => {
                    prop_assert!(
                        truth.within(stale).any(|files| same(files, &names)),
                        "{names:?} was never true lately"
                    );
                }
                Ok(names) => prop_assert!(truth.ever().any(|files| same(files, &names)), "{names:?} was never true"),
                Err(error) => {
                    prop_assert!(error.kind() != ErrorKind::Absent && error.kind() != ErrorKind::Stale, "{error:?}")
                }
            },
            Step::Lookup { name } => {
                let name = format!("f{name}");
                match vfs.lookup(&node, &name, &call()).await {
                    Ok(_) => prop_assert!(truth.ever().any(|files| files.contains_key(&name)), "{name} never existed"),
                    Err(error) if error.kind() == ErrorKind::Absent && truth.online => {
                        // A call that is asked again takes its time.
                        let fresh = Duration::from_secs(5 * 60 + if chaos.is_some() { 60 } else { 5 });
                        prop_assert!(
                            truth.within(fresh).any(|files| !files.contains_key(&name)),
                            "{name} was there all the time"
                        );
                    }
                    Err(error) if error.kind() == ErrorKind::Absent => {
                        prop_assert!(truth.ever().any(|files| !files.contains_key(&name)), "{name} was always there");
                    }
                    Err(error) => prop_assert!(error.kind() != ErrorKind::Stale, "{error:?}"),
                }
            }
            Step::Read { name } => {
                let name = format!("f{name}");
                let Ok(found) = vfs.lookup(&node, &name, &call()).await else { continue };
                if let Ok(bytes) = crate::read_all(&vfs, &found.node).await {
                    let known = truth.ever().any(|files| files.get(&name) == Some(&bytes));
                    prop_assert!(known, "{name}: {} bytes that it never had", bytes.len());
                    let attributes = vfs.attributes(&found.node, &call()).await.unwrap();
                    prop_assert_eq!(attributes.size, Some(bytes.len() as u64), "the size is that of what was read");
                    prop_assert_eq!(
                        crate::read_all(&vfs, &found.node).await.unwrap(),
                        bytes,
                        "a version has one content"
                    );
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_an_answer_is_something_that_was_true(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps, Settings::default(), None))?;
    }

    #[test]
    fn so_it_is_when_work_waits_for_an_endpoint_that_is_away(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let settings = Settings { queue_offline: Some(Duration::from_secs(72 * 3600)), ..Settings::default() };
        runtime.block_on(run(steps, settings, None))?;
    }

    #[test]
    fn nor_while_calls_fail_answers_are_lost_and_news_break_off(
        steps in proptest::collection::vec(step(), 1..40),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps, Settings::default(), Some(seed)))?;
    }
}
