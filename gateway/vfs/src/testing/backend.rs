//! A backend in memory: endpoints with trees that tests build, switches for everything that goes wrong, and counters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::{mpsc, watch};

use super::TestClock;
use super::receive::Receiver;
use crate::attributes::FileType;
use crate::backend::{
    Backend, Capabilities, Cause, Complaint, ContentLocation, Delivery, EndpointChange, Failure, Fetched,
    FetchedContent, FetchedRange, FileState, Job, JobEvent, JobPage, JobSummary, Listed, Observation, Outcome,
    Presence, Upload, Work,
};
use crate::clock::Clock;
use crate::endpoint::{Endpoint, EndpointId, System};
use crate::error::{Error, Result};
use crate::path::EndpointPath;
use crate::snapshot::{EntryFields, Rows, Times};
use crate::timestamp::Timestamp;

/// Jobs on one page of the list of jobs.
const JOBS_A_PAGE: usize = 10;

/// One entry of a fake tree.
#[derive(Debug, Clone)]
pub struct FakeEntry {
    /// Type on the endpoint.
    pub file_type: FileType,
    /// Permission bits.
    pub mode: u16,
    /// Size as listed; [`FakeBackend::add_file`] sets it to the content's length.
    pub size: u64,
    /// Only reading tells the size.
    pub size_unknown: bool,
    /// The name was no UTF-8.
    pub unfetchable: bool,
    /// Modification time.
    pub modified: Option<Timestamp>,
    /// Raw link target.
    pub link: Option<String>,
    /// Content that comes with the listing.
    pub inline: Option<Vec<u8>>,
    /// Content that collecting gives.
    pub content: Bytes,
}

