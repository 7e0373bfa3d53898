//! A backend in memory: endpoints with trees that tests build, switches for everything that goes wrong, and counters.

mod endpoint;
mod entry;
mod server;

pub use entry::FakeEntry;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::TestClock;
use super::receive::Receiver;
use crate::attributes::FileType;
use crate::backend::{ContentLocation, FetchedContent, JobEvent, JobSummary, Upload, Work};
use crate::clock::Clock;
use crate::endpoint::System;
use crate::path::EndpointPath;
use crate::timestamp::Timestamp;

type Place = (String, String, Vec<String>);

#[derive(Default)]
struct State {
    endpoints: BTreeMap<String, (System, bool)>,
    /// Children of each directory in order.
    directories: HashMap<Place, Vec<(String, FakeEntry)>>,
    denied: HashSet<Place>,
    /// Listings that the server holds, with their age when they were put there.
    held: HashMap<Place, Timestamp>,
    contents: HashMap<Vec<String>, Bytes>,
    /// Jobs that others ran on an endpoint, oldest first, and what they uploaded.
    past: Vec<(String, JobSummary, Vec<Upload>)>,
    job_pages: usize,
    upload_pages: usize,
    unreachable: bool,
    jobs: HashMap<Arc<str>, (Work, Arc<str>)>,
    /// Rows that each may bring.
    max_rows: HashMap<Arc<str>, u64>,
    submitted: HashMap<Arc<str>, Timestamp>,
    ran: HashMap<Arc<str>, Vec<JobEvent>>,
    lose: usize,
    short_reads: bool,
    /// A file that every collection brings first, asked for or not.
    stray: Option<EndpointPath>,
    fetch_many: bool,
    ranges: bool,
    list_many: bool,
    receiver: Option<Receiver>,
    /// When jobs are delivered, and whether on a websocket.
    starts: HashMap<Arc<str>, (tokio::time::Instant, bool)>,
}

/// A backend in memory.
pub struct FakeBackend {
    me: Weak<FakeBackend>,
    state: Arc<Mutex<State>>,
    clock: Arc<TestClock>,
    released: watch::Sender<bool>,
    /// Endpoints that are not connected: their jobs wait.
    away: watch::Sender<HashSet<String>>,
    listings: AtomicUsize,
    fetches: AtomicUsize,
    reads: AtomicUsize,
    range_bytes: AtomicUsize,
    cancelled: AtomicUsize,
    /// How long a job takes.
    latency: Mutex<Duration>,
}

impl FakeBackend {
    /// No endpoints yet. Must be made inside a tokio runtime.
    pub fn new() -> Arc<FakeBackend> {
        Arc::new_cyclic(|me| FakeBackend {
            me: me.clone(),
            state: Arc::default(),
            clock: Arc::new(TestClock::new()),
            released: watch::Sender::new(true),
            away: watch::Sender::default(),
            listings: AtomicUsize::new(0),
            fetches: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            range_bytes: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            latency: Mutex::new(Duration::ZERO),
        })
    }

    /// The clock that goes with it.
    pub fn clock(&self) -> Arc<TestClock> {
        self.clock.clone()
    }

    /// Adds an endpoint with an empty `auto`.
    pub fn add_endpoint(&self, client_id: &str, system: System, online: bool) {
        self.with(|state| {
            state.endpoints.insert(client_id.to_owned(), (system, online));
            state.directories.entry((client_id.to_owned(), "auto".to_owned(), Vec::new())).or_default();
        });
        self.set_away(client_id, !online);
    }

    /// Connects or disconnects an endpoint.
    pub fn set_online(&self, client_id: &str, online: bool) {
        self.with(|state| {
            if let Some((_, connected)) = state.endpoints.get_mut(client_id) {
                *connected = online;
            }
        });
        self.set_away(client_id, !online);
    }

    fn set_away(&self, client_id: &str, away: bool) {
        self.away.send_modify(|all| {
            if away {
                all.insert(client_id.to_owned());
            } else {
                all.remove(client_id);
            }
        });
    }

