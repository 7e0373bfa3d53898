//! What the tests of the driver share: deliveries, and waiting for jobs.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use raptorgate_velociraptor::Driver;
use vfs::backend::{
    Backend as _, Complaint, Delivery, Failure, Fetched, FetchedRange, FileState, Job, JobEvent, JobPage, JobSummary,
    Limits, Listed, Outcome, Upload, Work,
};
use vfs::snapshot::Rows;
use vfs::{EndpointId, EndpointPath, FileType, Principal, Reason, Timestamp};

/// Shows the driver's log if `RUST_LOG` asks for it.
pub fn show_log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Another test of this program has done it already: that is as good.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// How the driver reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Grpc,
    Gui,
}

/// What a job gave.
#[derive(Debug, Default)]
pub struct Seen {
    pub delivered: bool,
    pub listed: Vec<Listed>,
    pub fetched: Vec<Fetched>,
    pub progress: Vec<(u64, u64)>,
    /// Directories that were told before the job was over.
    pub early: usize,
    pub outcome: Option<Outcome>,
}

impl Seen {
    pub fn complaint(&self) -> Option<&Complaint> {
        match self.outcome.as_ref().unwrap() {
            Outcome::Finished { complaint } => complaint.as_ref(),
            other => panic!("the job failed: {other:?}"),
        }
    }

    pub fn failure(&self) -> Failure {
        match self.outcome.as_ref().unwrap() {
            Outcome::Failed { failure, .. } => *failure,
            other => panic!("the job did not fail: {other:?}"),
        }
    }

    pub fn only_listing(&self) -> &Listed {
        assert_eq!(self.listed.len(), 1, "one directory: {:?}", self.outcome);
        &self.listed[0]
    }
}

pub fn path(endpoint: &EndpointId, accessor: &str, directory: &Path) -> EndpointPath {
    let root = EndpointPath::accessor_root(endpoint.clone(), accessor);
    directory
        .components()
        .filter_map(|component| match component {
            std::path::Component::Normal(name) => Some(name.to_str().unwrap()),
            _ => None,
        })
        .fold(root, |path, name| path.child(name).unwrap())
}

pub fn delivery(works: Vec<Work>) -> Delivery {
    Delivery {
        works,
        principal: Principal::new("alice"),
        reason: Reason("READDIR /x".into()),
        limits: Limits {
            timeout: Duration::from_secs(120),
            max_rows: 1_000_000,
            max_upload_bytes: 1 << 30,
            cpu_percent: 0,
        },
    }
}

/// The ranges are those that were asked for, of the state that the file on disk has.
pub fn assert_ranges(seen: &Seen, on_disk: &Path, asked: &[(u64, u64)]) {
    let metadata = std::fs::metadata(on_disk).unwrap();
    let modified = Timestamp::new(metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap());
    let state = FileState { size: metadata.len(), modified: Some(modified) };
    let ranges: Vec<_> = seen.fetched.iter().map(|fetched| fetched.range.unwrap()).collect();
    let expected: Vec<_> = asked.iter().map(|&(offset, length)| FetchedRange { offset, length, state }).collect();
    assert_eq!(ranges, expected);
}

pub async fn submit(driver: &Driver, endpoint: &EndpointId, work: Work) -> Job {
    driver.submit(endpoint, delivery(vec![work])).await.unwrap().remove(0)
}

/// Watches a job to its end.
pub async fn wait(driver: &Driver, job: &Job) -> Seen {
    let mut events = driver.watch(job);
    let mut seen = Seen::default();
    let everything = async {
        while let Some(event) = events.next().await {
            assert!(seen.outcome.is_none(), "nothing comes after the end");
            match event {
                JobEvent::Delivered => seen.delivered = true,
                JobEvent::Listed(listed) => seen.listed.push(listed),
                JobEvent::Progress { rows, bytes } => {
                    seen.early = seen.listed.len();
                    seen.progress.push((rows, bytes));
                }
                JobEvent::Fetched(fetched) => seen.fetched.push(fetched),
                JobEvent::Ended(outcome) => seen.outcome = Some(outcome),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(180), everything).await.expect("the job ends");
    assert!(seen.outcome.is_some(), "the stream ends with the outcome");
    seen
}

pub async fn run(driver: &Driver, endpoint: &EndpointId, work: Work) -> Seen {
    let job = submit(driver, endpoint, work).await;
    wait(driver, &job).await
}

/// Compares a listing with the directory on this machine's disk.
pub fn assert_equals_disk(rows: &Rows, directory: &Path) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let listed: BTreeMap<&str, _> = rows.iter().map(|row| (row.name(), row)).collect();
    assert_eq!(listed.len(), rows.len(), "no name twice in {directory:?}");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let metadata = std::fs::symlink_metadata(entry.path()).unwrap();
        let row = listed.get(name.as_str()).unwrap_or_else(|| panic!("{name:?} is missing in {directory:?}"));
        let file_type = metadata.file_type();
        let expected = if file_type.is_dir() {
            FileType::Directory
        } else if file_type.is_symlink() {
            FileType::Symlink
        } else {
            FileType::Regular
        };
        assert_eq!(row.file_type(), expected, "{name:?}");
        assert_eq!(u32::from(row.mode()), metadata.permissions().mode() & 0o7777, "{name:?}");
        assert_eq!(row.size(), metadata.len(), "{name:?}");
        let modified = Timestamp::new(metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap());
        assert_eq!(row.times().modified, Some(modified), "{name:?}");
        let link = std::fs::read_link(entry.path()).ok();
        assert_eq!(row.link(), link.as_deref().map(|link| link.to_str().unwrap()), "{name:?}");
        count += 1;
    }
    assert_eq!(rows.len(), count, "{directory:?}");
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// All that the server remembers of an endpoint's flows.
pub async fn jobs(driver: &Driver, endpoint: &EndpointId) -> Vec<JobSummary> {
    let pages: Vec<_> = driver.jobs(endpoint).collect().await;
    let pages: Vec<JobPage> = pages.into_iter().collect::<vfs::Result<_>>().unwrap();
    let total = pages.last().unwrap().total;
    let jobs: Vec<JobSummary> = pages.into_iter().flat_map(|page| page.jobs).collect();
    assert_eq!(jobs.len() as u64, total);
    jobs
}

/// What a flow uploaded, in the order of its components.
pub async fn uploads(driver: &Driver, endpoint: &EndpointId, flow: &str) -> Vec<Upload> {
    let pages: Vec<_> = driver.uploads(&Job { endpoint: endpoint.clone(), id: flow.into() }).collect().await;
    let mut uploads: Vec<Upload> = pages.into_iter().flat_map(Result::unwrap).collect();
    uploads.sort_by(|one, other| one.components.cmp(&other.components));
    uploads
}

/// Reads a whole content as the VFS would, in pieces.
pub async fn read_all(driver: &Driver, content: &vfs::backend::FetchedContent) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < content.size {
        let wanted = (content.size - bytes.len() as u64).min(3 << 20);
        let piece = driver.read(&content.location, bytes.len() as u64, u32::try_from(wanted).unwrap()).await.unwrap();
        assert_eq!(piece.len() as u64, wanted, "no short read before the end");
        bytes.extend_from_slice(&piece);
    }
    assert!(driver.read(&content.location, content.size, 10).await.unwrap().is_empty(), "nothing after the end");
    bytes
}