impl FakeEntry {
    /// An entry of this type, made in 2020.
    pub fn new(file_type: FileType) -> FakeEntry {
        FakeEntry {
            file_type,
            mode: 0o644,
            size: 0,
            size_unknown: false,
            unfetchable: false,
            modified: Some(Timestamp::new(1_577_836_800, 123_456_789)),
            link: None,
            inline: None,
            content: Bytes::new(),
        }
    }
}

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

    fn observation(&self, job: &Arc<str>, by: &Arc<str>) -> Observation {
        let now = self.clock.now();
        let started = self.with(|state| state.submitted.get(job).copied()).unwrap_or(now);
        Observation { job: job.clone(), by: by.clone(), started, seen: now, first_row: 0 }
    }

    fn rows(&self, place: &Place) -> Option<Rows> {
        let children = self
            .with(|state| (!state.denied.contains(place)).then(|| state.directories.get(place).cloned()).flatten())?;
        let mut rows = Rows::new();
        for (name, entry) in &children {
            let times =
                Times { modified: entry.modified, accessed: entry.modified, changed: entry.modified, born: None };
            let _fits = rows.push(&EntryFields {
                name,
                shown: None,
                file_type: entry.file_type,
                mode: entry.mode,
                size: entry.size,
                size_unknown: entry.size_unknown,
                unfetchable: entry.unfetchable,
                times,
                link: entry.link.as_deref(),
                inline: entry.inline.as_deref(),
                details: None,
            });
        }
        Some(rows)
    }

    fn list(&self, directory: &EndpointPath, depth: u32, job: &Arc<str>, by: &Arc<str>, events: &mut Vec<JobEvent>) {
        let Some(rows) = self.rows(&place_of(directory)) else {
            return;
        };
        let below: Vec<String> =
            rows.iter().filter(|row| row.file_type() == FileType::Directory).map(|row| row.name().to_owned()).collect();
        events.push(JobEvent::Listed(Listed {
            directory: directory.clone(),
            rows,
            observation: self.observation(job, by),
            collected: Vec::new(),
        }));
        if depth > 0 {
            for name in below {
                if let Ok(child) = directory.child(&name) {
                    self.list(&child, depth - 1, job, by, events);
                }
            }
        }
    }

    fn cause(&self, directory: &EndpointPath) -> Cause {
        let denied = self.with(|state| state.denied.contains(&place_of(directory)));
        if denied { Cause::Denied } else { Cause::Absent }
    }

    fn fetch(&self, file: &EndpointPath, job: &Arc<str>, by: &Arc<str>) -> Option<JobEvent> {
        let here = place_of(file);
        let entry = self.entry(&here)?;
        let content = if self.with(|state| state.denied.contains(&here)) {
            Err(Complaint { cause: Cause::Denied, message: "permission denied".into() })
        } else {
            let components = vec![job.to_string(), file.to_string()];
            // Whoever looks at the job again is told of the same upload.
            let content = self.with(|state| {
                state.contents.entry(components.clone()).or_insert_with(|| entry.content.clone()).clone()
            });
            Ok(FetchedContent {
                size: content.len() as u64,
                location: ContentLocation { org: "root".into(), components },
                sparse: false,
                sha256_endpoint: None,
            })
        };
        Some(JobEvent::Fetched(Fetched {
            file: file.clone(),
            content,
            observation: self.observation(job, by),
            range: None,
        }))
    }

    fn fetch_range(
        &self,
        file: &EndpointPath,
        (offset, length): (u64, u64),
        job: &Arc<str>,
        by: &Arc<str>,
    ) -> Option<JobEvent> {
        let JobEvent::Fetched(mut fetched) = self.fetch(file, job, by)? else { return None };
        let modified = self.entry(&place_of(file))?.modified;
        if let Ok(content) = &mut fetched.content {
            let whole = self.with(|state| state.contents.get(&content.location.components).cloned())?;
            let state = FileState { size: content.size, modified };
            let from = offset.min(content.size);
            let to = from.saturating_add(length).min(content.size);
            content.size = to - from;
            content.location.components.push(format!("range-{offset}-{length}"));
            let range = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let bytes = whole.slice(range(from)..range(to));
            self.range_bytes.fetch_add(bytes.len(), Ordering::SeqCst);
            self.with(|state| state.contents.insert(content.location.components.clone(), bytes));
            fetched.range = Some(FetchedRange { offset, length, state });
        }
        Some(JobEvent::Fetched(fetched))
    }

    fn entry(&self, (client_id, accessor, components): &Place) -> Option<FakeEntry> {
        let (name, parent) = components.split_last()?;
        let parent = (client_id.clone(), accessor.clone(), parent.to_vec());
        self.with(|state| {
            state.directories.get(&parent)?.iter().find(|(other, _)| other == name).map(|(_, entry)| entry.clone())
        })
    }

    /// What the endpoint makes of a job: once, whoever watches it.
    fn run(&self, job: &Job) -> Vec<JobEvent> {
        if let Some(events) = self.with(|state| state.ran.get(&job.id).cloned()) {
            return events;
        }
        let events = self.events(job);
        self.with(|state| state.ran.insert(job.id.clone(), events.clone()));
        events
    }

    fn events(&self, job: &Job) -> Vec<JobEvent> {
        let Some((work, by)) = self.with(|state| state.jobs.get(&job.id).cloned()) else {
            return Vec::new();
        };
        let lost = self.with(|state| {
            let lost = state.lose > 0;
            state.lose = state.lose.saturating_sub(1);
            lost
        });
        if lost {
            let outcome = Outcome::Failed { failure: Failure::Lost, message: "the task was lost".into() };
            return vec![JobEvent::Ended(outcome)];
        }
        let mut events = vec![JobEvent::Delivered];
        let mut complaint = None;
        match &work {
            Work::List { directory, depth } => {
                self.list(directory, *depth, &job.id, &by, &mut events);
                if events.len() == 1 {
                    let denied = self.with(|state| state.denied.contains(&place_of(directory)));
                    complaint = Some(if denied {
                        Complaint { cause: Cause::Denied, message: "permission denied".into() }
                    } else {
                        Complaint { cause: Cause::Absent, message: "no such file or directory".into() }
                    });
                }
            }
            Work::ListMany { directories } => {
                for directory in directories {
                    self.list(directory, 0, &job.id, &by, &mut events);
                }
                let missing = directories.iter().filter(|directory| self.rows(&place_of(directory)).is_none());
                let causes: Vec<Cause> = missing.map(|directory| self.cause(directory)).collect();
                complaint = causes.first().map(|first| Complaint {
                    cause: if causes.iter().all(|cause| cause == first) { *first } else { Cause::Unknown },
                    message: format!("{} directories could not be read", causes.len()).into(),
                });
            }
            Work::Fetch { files } => events.extend(files.iter().filter_map(|file| self.fetch(file, &job.id, &by))),
            Work::Ranges { file, ranges } => {
                events.extend(ranges.iter().filter_map(|range| self.fetch_range(file, *range, &job.id, &by)));
            }
        }
        let limit = self.with(|state| state.max_rows.get(&job.id).copied()).unwrap_or(0);
        let mut left = if limit == 0 { u64::MAX } else { limit };
        let over = events.iter().position(|event| match event {
            JobEvent::Listed(listed) => match left.checked_sub(listed.rows.len() as u64) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            },
            _ => false,
        });
        let outcome = match over {
            Some(over) => {
                events.truncate(over);
                Outcome::Failed { failure: Failure::Error, message: "the row limit is exceeded".into() }
            }
            None => Outcome::Finished { complaint },
        };
        events.push(JobEvent::Ended(outcome));
        events
    }
}

