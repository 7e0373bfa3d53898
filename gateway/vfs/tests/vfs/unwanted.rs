//! Work that the endpoint does not have yet and that nobody waits for any more is taken back, and recorded (D17).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use vfs::principal::{Event, Recorder};
use vfs::store::Store;
use vfs::testing::{AdmitAll, FakeBackend, MemoryStore, call};
use vfs::{Call, Error, ErrorKind, Keys, Node, Parts, Principal, Protocol, Settings, Vfs};

use crate::{CLIENT, backend, content, find, know, names, path};

/// Longer than anybody who was told to come back stays away.
const GONE: Duration = Duration::from_secs(65);

/// Keeps what is recorded.
#[derive(Default)]
struct Record(Mutex<Vec<Event>>);

impl Recorder for Record {
    fn record(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Record {
    /// Why flows were taken back.
    fn cancelled(&self) -> Vec<String> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = |event: &Event| match event {
            Event::FlowCancelled { reason, .. } => Some(reason.to_string()),
            _ => None,
        };
        events.iter().filter_map(reason).collect()
    }
}

struct Stage {
    backend: Arc<FakeBackend>,
    store: Arc<MemoryStore>,
    record: Arc<Record>,
    vfs: Vfs,
}

/// An endpoint whose `etc` was listed, and that takes no work from now on.
async fn stage(prepare: impl FnOnce(&FakeBackend)) -> Stage {
    let (backend, store, record) = (backend(), Arc::<MemoryStore>::default(), Arc::<Record>::default());
    prepare(&backend);
    let vfs = Vfs::new(Parts {
        backend: backend.clone(),
        store: store.clone(),
        clock: backend.clock(),
        keys: Keys::new(&[42; 32]),
        admission: Arc::new(AdmitAll),
        recorder: record.clone(),
        settings: Settings { prefetch: false, ..Settings::default() },
    })
    .unwrap();
    know(&vfs).await;
    names(&vfs, &path("etc")).await.unwrap();
    backend.hold_jobs();
    Stage { backend, store, record, vfs }
}

impl Stage {
    /// What somebody hears who bears so much silence. Each directory has its own reader: nobody walks.
    fn list(&self, node: Node, hold: u64) -> JoinHandle<Result<u32, Error>> {
        let vfs = self.vfs.clone();
        let reader = Principal::new(format!("{:x}", node.own.0));
        let call = Call::new(reader, Protocol::Nfs, Duration::from_secs(hold));
        tokio::spawn(async move { vfs.list(&node, &call).await.map(|listing| listing.len()) })
    }

    async fn node(&self, name: &str) -> Node {
        find(&self.vfs, &path(name)).await.unwrap().node
    }

