//! `offline: queue`: work for an endpoint that is away waits on the server, is there when the endpoint returns, and is taken back when it
//! does not (D17).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vfs::store::Store;
use vfs::testing::{FakeBackend, MemoryStore, call, vfs_with};
use vfs::{Call, Error, ErrorKind, Node, Settings, Vfs};

use crate::{CLIENT, backend, content, find, know, path, read_all};

const DAYS: Duration = Duration::from_secs(72 * 3_600);
const A_DAY: Duration = Duration::from_secs(24 * 3_600);
/// What happens when the endpoint is back has happened by then.
const SOON: Duration = Duration::from_secs(5);

struct Stage {
    backend: Arc<FakeBackend>,
    store: Arc<MemoryStore>,
    vfs: Vfs,
}

fn settings() -> Settings {
    Settings { queue_offline: Some(DAYS), prefetch: false, ..Settings::default() }
}

/// An endpoint whose root and `etc` were listed, and that is away now.
async fn stage() -> Stage {
    let (backend, store) = (backend(), Arc::<MemoryStore>::default());
    let vfs = vfs_with(&backend, &store, settings());
    know(&vfs).await;
    find(&vfs, &path("etc/ssh")).await.unwrap();
    backend.set_online(CLIENT, false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    Stage { backend, store, vfs }
}

impl Stage {
    async fn node(&self, name: &str) -> Node {
        find(&self.vfs, &path(name)).await.unwrap().node
    }

    /// What somebody hears who asks for a directory, at once.
    async fn refused(&self, node: &Node) -> String {
        refused(&self.vfs, node).await
    }

    /// How many flows wait.
    fn waiting(&self) -> usize {
        self.vfs.activity().iter().filter(|work| work.queued_until.is_some()).count()
    }

    fn comes_back(&self) {
        self.backend.set_online(CLIENT, true);
    }

    /// The same gateway after it was killed and started again.
    async fn restarted(self) -> Stage {
        let store = self.store.after_a_kill();
        let vfs = vfs_with(&self.backend, &store, settings());
        Stage { store, vfs, ..self }
    }
}

async fn refused(vfs: &Vfs, node: &Node) -> String {
    let begun = Instant::now();
    let error = vfs.list(node, &call()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Offline, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "the answer is prompt");
    error.message().to_owned()
}

/// What is here, without waiting for anything.
async fn here(vfs: &Vfs, node: &Node) -> Result<u32, Error> {
    vfs.list(node, &Call { hold: Duration::ZERO, ..call() }).await.map(|listing| listing.len())
}

#[tokio::test(start_paused = true)]
async fn a_listing_waits_on_the_server_and_is_there_when_the_endpoint_is() {
    let stage = stage().await;
    let (ssh, before) = (stage.node("etc/ssh").await, stage.backend.listings());
    let said = stage.refused(&ssh).await;
    let flow = format!("F.{}", before + 1);
    assert!(said.contains(&format!("flow {flow} waits on the server until 2026-01-04T")), "{said}");
    assert_eq!(stage.refused(&ssh).await, said, "who asks again joins it");
    let why = String::from_utf8(content(&stage.vfs, &path("etc/ssh/.raptorgate/why.txt")).await.unwrap()).unwrap();
    assert!(why.contains(&format!("Flow {flow} for /{CLIENT}/auto/etc/ssh waits on the server until")), "{why}");
    let known = stage.vfs.provenance(&ssh).await.unwrap();
    assert_eq!(known["queued"]["flow"], flow.as_str());
    assert_eq!(stage.waiting(), 1);
    tokio::time::sleep(A_DAY).await;
    assert_eq!((stage.backend.listings() - before, stage.backend.cancelled()), (1, 0));
    stage.comes_back();
    tokio::time::sleep(SOON).await;
    stage.backend.set_online(CLIENT, false);
    assert_eq!(here(&stage.vfs, &ssh).await, Ok(1), "nobody asked for it meanwhile");
    assert_eq!((stage.waiting(), stage.store.jobs().unwrap().len()), (0, 0));
    assert_eq!(stage.backend.listings() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_waits_on_the_server_too() {
    let stage = stage().await;
    let hosts = stage.node("etc/hosts").await;
    for _ in 0..2 {
        let error = stage.vfs.read(&hosts, 0, 10, &call()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Offline);
        assert!(error.message().contains("waits on the server"), "{error}");
    }
    assert_eq!(stage.vfs.provenance(&hosts).await.unwrap()["queued"]["flow"], "F.3");
    tokio::time::sleep(A_DAY).await;
    stage.comes_back();
    tokio::time::sleep(SOON).await;
    stage.backend.set_online(CLIENT, false);
    assert_eq!(read_all(&stage.vfs, &hosts).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!(stage.backend.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_large_file_wait_as_the_whole_file() {
    let (backend, store) = (backend(), Arc::<MemoryStore>::default());
    backend.add_file(CLIENT, "auto", &["etc", "large"], vec![7; 40 << 20]);
    backend.set_ranges(true);
    let vfs = vfs_with(&backend, &store, settings());
    know(&vfs).await;
    let large = find(&vfs, &path("etc/large")).await.unwrap().node;
    backend.set_online(CLIENT, false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let error = vfs.read(&large, 0, 10, &call()).await.unwrap_err();
    assert!(error.message().contains("waits on the server"), "{error}");
    backend.set_online(CLIENT, true);
    tokio::time::sleep(SOON).await;
    assert_eq!(vfs.read(&large, 39 << 20, 3, &call()).await.unwrap().segments.concat(), [7; 3]);
    assert_eq!((backend.fetches(), backend.range_bytes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn it_waits_across_restarts_and_who_asks_then_joins_it() {
    let mut stage = stage().await;
    let (ssh, hosts, listings) = (stage.node("etc/ssh").await, stage.node("etc/hosts").await, stage.backend.listings());
    let said = stage.refused(&ssh).await;
    stage.vfs.read(&hosts, 0, 10, &call()).await.unwrap_err();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        stage = stage.restarted().await;
        // At once: the server has not named its endpoints yet.
        assert_eq!(stage.refused(&ssh).await, said);
        know(&stage.vfs).await;
        assert_eq!(stage.refused(&ssh).await, said);
        assert_eq!(stage.waiting(), 2);
    }
    stage.comes_back();
    tokio::time::sleep(SOON).await;
    assert_eq!(here(&stage.vfs, &ssh).await, Ok(1));
    assert_eq!(read_all(&stage.vfs, &hosts).await.unwrap(), b"127.0.0.1 localhost\n");
    assert_eq!((stage.backend.listings() - listings, stage.backend.fetches()), (1, 1));
    assert_eq!(stage.store.jobs().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn who_asks_when_the_endpoint_is_back_waits_for_what_is_on_its_way() {
    let stage = stage().await;
    let (ssh, before) = (stage.node("etc/ssh").await, stage.backend.listings());
    stage.refused(&ssh).await;
    stage.backend.hold_jobs();
    stage.comes_back();
    tokio::time::sleep(SOON).await;
    let vfs = stage.vfs.clone();
    let asks = tokio::spawn(async move { vfs.list(&ssh, &call()).await.map(|listing| listing.len()) });
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.backend.release_jobs();
    assert_eq!(asks.await.unwrap(), Ok(1));
    assert_eq!(stage.backend.listings() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_soon_is_not_waited_for_in_vain() {
    let stage = stage().await;
    let ssh = stage.node("etc/ssh").await;
    stage.refused(&ssh).await;
    let queued = stage.backend.listings();
    stage.backend.hold_jobs();
    stage.comes_back();
    tokio::time::sleep(SOON).await;
    let vfs = stage.vfs.clone();
    let patient = Call { hold: Duration::from_secs(100), ..call() };
    let asks = tokio::spawn(async move { vfs.list(&ssh, &patient).await.map(|listing| listing.len()) });
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(stage.backend.listings() - queued, 1, "a flow of his own");
    stage.backend.release_jobs();
    assert_eq!(asks.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_return_in_time_finds_nothing_to_do() {
    let mut stage = stage().await;
    let ssh = stage.node("etc/ssh").await;
    stage.refused(&ssh).await;
    tokio::time::sleep(A_DAY).await;
    stage = stage.restarted().await;
    know(&stage.vfs).await;
    tokio::time::sleep(A_DAY * 2 - Duration::from_secs(60)).await;
    assert_eq!((stage.backend.cancelled(), stage.waiting()), (0, 1));
    tokio::time::sleep(Duration::from_secs(120)).await;
    // The process of before is no ghost here: it takes back what it knows of, too.
    assert_eq!((stage.backend.cancelled(), stage.waiting()), (2, 0));
    assert_eq!(stage.store.jobs().unwrap(), []);
    let ended: Vec<_> = stage.vfs.activity().into_iter().filter_map(|work| work.ended).collect();
    assert!(ended.iter().any(|end| end.contains("did not come back before the end date")), "{ended:?}");
    stage.refused(&ssh).await;
    assert_eq!(stage.waiting(), 1, "who asks again begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_walk_leaves_an_endpoint_only_so_much_to_do() {
    let (backend, store) = (backend(), Arc::<MemoryStore>::default());
    for number in 0..30 {
        backend.add_file(CLIENT, "auto", &["etc", &format!("d{number:02}"), "x"], "x");
    }
    let vfs = vfs_with(&backend, &store, settings());
    know(&vfs).await;
    find(&vfs, &path("etc/d00")).await.unwrap();
    backend.set_online(CLIENT, false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = backend.listings();
    let mut left_out = 0;
    for number in 0..30 {
        let node = find(&vfs, &path(&format!("etc/d{number:02}"))).await.unwrap().node;
        left_out += usize::from(refused(&vfs, &node).await.contains("no flow waits for its return: 20 others do"));
    }
    assert_eq!((backend.listings() - before, left_out), (20, 10));
}

#[tokio::test(start_paused = true)]
async fn somebody_can_take_it_back() {
    let stage = stage().await;
    let (ssh, before) = (stage.node("etc/ssh").await, stage.backend.listings());
    stage.refused(&ssh).await;
    let flow = format!("F.{}", before + 1);
    stage.vfs.cancel(&flow, &call()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((stage.waiting(), stage.backend.cancelled(), stage.store.jobs().unwrap().len()), (0, 1, 0));
    let said = stage.refused(&ssh).await;
    assert!(!said.contains(&format!("{flow} ")), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_lost_on_the_endpoints_return_is_queued_again_but_not_for_ever() {
    for (losses, comes) in [(1, true), (2, true), (100, false)] {
        let stage = stage().await;
        let (ssh, before) = (stage.node("etc/ssh").await, stage.backend.listings());
        stage.backend.lose_jobs(losses);
        stage.refused(&ssh).await;
        stage.comes_back();
        tokio::time::sleep(Duration::from_secs(300)).await;
        stage.backend.set_online(CLIENT, false);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(stage.backend.listings() - before, (losses + 1).min(3));
        assert_eq!((stage.waiting(), stage.store.jobs().unwrap().len()), (0, 0));
        assert_eq!(here(&stage.vfs, &ssh).await.is_ok(), comes);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_while_it_is_to_be_queued_again_is_not() {
    let stage = stage().await;
    let (ssh, before) = (stage.node("etc/ssh").await, stage.backend.listings());
    stage.backend.lose_jobs(1);
    stage.refused(&ssh).await;
    stage.comes_back();
    tokio::time::sleep(SOON).await;
    stage.vfs.cancel(&format!("F.{}", before + 1), &call()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!((stage.backend.listings() - before, stage.store.jobs().unwrap().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_goes_away_while_it_is_asked_is_waited_for() {
    let stage = stage().await;
    stage.comes_back();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let ssh = stage.node("etc/ssh").await;
    stage.backend.hold_jobs();
    let vfs = stage.vfs.clone();
    let asks = tokio::spawn(async move { vfs.list(&ssh, &call()).await.map(|listing| listing.len()) });
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.backend.set_online(CLIENT, false);
    let error = asks.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Offline);
    assert!(error.message().contains("waits on the server"), "{error}");
    stage.backend.release_jobs();
    stage.comes_back();
    tokio::time::sleep(SOON).await;
    assert_eq!(here(&stage.vfs, &ssh).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_cached_of_it_is_served_and_starts_nothing() {
    let stage = stage().await;
    let (etc, before) = (stage.node("etc").await, stage.backend.listings());
    tokio::time::sleep(A_DAY * 2).await;
    assert_eq!(stage.vfs.list(&etc, &call()).await.unwrap().len(), 4, "however old");
    assert_eq!((stage.backend.listings(), stage.waiting()), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_return_brought_is_not_shown_to_whoever_can_have_a_new_listing_when_it_is_a_day_old() {
    let stage = stage().await;
    let ssh = stage.node("etc/ssh").await;
    stage.backend.set_latency(SOON);
    stage.refused(&ssh).await;
    stage.comes_back();
    tokio::time::sleep(SOON / 2).await;
    // As after a suspension: the endpoint ran it long ago, and its news are heard only now.
    stage.backend.add_file(CLIENT, "auto", &["etc", "ssh", "later"], "x");
    tokio::time::advance(2 * A_DAY).await;
    let patient = Call { hold: Duration::from_secs(60), ..call() };
    let listing = stage.vfs.list(&ssh, &patient).await.unwrap();
    let names: Vec<_> = (0..listing.len()).map(|at| listing.name(at, vfs::Profile::Posix).into_owned()).collect();
    assert!(names.iter().any(|name| name == "later"), "{names:?}");
}