#[async_trait]
impl Backend for FakeBackend {
    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for work in delivery.works {
            let counter =
                if matches!(work, Work::List { .. } | Work::ListMany { .. }) { &self.listings } else { &self.fetches };
            counter.fetch_add(1, Ordering::SeqCst);
            let id: Arc<str> = self.with(|state| format!("F.{}", state.jobs.len() + 1)).into();
            self.with(|state| {
                state.jobs.insert(id.clone(), (work, delivery.principal.name().into()));
                state.max_rows.insert(id.clone(), delivery.limits.max_rows);
                state.submitted.insert(id.clone(), self.clock.now());
                if let Some(receiver) = &mut state.receiver {
                    state.starts.insert(id.clone(), (receiver.deliver(), receiver.websocket));
                }
            });
            jobs.push(Job { endpoint: endpoint.clone(), id });
        }
        Ok(jobs)
    }

    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut released = self.released.subscribe();
        let latency = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let me = self.me.clone();
        let job = job.clone();
        let events = (!self.away.borrow().contains(&*job.endpoint.client_id)).then(|| self.run(&job));
        let clock = self.clock.clone();
        let starts = self.with(|state| state.starts.get(&job.id).copied());
        let (mut away, client_id) = (self.away.subscribe(), job.endpoint.client_id.to_string());
        tokio::spawn(async move {
            let events = match events {
                Some(events) => Some(events),
                // It waits on the server until the endpoint is there, which is when it runs.
                None if away.wait_for(|all| !all.contains(&client_id)).await.is_ok() => {
                    me.upgrade().map(|me| me.run(&job))
                }
                None => None,
            };
            let Some(mut events) = events else { return };
            if let Some((start, websocket)) = starts {
                if websocket && !events.is_empty() {
                    let _nobody_listens = sender.send(events.remove(0));
                }
                tokio::time::sleep_until(start).await;
                for event in &mut events {
                    if let JobEvent::Listed(listed) = event {
                        listed.observation.seen = clock.now();
                    }
                }
            }
            if released.wait_for(|released| *released).await.is_err() {
                return;
            }
            tokio::time::sleep(latency).await;
            for event in events {
                let _nobody_listens = sender.send(event);
            }
        });
        stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|event| (event, receiver)) })
            .boxed()
    }

    async fn held(&self, directory: &EndpointPath) -> Result<Option<Listed>> {
        let place = place_of(directory);
        let Some(seen) = self.with(|state| state.held.get(&place).copied()) else {
            return Ok(None);
        };
        Ok(self.rows(&place).map(|rows| Listed {
            directory: directory.clone(),
            rows,
            observation: Observation {
                job: "F.HELD".into(),
                by: "colleague".into(),
                started: seen,
                seen,
                first_row: 0,
            },
            collected: Vec::new(),
        }))
    }

    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> Result<Bytes> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let content = self.with(|state| state.contents.get(&location.components).cloned());
        let content = content.ok_or_else(|| Error::absent("the server does not have this upload"))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let mut end = start.saturating_add(length as usize).min(content.len());
        if self.with(|state| state.short_reads) && end > start {
            end -= 1;
        }
        Ok(content.slice(start..end))
    }

    fn jobs(&self, endpoint: &EndpointId) -> BoxStream<'static, Result<JobPage>> {
        let jobs: Vec<JobSummary> = self.with(|state| {
            let own = state.past.iter().rev().filter(|(client, _, _)| *client == *endpoint.client_id);
            own.map(|(_, job, _)| job.clone()).collect()
        });
        let total = jobs.len() as u64;
        let pages: Vec<JobPage> =
            match jobs.chunks(JOBS_A_PAGE).map(|jobs| JobPage { jobs: jobs.to_vec(), total }).collect() {
                pages if total > 0 => pages,
                _ => vec![JobPage::default()],
            };
        let state = self.state.clone();
        stream::iter(pages)
            .map(move |page| {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.job_pages += 1;
                if state.unreachable { Err(Error::backend("the server cannot be reached")) } else { Ok(page) }
            })
            .boxed()
    }

    fn uploads(&self, job: &Job) -> BoxStream<'static, Result<Vec<Upload>>> {
        let page = self.with(|state| {
            state.upload_pages += 1;
            if state.unreachable {
                return Err(Error::backend("the server cannot be reached"));
            }
            let known =
                state.past.iter().find(|(client, other, _)| *client == *job.endpoint.client_id && other.id == job.id);
            Ok(known.map(|(_, _, uploads)| uploads.clone()).unwrap_or_default())
        });
        stream::iter([page]).boxed()
    }

    async fn cancel(&self, _: &Job) -> Result<()> {
        self.cancelled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn endpoints(&self) -> BoxStream<'static, EndpointChange> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for change in self.all() {
            let _nobody_listens = sender.send(change);
        }
        // Changes after this come through `presence` only: a test adds its endpoints before it makes its VFS.
        stream::unfold((receiver, sender), |(mut receiver, sender)| async move {
            receiver.recv().await.map(|change| (change, (receiver, sender)))
        })
        .boxed()
    }

    async fn presence(&self, endpoint: &EndpointId) -> Result<Presence> {
        let now = self.clock.now();
        match self.with(|state| state.endpoints.get(&*endpoint.client_id).copied()) {
            Some((_, true)) => {
                let silent =
                    self.with(|state| state.receiver.as_ref().map_or(Duration::ZERO, Receiver::silent_for)).as_secs();
                let seen = Timestamp::new(now.seconds - i64::try_from(silent).unwrap_or(0), now.nanos);
                Ok(Presence { last_seen: Some(seen) })
            }
            Some((_, false)) => Ok(Presence { last_seen: Some(Timestamp::new(1_700_000_000, 0)) }),
            None => Err(Error::invalid("unknown endpoint")),
        }
    }

    async fn capabilities(&self, _: &EndpointId) -> Result<Capabilities> {
        let (list_many, fetch_many, ranges) = self.with(|state| (state.list_many, state.fetch_many, state.ranges));
        Ok(Capabilities { collect: true, list_many, fetch_many, ranges })
    }
}

