//! Flows started by hand, each as the driver starts it: what the gateway's way is compared with.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use vfs::backend::{Backend as _, Delivery, FetchedContent, Job, JobEvent, Limits, Outcome, Work};
use vfs::snapshot::Rows;
use vfs::{EndpointId, EndpointPath, Principal, Reason};

use crate::deployment::Server;

/// A path on an endpoint.
pub fn path(client: &str, components: &[impl AsRef<str>]) -> EndpointPath {
    let root = EndpointPath::accessor_root(EndpointId::root_org(client), "auto");
    components.iter().fold(root, |path, name| path.child(name.as_ref()).unwrap())
}

impl Server {
    /// Starts the works together, one flow each, and waits until all have ended.
    #[track_caller]
    pub fn by_hand(&self, works: Vec<Work>) -> (Duration, Vec<Brought>) {
        let started = Instant::now();
        let brought = self.runtime.block_on(async {
            let endpoint = endpoint(&works);
            let jobs = self.driver.submit(&endpoint, delivery(works)).await.unwrap();
            join_all(jobs.iter().map(|job| self.wait(job))).await
        });
        (started.elapsed(), brought)
    }

    async fn wait(&self, job: &Job) -> Brought {
        let mut events = self.driver.watch(job);
        let mut brought = Brought::default();
        while let Some(event) = events.next().await {
            match event {
                JobEvent::Listed(listed) => brought.listings.push(listed.rows),
                JobEvent::Fetched(fetched) => brought.files.extend(fetched.content.ok()),
                JobEvent::Ended(outcome) => brought.finished = matches!(outcome, Outcome::Finished { .. }),
                JobEvent::Delivered | JobEvent::Progress { .. } => {}
            }
        }
        assert!(brought.finished, "a flow by hand failed");
        brought
    }

    /// One listing by hand.
    pub fn list(&self, directory: EndpointPath, depth: u32) -> (Duration, Brought) {
        let (took, mut brought) = self.by_hand(vec![Work::List { directory, depth }]);
        (took, brought.remove(0))
    }
}

/// What one flow brought.
#[derive(Default)]
pub struct Brought {
    pub listings: Vec<Rows>,
    pub files: Vec<FetchedContent>,
    finished: bool,
}

fn endpoint(works: &[Work]) -> EndpointId {
    match works.first().expect("something to do") {
        Work::List { directory, .. } => directory.endpoint.clone(),
        Work::Fetch { files } | Work::ListMany { directories: files } => files[0].endpoint.clone(),
        Work::Ranges { file, .. } => file.endpoint.clone(),
    }
}

fn delivery(works: Vec<Work>) -> Delivery {
    let limits =
        Limits { timeout: Duration::from_secs(1800), max_rows: 1_000_000, max_upload_bytes: 4 << 30, cpu_percent: 0 };
    Delivery { works, principal: Principal::new("by hand"), reason: Reason("bench".into()), limits }
}
