//! Listings of one endpoint that are wanted together leave together, the important ones first, and nothing is lost (D30).

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use vfs::backend::Work;
use vfs::testing::{FakeBackend, call, vfs};
use vfs::{Call, Error, ErrorKind, Node, Principal, Protocol, Vfs};

use crate::{CLIENT, backend, find, know, names, path};

const REFILL: Duration = Duration::from_secs(30);

/// `/d00` to `/d49` with one file each, and an endpoint that takes a second for a job.
async fn wide(able: bool, tokens: u32, websocket: bool) -> (Arc<FakeBackend>, Vfs) {
    let backend = backend();
    for number in 0..50 {
        backend.add_file(CLIENT, "auto", &[&format!("d{number:02}"), &format!("of {number}")], "x");
    }
    backend.set_list_many(able);
    let vfs = vfs(&backend);
    know(&vfs).await;
    names(&vfs, &path("")).await.unwrap();
    backend.set_latency(Duration::from_secs(1));
    backend.set_tokens(tokens, REFILL, websocket);
    (backend, vfs)
}

async fn node(vfs: &Vfs, name: &str) -> Node {
    find(vfs, &path(name)).await.unwrap().node
}

fn as_principal(name: &str) -> Call {
    Call::new(Principal::new(name), Protocol::Nfs, Duration::from_secs(600))
}

type Answer = JoinHandle<(Result<Vec<String>, Error>, Duration)>;

/// Somebody opens a directory: what he sees, and how long it took.
async fn open(vfs: &Vfs, principal: &str, directory: &str) -> Answer {
    list(vfs, principal, node(vfs, directory).await)
}

fn list(vfs: &Vfs, principal: &str, node: Node) -> Answer {
    let (vfs, call) = (vfs.clone(), as_principal(principal));
    tokio::spawn(async move {
        let begun = Instant::now();
        let listing = vfs.list(&node, &call).await;
        let name = |listing: vfs::Listing| {
            (0..listing.len()).map(|at| listing.name(at, vfs::Profile::Posix).into_owned()).collect()
        };
        (listing.map(name), begun.elapsed())
    })
}

/// `/d00` and following are opened at the same moment.
async fn open_at_once(vfs: &Vfs, how_many: usize, principal: impl Fn(usize) -> String) -> Vec<Answer> {
    let mut nodes = Vec::new();
    for number in 0..how_many {
        nodes.push(node(vfs, &format!("d{number:02}")).await);
    }
    nodes.into_iter().enumerate().map(|(number, node)| list(vfs, &principal(number), node)).collect()
}

/// Twenty users open twenty directories. How long the last one waited.
async fn twenty(vfs: &Vfs) -> Duration {
    let opened = open_at_once(vfs, 20, |number| format!("user {number}")).await;
    let mut longest = Duration::ZERO;
    for (number, answer) in opened.into_iter().enumerate() {
        let (names, took) = answer.await.unwrap();
        assert_eq!(names.unwrap(), [format!("of {number}")]);
        longest = longest.max(took);
    }
    longest
}