    /// Adds an entry, and the directories that lead to it.
    pub fn add_entry(&self, client_id: &str, accessor: &str, path: &[&str], entry: FakeEntry) {
        let Some((name, parent)) = path.split_last() else {
            return;
        };
        self.add_directory(client_id, accessor, parent);
        if entry.file_type == FileType::Directory {
            self.with(|state| {
                state.directories.entry(place(client_id, accessor, path)).or_default();
            });
        }
        self.with(|state| {
            let children = state.directories.entry(place(client_id, accessor, parent)).or_default();
            match children.iter_mut().find(|(other, _)| other == name && !entry.unfetchable) {
                Some((_, old)) => *old = entry,
                None => children.push(((*name).to_owned(), entry)),
            }
        });
    }

    /// Adds a directory, and those that lead to it.
    pub fn add_directory(&self, client_id: &str, accessor: &str, path: &[&str]) {
        for length in 1..=path.len() {
            let here = &path[..length];
            let known = self.with(|state| state.directories.contains_key(&place(client_id, accessor, here)));
            if !known {
                let entry = FakeEntry { mode: 0o755, ..FakeEntry::new(FileType::Directory) };
                self.with(|state| {
                    state.directories.entry(place(client_id, accessor, here)).or_default();
                    let parent = state.directories.entry(place(client_id, accessor, &here[..length - 1])).or_default();
                    parent.push((here[length - 1].to_owned(), entry));
                });
            }
        }
    }

    /// Adds or replaces a regular file.
    pub fn add_file(&self, client_id: &str, accessor: &str, path: &[&str], content: impl Into<Bytes>) {
        let content = content.into();
        let entry = FakeEntry { size: content.len() as u64, content, ..FakeEntry::new(FileType::Regular) };
        self.add_entry(client_id, accessor, path, entry);
    }

    /// Adds a symbolic link.
    pub fn add_link(&self, client_id: &str, accessor: &str, path: &[&str], target: &str) {
        let entry = FakeEntry {
            link: Some(target.to_owned()),
            size: target.len() as u64,
            mode: 0o777,
            ..FakeEntry::new(FileType::Symlink)
        };
        self.add_entry(client_id, accessor, path, entry);
    }

    /// Takes an entry away from the endpoint.
    pub fn remove(&self, client_id: &str, accessor: &str, path: &[&str]) {
        let Some((name, parent)) = path.split_last() else {
            return;
        };
        self.with(|state| {
            state.directories.remove(&place(client_id, accessor, path));
            if let Some(children) = state.directories.get_mut(&place(client_id, accessor, parent)) {
                children.retain(|(other, _)| other != name);
            }
        });
    }

    /// The endpoint refuses to list or read this.
    pub fn deny(&self, client_id: &str, accessor: &str, path: &[&str]) {
        self.with(|state| state.denied.insert(place(client_id, accessor, path)));
    }

    /// The server holds a listing of this directory, made `age` ago by somebody else.
    pub fn hold_listing(&self, client_id: &str, accessor: &str, path: &[&str], age: Duration) {
        let now = self.clock.now();
        let nanos = Duration::from_nanos(u64::from(now.nanos));
        let seconds = now.seconds - i64::try_from(age.saturating_sub(nanos).as_secs()).unwrap_or(0);
        self.with(|state| state.held.insert(place(client_id, accessor, path), Timestamp::new(seconds, 0)));
    }

    /// Jobs wait until [`FakeBackend::release_jobs`].
    pub fn hold_jobs(&self) {
        self.released.send_replace(false);
    }

    /// Jobs go on.
    pub fn release_jobs(&self) {
        self.released.send_replace(true);
    }

