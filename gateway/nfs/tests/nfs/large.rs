//! A directory of a hundred thousand entries, whose listing the server already holds.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use raptorgate_nfs::Server;
use vfs::backend::{
    Backend, Capabilities, ContentLocation, Delivery, EndpointChange, Job, JobEvent, JobPage, Listed, Observation,
    Presence, Upload,
};
use vfs::snapshot::{EntryFields, Rows, Times};
use vfs::testing::{AdmitAll, FakeBackend, MemoryStore, RecordNothing};
use vfs::{Clock, EndpointId, EndpointPath, FileType, Keys, Parts, Settings, Vfs};

use super::client::Client;

/// `inner`, but the directory `many` has so many entries.
struct Large {
    inner: Arc<FakeBackend>,
    count: usize,
}

fn name(number: usize) -> String {
    format!("entry-{number:06}")
}

#[async_trait]
impl Backend for Large {
    async fn held(&self, directory: &EndpointPath) -> vfs::Result<Option<Listed>> {
        if directory.name() != Some("many") {
            return self.inner.held(directory).await;
        }
        let now = self.inner.clock().now();
        let mut rows = Rows::new();
        for number in 0..self.count {
            let times = Times { modified: Some(now), ..Times::default() };
            assert!(rows.push(&EntryFields {
                name: &name(number),
                shown: None,
                file_type: FileType::Regular,
                mode: 0o644,
                size: number as u64,
                size_unknown: false,
                unfetchable: false,
                times,
                link: None,
                inline: None,
                details: None,
            }));
        }
        let observation =
            Observation { job: "F.1".into(), by: "colleague".into(), started: now, seen: now, first_row: 0 };
        Ok(Some(Listed { directory: directory.clone(), rows, observation, collected: Vec::new() }))
    }

    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> vfs::Result<Vec<Job>> {
        self.inner.submit(endpoint, delivery).await
    }

    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent> {
        self.inner.watch(job)
    }

    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> vfs::Result<Bytes> {
        self.inner.read(location, offset, length).await
    }

    fn jobs(&self, endpoint: &EndpointId) -> BoxStream<'static, vfs::Result<JobPage>> {
        self.inner.jobs(endpoint)
    }

    fn uploads(&self, job: &Job) -> BoxStream<'static, vfs::Result<Vec<Upload>>> {
        self.inner.uploads(job)
    }

    async fn cancel(&self, job: &Job) -> vfs::Result<()> {
        self.inner.cancel(job).await
    }

    fn endpoints(&self) -> BoxStream<'static, EndpointChange> {
        self.inner.endpoints()
    }

    async fn presence(&self, endpoint: &EndpointId) -> vfs::Result<Presence> {
        self.inner.presence(endpoint).await
    }

    async fn capabilities(&self, endpoint: &EndpointId) -> vfs::Result<Capabilities> {
        self.inner.capabilities(endpoint).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_entries_are_exactly_a_hundred_thousand() {
    let inner = super::backend();
    inner.add_directory("C.1", "auto", &["many"]);
    let clock = inner.clock();
    let vfs = Vfs::new(Parts {
        backend: Arc::new(Large { inner, count: 100_000 }),
        store: Arc::new(MemoryStore::default()),
        clock,
        keys: Keys::new(&[42; 32]),
        admission: Arc::new(AdmitAll),
        recorder: Arc::new(RecordNothing),
        settings: Settings { prefetch: false, ..Settings::default() },
    })
    .unwrap();
    let server = Server::start(vfs, super::config()).await.unwrap();
    let mut client = Client::connect(server.addresses()[0]);
    client.stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let many = client.mount("/C.1/auto/many");
    for is_plus in [true, false] {
        let all = client.list(&many, 0, is_plus, 65_536);
        assert_eq!(all.len(), 100_002);
        for (number, entry) in all[2..].iter().enumerate() {
            assert_eq!(entry.name, name(number));
            assert!(!is_plus || entry.attributes.as_ref().unwrap().size == number as u64);
        }
    }
}