    fn assert_taken_back(&self, flows: usize) {
        assert_eq!(self.record.cancelled(), vec!["nobody waits for it any more"; flows]);
        assert_eq!(self.backend.cancelled(), flows);
        assert_eq!(self.store.jobs().unwrap(), []);
        let under_way = self.vfs.activity().into_iter().filter(|work| work.ended.is_none()).count();
        assert_eq!(under_way, 0);
    }
}

fn is_later<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result.unwrap_err().kind(), ErrorKind::Later { .. })
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_taken_back_when_nobody_has_come_for_a_while() {
    let stage = stage(|_| {}).await;
    let ssh = stage.node("etc/ssh").await;
    assert!(is_later(stage.list(ssh, 8).await.unwrap()));
    tokio::time::sleep(Duration::from_secs(55)).await;
    assert_eq!(stage.backend.cancelled(), 0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.assert_taken_back(1);
    // And it is no failure: whoever comes later gets a listing.
    stage.backend.release_jobs();
    assert_eq!(names(&stage.vfs, &path("etc/ssh")).await.unwrap(), ["sshd_config"]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_every_few_seconds_still_waits() {
    let stage = stage(|_| {}).await;
    let ssh = stage.node("etc/ssh").await;
    for (hold, pause) in [(45, 5), (0, 5), (0, 30), (8, 55), (0, 1)].into_iter().cycle().take(20) {
        assert!(is_later(stage.list(ssh, hold).await.unwrap()));
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
    assert_eq!((stage.backend.cancelled(), stage.backend.listings()), (0, 3), "one flow for all that time");
    stage.backend.release_jobs();
    assert_eq!(stage.list(ssh, 8).await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_left_the_server_is_not_taken_back() {
    let stage = stage(|backend| backend.set_tokens(10, Duration::from_secs(1), true)).await;
    let ssh = stage.node("etc/ssh").await;
    assert!(is_later(stage.list(ssh, 8).await.unwrap()));
    tokio::time::sleep(GONE * 3).await;
    assert_eq!(stage.backend.cancelled(), 0);
    stage.backend.release_jobs();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.list(ssh, 0).await.unwrap().unwrap(), 1, "it came, although nobody waited");
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_taken_back_with_all_that_was_to_come_along() {
    let files = |backend: &FakeBackend| {
        for name in ["hive", "hive.LOG1", "hive.LOG2"] {
            backend.add_file(CLIENT, "auto", &["etc", name], name.to_owned());
        }
        backend.set_fetch_many(true);
    };
    let stage = stage(files).await;
    let hive = stage.node("etc/hive").await;
    let impatient = Call { hold: Duration::from_secs(8), ..call() };
    assert!(is_later(stage.vfs.read(&hive, 0, 10, &impatient).await));
    tokio::time::sleep(GONE).await;
    stage.assert_taken_back(1);
    assert_eq!(stage.backend.fetches(), 1);
    stage.backend.release_jobs();
    assert_eq!(content(&stage.vfs, &path("etc/hive")).await.unwrap(), b"hive");
    assert_eq!(content(&stage.vfs, &path("etc/hive.LOG2")).await.unwrap(), b"hive.LOG2");
    assert_eq!(stage.backend.fetches(), 2, "together again");
}

#[tokio::test(start_paused = true)]
async fn a_companion_that_somebody_waits_for_keeps_the_flow() {
    let files = |backend: &FakeBackend| {
        for name in ["hive", "hive.LOG1"] {
            backend.add_file(CLIENT, "auto", &["etc", name], name.to_owned());
        }
        backend.set_fetch_many(true);
    };
    let stage = stage(files).await;
    let (hive, log) = (stage.node("etc/hive").await, stage.node("etc/hive.LOG1").await);
    let impatient = Call { hold: Duration::from_secs(8), ..call() };
    assert!(is_later(stage.vfs.read(&hive, 0, 10, &impatient).await));
    let patient = Call { hold: GONE * 3, ..call() };
    let reader = tokio::spawn({
        let vfs = stage.vfs.clone();
        async move { vfs.read(&log, 0, 20, &patient).await.map(|data| data.segments.concat()) }
    });
    tokio::time::sleep(GONE * 2).await;
    assert_eq!(stage.backend.cancelled(), 0);
    stage.backend.release_jobs();
    assert_eq!(reader.await.unwrap().unwrap(), b"hive.LOG1");
    assert_eq!(stage.backend.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_file_are_taken_back() {
    let stage = stage(|backend| {
        backend.add_file(CLIENT, "auto", &["etc", "large"], vec![7; 40 << 20]);
        backend.set_ranges(true);
    })
    .await;
    let large = stage.node("etc/large").await;
    let impatient = Call { hold: Duration::from_secs(8), ..call() };
    assert!(is_later(stage.vfs.read(&large, 0, 10, &impatient).await));
    tokio::time::sleep(GONE).await;
    stage.assert_taken_back(1);
    stage.backend.release_jobs();
    assert_eq!(stage.vfs.read(&large, 0, 3, &call()).await.unwrap().segments.concat(), [7; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_was_asked_for_explicitly_goes_on_whoever_looks() {
    let stage = stage(|_| {}).await;
    let hosts = stage.node("etc/hosts").await;
    let mut progress = stage.vfs.collect(&hosts, &call());
    futures_util::StreamExt::next(&mut progress).await.unwrap();
    drop(progress);
    let mut progress = stage.vfs.refresh(&stage.node("etc").await, 1, &call());
    futures_util::StreamExt::next(&mut progress).await.unwrap();
    drop(progress);
    tokio::time::sleep(GONE * 3).await;
    assert_eq!(stage.backend.cancelled(), 0);
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(stage.record.cancelled(), vec!["the endpoint did not take it in time"; 2], "but not for ever");
}

#[tokio::test(start_paused = true)]
async fn what_waits_here_for_nobody_does_not_leave() {
    let directories = |backend: &FakeBackend| {
        for number in 0..30 {
            backend.add_file(CLIENT, "auto", &["etc", &format!("d{number:02}"), "x"], "x");
        }
    };
    let stage = stage(directories).await;
    stage.backend.release_jobs();
    stage.backend.set_latency(Duration::from_secs(1));
    stage.backend.set_tokens(0, Duration::from_secs(30), true);
    // Uses up the tokens that it is believed to have.
    for number in 0..13 {
        stage.list(stage.node(&format!("etc/d{number:02}")).await, 60).await.unwrap().unwrap();
    }
    let mut asked = Vec::new();
    for number in 13..30 {
        asked.push(stage.list(stage.node(&format!("etc/d{number:02}")).await, 8));
    }
    for answer in asked {
        assert!(is_later(answer.await.unwrap()));
    }
    tokio::time::sleep(GONE).await;
    let left = stage.backend.listings();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(stage.backend.listings(), left, "what had not left by then never does");
    assert!(left <= 2 + 13 + 5, "{left}");
    assert!(stage.vfs.activity().iter().all(|work| work.ended.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_joint_flow_stays_as_long_as_somebody_waits_for_a_part_of_it() {
    let directories = |backend: &FakeBackend| {
        for name in ["a", "b", "c", "d"] {
            backend.add_file(CLIENT, "auto", &["etc", name, "x"], "x");
        }
        backend.set_list_many(true);
    };
    let stage = stage(directories).await;
    let (a, b, c, d) =
        (stage.node("etc/a").await, stage.node("etc/b").await, stage.node("etc/c").await, stage.node("etc/d").await);
    let asked = [stage.list(a, 8), stage.list(b, 8), stage.list(c, 8)];
    let patient = stage.list(d, 200);
    for answer in asked {
        assert!(is_later(answer.await.unwrap()));
    }
    assert_eq!(stage.backend.listings(), 3, "two of before, and one for all four");
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(stage.backend.cancelled(), 0);
    assert!(is_later(patient.await.unwrap()));
    tokio::time::sleep(GONE).await;
    stage.assert_taken_back(1);
}