/// What happens behind the answers' backs gets a moment for it.
async fn settles(has: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if has() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Uses up the endpoint's tokens, so that it is known how it takes work.
async fn exhaust(vfs: &Vfs) {
    for number in 30..43 {
        open(vfs, "somebody", &format!("d{number}")).await.await.unwrap().0.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_demand_leaves_at_once() {
    let (_backend, vfs) = wide(true, 10, false).await;
    let (names, took) = open(&vfs, "me", "d07").await.await.unwrap();
    assert_eq!(names.unwrap(), ["of 7"]);
    assert_eq!(took, Duration::from_secs(1), "as long as the job, and no longer");
}

#[tokio::test(start_paused = true)]
async fn twenty_users_cost_at_most_two_deliveries() {
    for (able, websocket, jobs) in [(true, false, 2), (true, true, 2), (false, false, 20)] {
        let (backend, vfs) = wide(able, 10, websocket).await;
        let before = backend.listings();
        let took = twenty(&vfs).await;
        let (started, deliveries) = (backend.listings() - before, backend.deliveries());
        assert!(started <= jobs && deliveries <= 2, "able: {able}: {started} jobs, {deliveries} deliveries");
        assert!(took <= Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn on_an_empty_bucket_all_wait_once() {
    for (able, websocket) in [(true, false), (true, true)] {
        let (backend, vfs) = wide(able, 0, websocket).await;
        exhaust(&vfs).await;
        let before = backend.deliveries();
        let took = twenty(&vfs).await;
        assert_eq!(backend.deliveries() - before, 1, "able: {able}, websocket: {websocket}");
        assert!(took <= REFILL + Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_polls_takes_all_with_one_token_even_without_our_artifacts() {
    let (backend, vfs) = wide(false, 0, false).await;
    exhaust(&vfs).await;
    let before = backend.deliveries();
    let took = twenty(&vfs).await;
    assert!(backend.deliveries() - before <= 2);
    assert!(took <= REFILL + Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn on_a_websocket_without_our_artifacts_one_leaves_with_each_token_and_nothing_is_lost() {
    let (backend, vfs) = wide(false, 0, true).await;
    exhaust(&vfs).await;
    let before = backend.listings();
    let took = twenty(&vfs).await;
    assert_eq!(backend.listings() - before, 20);
    assert!(took >= REFILL * 18, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn each_directory_of_a_joint_job_has_its_own_outcome() {
    let (backend, vfs) = wide(true, 10, false).await;
    let (denied, gone) = (node(&vfs, "d02").await, node(&vfs, "d03").await);
    let empty = node(&vfs, "empty").await;
    backend.deny(CLIENT, "auto", &["d02"]);
    backend.remove(CLIENT, "auto", &["d03"]);
    let mut opened = Vec::new();
    for node in [node(&vfs, "d01").await, denied, gone, empty] {
        let vfs = vfs.clone();
        opened.push(tokio::spawn(async move { vfs.list(&node, &call()).await.map(|listing| listing.len()) }));
    }
    let mut outcomes = Vec::new();
    for answer in opened {
        outcomes.push(answer.await.unwrap());
    }
    assert_eq!(outcomes[0], Ok(1));
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(outcomes[2].as_ref().unwrap_err().kind(), ErrorKind::Backend, "never empty");
    assert_eq!(outcomes[3], Ok(0));
    assert!(backend.works().iter().any(|(work, _)| matches!(work, Work::ListMany { .. })));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(find(&vfs, &path("d03")).await.unwrap_err().kind(), ErrorKind::Absent, "its parent was looked at again");
}

#[tokio::test(start_paused = true)]
async fn a_joint_job_that_is_lost_loses_nothing() {
    let (backend, vfs) = wide(true, 10, true).await;
    backend.lose_jobs(2);
    twenty(&vfs).await;
    backend.lose_jobs(100);
    let (one, other) = (open(&vfs, "a", "d30").await, open(&vfs, "b", "d31").await);
    for answer in [one, other] {
        assert_eq!(answer.await.unwrap().0.unwrap_err().kind(), ErrorKind::Backend, "not for ever");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_goes_away_is_told_to_all_who_left_together() {
    let (backend, vfs) = wide(true, 10, false).await;
    backend.hold_jobs();
    let before = backend.listings();
    let opened = open_at_once(&vfs, 10, |_| "me".into()).await;
    // The first has left, and then the others together.
    settles(|| vfs.activity().iter().filter(|work| work.job.is_some() && work.ended.is_none()).count() == 10).await;
    let left = backend.listings() - before;
    assert!(left <= 2, "{left}");
    backend.set_online(CLIENT, false);
    for answer in opened {
        assert_eq!(answer.await.unwrap().0.unwrap_err().kind(), ErrorKind::Offline);
    }
    settles(|| backend.cancelled() == left).await;
    assert_eq!(backend.cancelled(), left, "the flows are taken back");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_token_is_told_as_such_and_is_not_offline() {
    let (backend, vfs) = wide(false, 0, false).await;
    exhaust(&vfs).await;
    let (slow, waiting) = (node(&vfs, "d44").await, open(&vfs, "me", "d45").await);
    let impatient = Call { hold: Duration::from_secs(8), ..call() };
    let error = vfs.list(&slow, &impatient).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Later { .. }), "{error:?}");
    assert!(error.message().contains("is expected at 2026-01-01T"), "{error}");
    assert!(vfs.endpoints().iter().any(|endpoint| endpoint.online && endpoint.takes_work_at.is_some()));
    let waits = vfs.activity().iter().filter(|work| work.waits_until.is_some()).count();
    assert_eq!(waits, 2);
    let why = crate::content(&vfs, &path("d44/.raptorgate/why.txt")).await.unwrap();
    assert!(String::from_utf8(why).unwrap().contains("It is not offline"));
    assert_eq!(waiting.await.unwrap().0.unwrap(), ["of 45"]);
    settles(|| vfs.activity().iter().all(|work| work.waits_until.is_none())).await;
    assert!(vfs.activity().iter().all(|work| work.waits_until.is_none()), "told only while it waits");
    assert_eq!(backend.cancelled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_waits_for_a_token_says_so() {
    let (_backend, vfs) = wide(false, 0, false).await;
    exhaust(&vfs).await;
    assert_eq!(open(&vfs, "me", "d44").await.await.unwrap().0.unwrap(), ["of 44"]);
    let file = node(&vfs, "d44/of 44").await;
    let impatient = Call { hold: Duration::from_secs(8), ..call() };
    let error = vfs.read(&file, 0, 1, &impatient).await.unwrap_err();
    assert!(error.message().contains("is expected at 2026-01-01T"), "{error}");
    let waits = |vfs: &Vfs| vfs.activity().iter().filter(|work| work.waits_until.is_some()).count();
    assert_eq!(waits(&vfs), 1);
    assert_eq!(vfs.read(&file, 0, 1, &as_principal("me")).await.unwrap().segments.concat(), b"x");
    settles(|| waits(&vfs) == 0).await;
    assert_eq!(waits(&vfs), 0, "told only while it waits");
}

#[tokio::test(start_paused = true)]
async fn who_wants_one_directory_does_not_wait_behind_who_wants_many() {
    let (_backend, vfs) = wide(false, 0, true).await;
    exhaust(&vfs).await;
    let mut greedy = Vec::new();
    for number in 0..15 {
        greedy.push(open(&vfs, "greedy", &format!("d{number:02}")).await);
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    let modest = open(&vfs, "modest", "d20").await;
    let (names, took) = modest.await.unwrap();
    assert_eq!(names.unwrap(), ["of 20"]);
    assert!(took <= REFILL * 2 + Duration::from_secs(2), "{took:?}");
    assert!(greedy.iter().filter(|answer| answer.is_finished()).count() <= 2);
    for answer in greedy {
        answer.await.unwrap().0.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_leaves_last() {
    let (backend, vfs) = wide(false, 0, true).await;
    exhaust(&vfs).await;
    // Old enough to be looked at again behind the reader's back, whatever it costs.
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    exhaust_again(&vfs).await;
    let before = backend.works().len();
    let stale = open(&vfs, "me", "d30").await;
    assert_eq!(stale.await.unwrap().0.unwrap(), ["of 30"], "served at once");
    let person = open(&vfs, "me", "d21").await;
    person.await.unwrap().0.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let order: Vec<String> = backend.works()[before..]
        .iter()
        .map(|(work, _)| match work {
            Work::List { directory, .. } => directory.name().unwrap_or_default().to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(order.first().map(String::as_str), Some("d21"), "{order:?}");
    assert!(order.iter().any(|name| name == "d30"), "{order:?}");
}

/// Directories that were never listed, until the bucket is empty.
async fn exhaust_again(vfs: &Vfs) {
    for number in 0..12 {
        open(vfs, "somebody", &format!("d{number:02}")).await.await.unwrap().0.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_elsewhere_does_not_wait_for_a_walk() {
    let (backend, vfs) = wide(true, 10, false).await;
    for number in 0..5 {
        backend.add_directory(CLIENT, "auto", &["srv", &number.to_string(), "below"]);
    }
    backend.set_latency(Duration::from_secs(1));
    let srv = as_principal("walker");
    let refreshed = node(&vfs, "").await;
    let mut progress = vfs.refresh(&refreshed, 0, &call());
    while futures_util::StreamExt::next(&mut progress).await.is_some() {}
    for place in ["srv", "srv/0/below"] {
        let node = find_slowly(&vfs, place, &srv).await;
        if place == "srv/0/below" {
            // Its deep listing takes very long.
            backend.set_latency(Duration::from_secs(600));
        }
        let vfs = vfs.clone();
        let srv = srv.clone();
        let listing = tokio::spawn(async move { vfs.list(&node, &srv).await.map(|listing| listing.len()) });
        tokio::time::sleep(Duration::from_millis(1_001)).await;
        drop(listing);
    }
    assert!(vfs.activity().iter().any(|work| work.work == "list ahead of a walk" && work.ended.is_none()));
    backend.set_latency(Duration::from_secs(1));
    let (names, took) = open(&vfs, "me", "d09").await.await.unwrap();
    assert_eq!(names.unwrap(), ["of 9"]);
    assert_eq!(took, Duration::from_secs(1));
}

async fn find_slowly(vfs: &Vfs, place: &str, call: &Call) -> Node {
    crate::find_as(vfs, &path(place), call).await.unwrap().node
}
