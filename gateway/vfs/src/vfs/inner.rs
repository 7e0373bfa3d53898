//! What all parts of the model share, and the task that follows the server's endpoints.

use std::sync::Arc;
use std::time::Duration;

use dashmap::{DashMap, DashSet};
use futures_util::StreamExt;

use super::{EndpointStatus, Parts};
use crate::backend::{Backend, EndpointChange};
use crate::clock::Clock;
use crate::content::{Behind, Chunks, Ranges, Readers, Refusals};
use crate::endpoint::System;
use crate::error::{Error, Result};
use crate::flight::Activities;
use crate::meta::Metas;
use crate::node::{Identity, Keys};
use crate::planner::{Away, Walks};
use crate::principal::{Admission, Recorder};
use crate::settings::Settings;
use crate::snapshot::{Rows, Snapshot};
use crate::store::{ContentKey, DirectoryKey, Place, Store};
use crate::timestamp::Timestamp;
use crate::tree::{
    BY_NAME, EndpointEntry, Endpoints, Loaded, ORG, Round, State, Tree, accessor_rows, by_name_rows, org_rows, orgs,
    orgs_rows, root_rows,
};
use crate::uploads::KnownJobs;

/// The model behind [`super::Vfs`].
pub(crate) struct Inner {
    pub keys: Keys,
    pub backend: Arc<dyn Backend>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub admission: Arc<dyn Admission>,
    pub recorder: Arc<dyn Recorder>,
    pub settings: Settings,
    pub tree: Arc<Tree>,
    pub endpoints: Endpoints,
    pub activities: Activities,
    pub chunks: Chunks,
    pub behind: Behind,
    pub refusals: Refusals,
    pub digesting: DashSet<ContentKey>,
    /// Which file a content that is being fetched belongs to.
    pub owners: DashMap<ContentKey, (DirectoryKey, Identity)>,
    pub reads: Reads,
    pub walks: Walks,
    pub away: Away,
    pub readers: Readers,
    pub ranges: Ranges,
    pub metas: Metas,
    pub known_jobs: KnownJobs,
}

impl Inner {
    pub(super) fn start(parts: Parts) -> Result<Arc<Inner>> {
        let endpoints = Endpoints::new(parts.store.endpoints()?, &parts.keys);
        let inner = Arc::new(Inner {
            tree: Arc::new(Tree::new(parts.keys.clone(), parts.store.clone(), parts.settings.listing_memory)),
            chunks: Chunks::new(parts.settings.content_memory),
            behind: Behind::new(),
            refusals: Refusals::default(),
            digesting: DashSet::new(),
            owners: DashMap::new(),
            reads: Reads::default(),
            walks: Walks::default(),
            away: Away::default(),
            readers: Readers::default(),
            ranges: Ranges::default(),
            metas: Metas::default(),
            known_jobs: KnownJobs::default(),
            activities: Activities::default(),
            endpoints,
            keys: parts.keys,
            backend: parts.backend,
            store: parts.store,
            clock: parts.clock,
            admission: parts.admission,
            recorder: parts.recorder,
            settings: parts.settings,
        });
        for entry in inner.endpoints.list() {
            inner.make_accessors(&entry);
        }
        inner.make_roots();
        // Known before anybody asks: who wants the same joins them.
        let jobs = inner.store.jobs()?;
        jobs.iter().filter(|job| job.for_return.is_some()).for_each(|job| inner.expect_return(job));
        tokio::spawn(follow_endpoints(Arc::downgrade(&inner), inner.backend.endpoints()));
        Ok(inner)
    }

    /// The endpoint of an export.
    pub(crate) fn endpoint_of(&self, export: u64) -> Result<Arc<EndpointEntry>> {
        self.endpoints.get(export).ok_or_else(|| Error::stale("the server does not know this endpoint any more"))
    }

    /// The operating system of an export's endpoint.
    pub(crate) fn system_of(&self, export: u64) -> System {
        self.endpoints.get(export).map_or(System::Unknown, |entry| entry.endpoint().system)
    }

    pub(super) fn endpoint_statuses(&self) -> Vec<EndpointStatus> {
        let now = self.clock.now();
        let status = |entry: &Arc<EndpointEntry>| {
            let endpoint = entry.endpoint();
            EndpointStatus {
                online: entry.seems_online(now, self.settings.offline_after),
                jobs: self.activities.running_on(&endpoint.id.client_id),
                takes_work_at: self.activities.due_on(&endpoint.id.client_id),
                budget: entry.budget(now),
                endpoint: (*endpoint).clone(),
            }
        };
        self.endpoints.list().iter().map(status).collect()
    }

    /// Makes `/C.xxxx` of an endpoint, or makes it anew.
    fn make_accessors(&self, entry: &Arc<EndpointEntry>) {
        let endpoint = entry.endpoint();
        let own = self.keys.child(Identity::ROOT, &endpoint.id.client_id, 0);
        let rows = accessor_rows(endpoint.system, &self.settings.accessors, endpoint.first_seen);
        self.publish_own(entry.export, Identity::ROOT, own, Place::Accessors(endpoint.id.clone()), rows);
    }

