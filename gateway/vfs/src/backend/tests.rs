//! Each layer over a backend that does what its script says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;
use crate::error::{Error, ErrorKind};

/// Answers of the calls in turn, however they are called; `true` and jobs when the script is over.
#[derive(Default)]
struct Scripted {
    script: Mutex<VecDeque<Error>>,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// News of each watching in turn.
    news: Mutex<VecDeque<Vec<JobEvent>>>,
    /// Calls end when this has permits.
    gate: Option<Semaphore>,
}

impl Scripted {
    fn failing(errors: impl IntoIterator<Item = Error>) -> Arc<Scripted> {
        Arc::new(Scripted { script: Mutex::new(errors.into_iter().collect()), ..Scripted::default() })
    }

    fn gated() -> Arc<Scripted> {
        Arc::new(Scripted { gate: Some(Semaphore::new(0)), ..Scripted::default() })
    }

    async fn call(&self) -> Result<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        self.script.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Backend for Scripted {
    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>> {
        self.call().await?;
        let job = |number| Job { endpoint: endpoint.clone(), id: format!("F.{}-{number}", self.calls()).into() };
        Ok((0..delivery.works.len()).map(job).collect())
    }

    fn watch(&self, _: &Job) -> BoxStream<'static, JobEvent> {
        match self.news.lock().unwrap().pop_front() {
            Some(news) => stream::iter(news).boxed(),
            None => stream::pending().boxed(),
        }
    }

    async fn held(&self, _: &EndpointPath) -> Result<Option<Listed>> {
        self.call().await.map(|()| None)
    }

    async fn read(&self, _: &ContentLocation, _: u64, _: u32) -> Result<Bytes> {
        self.call().await.map(|()| Bytes::from_static(b"x"))
    }

    async fn cancel(&self, _: &Job) -> Result<()> {
        self.call().await
    }

    fn endpoints(&self) -> BoxStream<'static, EndpointChange> {
        stream::pending().boxed()
    }

    fn jobs(&self, _: &EndpointId) -> BoxStream<'static, Result<JobPage>> {
        stream::empty().boxed()
    }

    fn uploads(&self, _: &Job) -> BoxStream<'static, Result<Vec<Upload>>> {
        stream::empty().boxed()
    }

    async fn presence(&self, _: &EndpointId) -> Result<Presence> {
        self.call().await.map(|()| Presence { last_seen: None })
    }

    async fn capabilities(&self, _: &EndpointId) -> Result<Capabilities> {
        self.call().await.map(|()| Capabilities::default())
    }
}

fn endpoint() -> EndpointId {
    EndpointId::root_org("C.1")
}

fn job() -> Job {
    Job { endpoint: endpoint(), id: "F.1".into() }
}

fn delivery(works: usize) -> Delivery {
    let directory = EndpointPath::accessor_root(endpoint(), "auto");
    Delivery {
        works: vec![Work::List { directory, depth: 0 }; works],
        principal: Principal::new("tester"),
        reason: Reason("test".into()),
        limits: Limits { timeout: Duration::ZERO, max_rows: 0, max_upload_bytes: 0, cpu_percent: 0 },
    }
}

