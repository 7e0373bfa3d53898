//! Large directories: the fake backend, but every directory called `many-N` is listed with N files.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use vfs::backend::{
    Backend, Capabilities, ContentLocation, Delivery, EndpointChange, Job, JobEvent, JobPage, Listed, Presence, Upload,
};
use vfs::principal::Recorder;
use vfs::snapshot::{EntryFields, Rows, Times};
use vfs::testing::{AdmitAll, FakeBackend, MemoryStore, RecordNothing};
use vfs::{EndpointId, EndpointPath, FileType, Keys, Result, Settings, Timestamp, Vfs};

/// A model over `backend` in which every directory `many-N` below `parent` has N files.
#[allow(dead_code)] // for what includes this file and needs no ledger
pub fn vfs(backend: &Arc<FakeBackend>) -> Vfs {
    recorded(backend, Arc::new(RecordNothing))
}

/// The same, with a ledger.
pub fn recorded(backend: &Arc<FakeBackend>, recorder: Arc<dyn Recorder>) -> Vfs {
    Vfs::new(vfs::Parts {
        clock: backend.clock(),
        backend: Arc::new(Large { inner: backend.clone() }),
        store: Arc::new(MemoryStore::default()),
        keys: Keys::new(&[42; 32]),
        admission: Arc::new(AdmitAll),
        recorder,
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

/// Files of the directory, if it is a large one.
fn count(directory: &EndpointPath) -> Option<u64> {
    directory.name()?.strip_prefix("many-")?.parse().ok()
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
        self.inner.held(directory).await
    }

    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>> {
        self.inner.submit(endpoint, delivery).await
    }

    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent> {
        let filled = |event| match event {
            JobEvent::Listed(mut listed) => {
                if let Some(count) = count(&listed.directory) {
                    listed.rows = rows(count);
                }
                JobEvent::Listed(listed)
            }
            event => event,
        };
        self.inner.watch(job).map(filled).boxed()
    }

    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> Result<Bytes> {
        self.inner.read(location, offset, length).await
    }

    fn jobs(&self, endpoint: &EndpointId) -> BoxStream<'static, Result<JobPage>> {
        self.inner.jobs(endpoint)
    }

    fn uploads(&self, job: &Job) -> BoxStream<'static, Result<Vec<Upload>>> {
        self.inner.uploads(job)
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