    /// Makes `/`, `/by-name` and `/org` from the table of endpoints.
    fn make_roots(&self) {
        let endpoints = self.endpoints.list();
        self.publish_own(0, Identity::ROOT, Identity::ROOT, Place::Root, root_rows(&endpoints));
        let own = self.keys.child(Identity::ROOT, BY_NAME, 0);
        self.publish_own(0, Identity::ROOT, own, Place::ByName, by_name_rows(&endpoints));
        let orgs = orgs(&endpoints);
        let all = self.keys.child(Identity::ROOT, ORG, 0);
        self.publish_own(0, Identity::ROOT, all, Place::Orgs, orgs_rows(&orgs));
        for (org, endpoints) in orgs {
            let own = self.keys.child(all, &org, 0);
            self.publish_own(0, all, own, Place::Org(org), org_rows(&endpoints));
        }
    }

    /// Own directories are made from what is known, so their generation is a hash of it: the same after a restart.
    fn publish_own(&self, export: u64, parent: Identity, own: Identity, place: Place, mut rows: Rows) {
        rows.shrink();
        #[allow(clippy::cast_possible_truncation)] // 31 bits tell generations apart
        let generation = (xxhash_rust::xxh3::xxh3_64(&rows.encode()) as u32 >> 1).max(1);
        let directory = self.tree.insert(export, parent, own, place);
        if directory.state().generation == generation {
            return;
        }
        let snapshot = Snapshot::seal(rows, own, &self.keys);
        directory
            .publish(State { generation, listing: None, failure: None }, Arc::new(Loaded { generation, snapshot }));
    }

    fn take_change(&self, change: EndpointChange) -> bool {
        match change {
            EndpointChange::Present(endpoint) => {
                let id = endpoint.id.clone();
                let known = self.endpoints.get(self.keys.export(&id)).map(|entry| entry.endpoint());
                let differs = known.is_none_or(|known| differs_for_good(&known, &endpoint));
                if differs && let Err(error) = self.store.put_endpoint(&endpoint) {
                    tracing::error!(%error, endpoint = %id, "an endpoint could not be written to the store");
                }
                let names_change = self.endpoints.put(endpoint, &self.keys);
                if names_change && let Some(entry) = self.endpoints.get(self.keys.export(&id)) {
                    self.make_accessors(&entry);
                }
                names_change
            }
            // What was cached of it stays; it is only no longer listed.
            EndpointChange::Gone(id) => self.endpoints.remove(&id, &self.keys),
            EndpointChange::Complete => {
                let first = self.endpoints.round() != Round::Complete;
                self.endpoints.set_round(Round::Complete);
                first
            }
            EndpointChange::Unreachable { message } => {
                if self.endpoints.round() != Round::Complete {
                    self.endpoints.set_round(Round::Unreachable(message));
                }
                false
            }
        }
    }
}

/// What is worth a write to the store: not the time it was last seen, which always changes.
fn differs_for_good(known: &crate::endpoint::Endpoint, new: &crate::endpoint::Endpoint) -> bool {
    let mut known = known.clone();
    known.last_seen = new.last_seen;
    known != *new
}

/// Follows the server's endpoints until the VFS goes away. The first round is taken as a whole: names must not flicker.
async fn follow_endpoints(
    inner: std::sync::Weak<Inner>,
    mut changes: futures_util::stream::BoxStream<'static, EndpointChange>,
) {
    let mut names_changed = false;
    let mut taken_up = false;
    while let Some(change) = changes.next().await {
        let Some(inner) = inner.upgrade() else { return };
        let complete = matches!(change, EndpointChange::Complete);
        let settled = inner.endpoints.round() == Round::Complete || matches!(change, EndpointChange::Gone(_));
        if complete {
            // The names are there before anybody is told that the round is complete.
            inner.make_roots();
            if !std::mem::replace(&mut taken_up, true) {
                inner.take_up_jobs().await;
            }
        }
        names_changed |= inner.take_change(change);
        if names_changed && settled {
            inner.make_roots();
            names_changed = false;
        }
    }
}

/// Which runs of reads the ledger has already.
#[derive(Default)]
pub(crate) struct Reads {
    last: DashMap<(u64, ContentKey), Timestamp>,
}

/// Reads of one content by one principal are one run until it pauses for so long.
const RUN: Duration = Duration::from_secs(600);
const RUNS_KEPT: usize = 50_000;

impl Reads {
    /// Whether this read begins a run.
    pub(crate) fn is_new(&self, principal: &str, content: ContentKey, now: Timestamp) -> bool {
        if self.last.len() > RUNS_KEPT {
            self.last.retain(|_, at| now.since(*at) < RUN);
        }
        let key = (xxhash_rust::xxh3::xxh3_64(principal.as_bytes()), content);
        let before = self.last.insert(key, now);
        before.is_none_or(|before| now.since(before) >= RUN)
    }
}