async fn read(backend: &Arc<dyn Backend>) -> Result<Bytes> {
    backend.read(&ContentLocation { org: "root".into(), components: Vec::new() }, 0, 1).await
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_fails_in_time() {
    let backend = Layered::over(Scripted::gated(), Deadline::default());
    let started = Instant::now();
    let error = read(&backend).await.unwrap_err();
    assert_eq!((error.kind(), error.is_passing()), (ErrorKind::Backend, false));
    assert_eq!(started.elapsed(), Deadline::default().short);
    assert!(error.message().contains("read"), "{error}");
    let error = backend.submit(&endpoint(), delivery(1)).await.unwrap_err();
    assert!(error.message().contains("submit"), "{error}");
    assert_eq!(started.elapsed(), Deadline::default().short + Deadline::default().long);
}

#[tokio::test(start_paused = true)]
async fn what_a_broken_connection_failed_is_asked_again_and_a_submit_is_not() {
    let away = || Error::unreachable("connection refused");
    let scripted = Scripted::failing([away(), away(), away()]);
    let backend = Layered::over(scripted.clone(), Retry::default());
    assert_eq!(read(&backend).await.unwrap(), "x");
    assert_eq!(scripted.calls(), 4);

    // What will not change by asking again is told at once.
    scripted.script.lock().unwrap().push_back(Error::absent("no such upload"));
    assert_eq!(read(&backend).await.unwrap_err().kind(), ErrorKind::Absent);
    assert_eq!(scripted.calls(), 5);

    scripted.script.lock().unwrap().push_back(away());
    assert!(backend.submit(&endpoint(), delivery(1)).await.is_err());
    assert_eq!(scripted.calls(), 6, "a flow is never started twice");
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_is_waited_for_once() {
    let scripted = Scripted::failing(std::iter::repeat_n(Error::unreachable("connection refused"), 1_000));
    let backend = Layered::over(scripted.clone(), Retry::new(Duration::from_secs(10)));
    let started = Instant::now();
    read(&backend).await.unwrap_err();
    let first = started.elapsed();
    assert!(first >= Duration::from_secs(8) && first < Duration::from_secs(14), "{first:?}");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let started = Instant::now();
        read(&backend).await.unwrap_err();
        assert_eq!(started.elapsed(), Duration::ZERO, "the server is known to be away");
    }
    // It answers; when it goes away again, that is another outage.
    scripted.script.lock().unwrap().clear();
    read(&backend).await.unwrap();
    scripted.script.lock().unwrap().push_back(Error::unreachable("connection refused"));
    read(&backend).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn news_that_break_off_are_asked_for_again_until_the_end_was_told() {
    let ended = || JobEvent::Ended(Outcome::Finished { complaint: None });
    let scripted = Arc::new(Scripted::default());
    let told = |news: Vec<Vec<JobEvent>>| {
        *scripted.news.lock().unwrap() = news.into();
        let backend = Layered::over(scripted.clone(), Retry::default());
        async move { backend.watch(&job()).collect::<Vec<_>>().await }
    };
    let news = told(vec![vec![JobEvent::Delivered], Vec::new(), vec![JobEvent::Delivered, ended()]]).await;
    assert!(matches!(news.as_slice(), [JobEvent::Delivered, JobEvent::Delivered, JobEvent::Ended(_)]), "{news:?}");
    // After the end nobody asks, and not for ever before it.
    let news = told(vec![vec![ended(), JobEvent::Delivered], vec![JobEvent::Delivered]]).await;
    assert!(matches!(news.as_slice(), [JobEvent::Ended(_)]), "{news:?}");
    assert!(told(vec![Vec::new(); 20]).await.is_empty());
    assert!(scripted.news.lock().unwrap().len() > 10);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_reads_run_at_once() {
    let scripted = Scripted::gated();
    let backend = Layered::over(scripted.clone(), Limit::new(1, 3));
    let reads: Vec<_> = (0..10)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move { read(&backend).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scripted.calls(), 3);
    scripted.gate.as_ref().unwrap().add_permits(10);
    for read in reads {
        read.await.unwrap().unwrap();
    }
    assert_eq!((scripted.calls(), scripted.most_at_once.load(Ordering::SeqCst)), (10, 3));
}

#[tokio::test(start_paused = true)]
async fn flows_count_until_they_end_or_nobody_wants_them() {
    let scripted = Arc::new(Scripted::default());
    let backend = Layered::over(scripted.clone(), Limit::new(3, 1));
    let is_full = async || {
        let at = endpoint();
        let submitted = backend.submit(&at, delivery(1));
        match tokio::time::timeout(Duration::from_secs(1), submitted).await {
            Ok(jobs) => {
                backend.cancel(&jobs.unwrap()[0]).await.unwrap();
                false
            }
            Err(_) => true,
        }
    };
    let jobs = backend.submit(&endpoint(), delivery(3)).await.unwrap();
    assert!(is_full().await);
    // Taken back.
    backend.cancel(&jobs[0]).await.unwrap();
    assert!(!is_full().await);
    // Ended.
    let again = backend.submit(&endpoint(), delivery(1)).await.unwrap();
    assert!(is_full().await);
    scripted.news.lock().unwrap().push_back(vec![JobEvent::Ended(Outcome::Finished { complaint: None })]);
    let mut news = backend.watch(&again[0]);
    assert!(is_full().await);
    assert!(news.next().await.is_some());
    assert!(!is_full().await, "the end was told, though the stream is still there");
    // Nobody listens any more.
    let last = backend.submit(&endpoint(), delivery(1)).await.unwrap();
    let news = backend.watch(&last[0]);
    assert!(is_full().await);
    drop(news);
    assert!(!is_full().await);
    // One that did not start counts for nothing, and more works than there is room for wait for all of it.
    scripted.script.lock().unwrap().push_back(Error::backend("no"));
    backend.submit(&endpoint(), delivery(1)).await.unwrap_err();
    assert!(!is_full().await);
    for job in &jobs[1..] {
        backend.cancel(job).await.unwrap();
    }
    assert_eq!(backend.submit(&endpoint(), delivery(7)).await.unwrap().len(), 7);
    assert!(is_full().await);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_endpoint_holds_no_other_flow_up() {
    let backend = Layered::over(Arc::new(Scripted::default()), Limit::new(1, 1));
    let jobs = backend.submit(&endpoint(), delivery(1)).await.unwrap();
    let mut news = backend.watch(&jobs[0]);
    let _listens = tokio::spawn(async move { news.next().await });
    let begun = Instant::now();
    backend.submit(&endpoint(), delivery(1)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn calls_failures_and_times_are_counted() {
    let scripted = Scripted::failing([Error::backend("no")]);
    let metrics = Metrics::default();
    let backend = Layered::over(scripted, metrics.clone());
    read(&backend).await.unwrap_err();
    for _ in 0..3 {
        read(&backend).await.unwrap();
    }
    backend.submit(&endpoint(), delivery(2)).await.unwrap();
    let gated = Scripted::gated();
    let slow = Layered::over(gated.clone(), metrics.clone());
    let (_, answer) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            gated.gate.as_ref().unwrap().add_permits(1);
        },
        read(&slow)
    );
    answer.unwrap();
    let figures = metrics.figures();
    let read = figures["read"];
    assert_eq!((read.calls, read.failures), (5, 1));
    assert!(read.median_micros <= 1, "{read:?}");
    assert!(read.slowest_micros >= 3_000_000 && read.slowest_micros < 3_010_000, "{read:?}");
    assert_eq!(read.most_micros, read.slowest_micros);
    assert_eq!((figures["submit"].calls, figures["held"].calls), (1, 0));
}
