//! Large directories: the fake backend, but the directories called `many-N` are held by the server with N files.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use vfs::backend::{
    Backend, Capabilities, ContentLocation, Delivery, EndpointChange, Job, JobEvent, Listed, Observation, Presence,
};
use vfs::snapshot::{EntryFields, Rows, Times};
use vfs::testing::{AdmitAll, FakeBackend, MemoryStore, RecordNothing};
use vfs::{Clock, EndpointId, EndpointPath, FileType, Keys, Result, Settings, Timestamp, Vfs};

/// A model over `backend` in which every directory `many-N` below `parent` has N files.
pub fn vfs(backend: &Arc<FakeBackend>) -> Vfs {
    Vfs::new(vfs::Parts {
        clock: backend.clock(),
        backend: Arc::new(Large { inner: backend.clone() }),
        store: Arc::new(MemoryStore::default()),
        keys: Keys::new(&[42; 32]),
        admission: Arc::new(AdmitAll),
        recorder: Arc::new(RecordNothing),
        settings: Settings::default(),
    })
    .expect("a memory store can be read")
}

struct Large {
    inner: Arc<FakeBackend>,
}

/// The name of file `number`.
pub fn name(number: u64) -> String {
    format!("file-{number:06}.bin")
}

fn rows(count: u64) -> Rows {
    let mut rows = Rows::new();
    for number in 0..count {
        let time = Some(Timestamp::new(1_500_000_000 + i64::try_from(number).unwrap_or(0) * 61, 123_456_700));
        let fits = rows.push(&EntryFields {
            name: &name(number),
            shown: None,
            file_type: FileType::Regular,
            mode: 0o644,
            size: number * 7_919,
            size_unknown: false,
            unfetchable: false,
            times: Times { modified: time, accessed: time, changed: time, born: time },
            link: None,
            inline: None,
            details: None,
        });
        assert!(fits);
    }
    rows
}

#[async_trait]
impl Backend for Large {
    async fn held(&self, directory: &EndpointPath) -> Result<Option<Listed>> {
        let Some(count) =
            directory.name().and_then(|name| name.strip_prefix("many-")).and_then(|count| count.parse().ok())
        else {
            return self.inner.held(directory).await;
        };
        let now = self.inner.clock().now();
        let observation =
            Observation { job: "F.LARGE".into(), by: "test".into(), started: now, seen: now, first_row: 0 };
        Ok(Some(Listed { directory: directory.clone(), rows: rows(count), observation, collected: Vec::new() }))
    }

    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>> {
        self.inner.submit(endpoint, delivery).await
    }

    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent> {
        self.inner.watch(job)
    }

    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> Result<Bytes> {
        self.inner.read(location, offset, length).await
    }

    async fn cancel(&self, job: &Job) -> Result<()> {
        self.inner.cancel(job).await
    }

    fn endpoints(&self) -> BoxStream<'static, EndpointChange> {
        self.inner.endpoints()
    }

    async fn presence(&self, endpoint: &EndpointId) -> Result<Presence> {
        self.inner.presence(endpoint).await
    }

    async fn capabilities(&self, endpoint: &EndpointId) -> Result<Capabilities> {
        self.inner.capabilities(endpoint).await
    }
}