impl FakeBackend {
    fn all(&self) -> Vec<EndpointChange> {
        let now = self.clock.now();
        let mut changes: Vec<EndpointChange> = self.with(|state| {
            let endpoint = |(client_id, (system, online)): (&String, &(System, bool))| {
                let last_seen = if *online { now } else { Timestamp::new(1_700_000_000, 0) };
                EndpointChange::Present(Endpoint {
                    id: EndpointId::root_org(client_id.as_str()),
                    hostname: format!("host-{}", client_id.trim_start_matches("C.")),
                    system: *system,
                    agent_version: "0.77.2".to_owned(),
                    labels: Vec::new(),
                    last_seen: Some(last_seen),
                    first_seen: Some(Timestamp::new(1_600_000_000, 0)),
                })
            };
            state.endpoints.iter().map(endpoint).collect()
        });
        changes.push(EndpointChange::Complete);
        changes
    }
}

fn place(client_id: &str, accessor: &str, path: &[&str]) -> Place {
    (client_id.to_owned(), accessor.to_owned(), path.iter().map(|name| (*name).to_owned()).collect())
}

fn place_of(path: &EndpointPath) -> Place {
    let components = path.components.iter().map(ToString::to_string).collect();
    (path.endpoint.client_id.to_string(), path.accessor.to_string(), components)
}