    /// Every job takes this long.
    pub fn set_latency(&self, latency: Duration) {
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// The next `count` jobs are lost on their way.
    pub fn lose_jobs(&self, count: usize) {
        self.with(|state| state.lose = count);
    }

    /// The server gives one byte less than it should.
    pub fn set_short_reads(&self, short: bool) {
        self.with(|state| state.short_reads = short);
    }

    /// Every collection brings this file before what it was asked for.
    pub fn set_stray(&self, file: EndpointPath) {
        self.with(|state| state.stray = Some(file));
    }

    /// Many files can be collected by one job.
    pub fn set_fetch_many(&self, able: bool) {
        self.with(|state| state.fetch_many = able);
    }

    /// Ranges of a file can be collected.
    pub fn set_ranges(&self, able: bool) {
        self.with(|state| state.ranges = able);
    }

    /// Bytes that left the endpoint in ranges.
    pub fn range_bytes(&self) -> usize {
        self.range_bytes.load(Ordering::SeqCst)
    }

    /// Many directories can be listed by one job.
    pub fn set_list_many(&self, able: bool) {
        self.with(|state| state.list_many = able);
    }

    /// Every endpoint takes jobs as one does that has so many receive tokens left, and gets one back every `refill`. On a `websocket`
    /// each job costs one, otherwise all that wait leave with one.
    pub fn set_tokens(&self, tokens: u32, refill: Duration, websocket: bool) {
        self.with(|state| state.receiver = Some(Receiver::new(tokens, refill, websocket)));
    }

    /// Deliveries so far, since [`FakeBackend::set_tokens`].
    pub fn deliveries(&self) -> usize {
        self.with(|state| state.receiver.as_ref().map_or(0, |receiver| receiver.deliveries))
    }

    /// The works of all jobs so far, in their order, with their principals.
    pub fn works(&self) -> Vec<(Work, Arc<str>)> {
        self.with(|state| (1..=state.jobs.len()).map(|job| state.jobs[&*format!("F.{job}")].clone()).collect())
    }

    /// Listing jobs so far.
    pub fn listings(&self) -> usize {
        self.listings.load(Ordering::SeqCst)
    }

    /// Collection jobs so far.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Reads of the server's file store so far.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Jobs cancelled so far.
    pub fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Somebody else runs a job on an endpoint, or the server says something new of one that he ran: `job` with its uploads by accessor,
    /// components and content.
    pub fn put_job(&self, client_id: &str, job: JobSummary, uploads: &[(&str, &[&str], Bytes)]) {
        let uploads: Vec<Upload> = uploads
            .iter()
            .map(|(accessor, path, content)| {
                let own = std::iter::once(accessor).chain(*path).map(|name| (*name).to_owned());
                let components: Vec<String> =
                    ["uploads".to_owned(), job.id.to_string()].into_iter().chain(own).collect();
                self.with(|state| state.contents.insert(components.clone(), content.clone()));
                Upload {
                    accessor: (*accessor).to_owned(),
                    components: path.iter().map(|name| (*name).to_owned()).collect(),
                    opened_size: content.len() as u64,
                    content: FetchedContent {
                        size: content.len() as u64,
                        location: ContentLocation { org: "root".into(), components },
                        sparse: false,
                        sha256_endpoint: None,
                    },
                }
            })
            .collect();
        self.with(|state| {
            let known = state.past.iter_mut().find(|(client, other, _)| client == client_id && other.id == job.id);
            match known {
                Some(known) => *known = (client_id.to_owned(), job, uploads),
                None => state.past.push((client_id.to_owned(), job, uploads)),
            }
        });
    }

    /// The server forgets a job.
    pub fn forget_job(&self, id: &str) {
        self.with(|state| state.past.retain(|(_, job, _)| &*job.id != id));
    }

    /// The server cannot be asked for jobs and uploads.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.with(|state| state.unreachable = unreachable);
    }

    /// Pages of lists of jobs, and of uploads, so far.
    pub fn job_and_upload_pages(&self) -> (usize, usize) {
        self.with(|state| (state.job_pages, state.upload_pages))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn place(client_id: &str, accessor: &str, path: &[&str]) -> Place {
    (client_id.to_owned(), accessor.to_owned(), path.iter().map(|name| (*name).to_owned()).collect())
}

fn place_of(path: &EndpointPath) -> Place {
    let components = path.components.iter().map(ToString::to_string).collect();
    (path.endpoint.client_id.to_string(), path.accessor.to_string(), components)
}
