//! Small files that are read one after another leave together: whoever reads the third one of a directory without a pause reads them all
//! (`cp -r`, `grep -r`), so the next ones are collected in the same delivery. Never on a mere listing.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::as_listed;
use super::collect::Demand;
use crate::attributes::{FileType, listed_version};
use crate::backend::{Fetched, Job, JobEvent, Limits, Outcome, Work};
use crate::error::{Error, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::node::{Node, NodeKind};
use crate::pace::Pace;
use crate::path::EndpointPath;
use crate::principal::{Call, Spend};
use crate::store::{DirectoryKey, FileAsListed};
use crate::timestamp::Timestamp;
use crate::tree::Directory;
use crate::vfs::Inner;

/// So many files in a row, then the others come along.
const IN_A_ROW: u32 = 3;
/// A small file.
const SMALL: u64 = 1 << 20;
/// Bytes that leave together at most.
const BYTES: u64 = 32 << 20;
/// Files that leave together at first, and at most; each time four times as many.
const FIRST: usize = 32;
const MOST: usize = 512;
/// Where each file is a flow of its own, fewer: they count as flows, and the endpoint takes so many at once.
const MOST_FLOWS: usize = 16;
/// Flows of their own leave together only while the endpoint is believed to take them (D30).
const TOKENS: f64 = 2.0;
/// Time on the endpoint.
const TIMEOUT: Duration = Duration::from_secs(600);
const READERS_KEPT: usize = 10_000;

/// Who reads which directories file by file.
#[derive(Default)]
pub(crate) struct Readers {
    by_directory: DashMap<(DirectoryKey, u64), Reader>,
}

struct Reader {
    files: u32,
    pace: Pace,
    window: usize,
}

fn reader(directory: &Directory, call: &Call) -> (DirectoryKey, u64) {
    (directory.key(), xxhash_rust::xxh3::xxh3_64(call.principal.name().as_bytes()))
}

impl Readers {
    /// Notes that a small file is to be collected for a reader; how many others should come along.
    fn begin(&self, directory: &Directory, call: &Call, now: Timestamp) -> usize {
        if self.by_directory.len() > READERS_KEPT {
            self.by_directory.retain(|_, reader| reader.pace.goes_on(now));
        }
        let fresh = || Reader { files: 0, pace: Pace::new(now), window: 0 };
        let mut reader = self.by_directory.entry(reader(directory, call)).or_insert_with(fresh);
        if !reader.pace.goes_on(now) {
            (reader.files, reader.window) = (0, 0);
        }
        reader.files += 1;
        reader.pace.ask();
        if reader.files >= IN_A_ROW {
            reader.window = (reader.window * 4).clamp(FIRST, MOST);
        }
        reader.window
    }

    fn end(&self, directory: &Directory, call: &Call, now: Timestamp) {
        if let Some(mut reader) = self.by_directory.get_mut(&reader(directory, call)) {
            reader.pace.answer(now);
        }
    }

    /// Notes that a reader got a file that was here already: he is still at it.
    pub(crate) fn goes_on(&self, directory: &Directory, call: &Call, now: Timestamp) {
        if self.by_directory.is_empty() {
            return;
        }
        if let Some(mut reader) = self.by_directory.get_mut(&reader(directory, call)) {
            reader.pace.answer_at_once(now);
        }
    }
}

/// A file that comes along, and who waits for it meanwhile.
struct Member {
    demand: Demand,
    flight: Arc<Flight>,
    /// Ends the flight if the task vanishes.
    _guard: EndOnDrop,
}

impl Inner {
    /// Collects the file, and others with it if a program is reading the directory file by file.
    pub(super) async fn collect_for_reader(self: &Arc<Self>, demand: &Demand, flight: &Arc<Flight>) -> Result<()> {
        if demand.call.explicit || demand.listed.size > SMALL {
            return self.collect_file(demand, flight).await;
        }
        let window = self.readers.begin(&demand.directory, &demand.call, self.clock.now());
        let together = if window > 0 { self.collect_together(demand, flight, window).await } else { None };
        let result = match together {
            Some(result) => result,
            None => self.collect_file(demand, flight).await,
        };
        self.readers.end(&demand.directory, &demand.call, self.clock.now());
        result
    }

    /// `None`: there was nothing to take along, or the file did not come.
    async fn collect_together(
        self: &Arc<Self>,
        demand: &Demand,
        flight: &Arc<Flight>,
        window: usize,
    ) -> Option<Result<()>> {
        let many = self.backend.capabilities(&demand.path.endpoint).await.ok()?.fetch_many;
        if !many && demand.entry.tokens(self.clock.now()) < TOKENS {
            return None;
        }
        let members = self.others(demand, window, many).await.ok().filter(|others| !others.is_empty())?;
        let bytes = if many { members.iter().map(|member| member.demand.listed.size).sum() } else { 0 };
        let fetched = self.fetch_together(demand, flight, &members, demand.listed.size + bytes).await;
        if let Err(error) = &fetched {
            tracing::warn!(path = %demand.path, %error, "files could not be collected together; those that somebody waits for go alone");
        }
        let mut own = None;
        for fetched in fetched.unwrap_or_default() {
            if fetched.file == demand.path {
                own = Some(fetched);
            } else if let Some(member) = members.iter().find(|member| member.demand.path == fetched.file)
                && fetched.content.is_ok()
            {
                let taken = self.take(&member.demand, fetched).await;
                member.flight.end(taken);
                member.demand.directory.end_collection((member.demand.node.own, member.demand.node.version));
            }
        }
        for member in members.into_iter().filter(|member| !member.flight.has_ended()) {
            self.alone(member);
        }
        match own {
            Some(fetched) if fetched.content.is_ok() => Some(self.take(demand, fetched).await),
            // Alone, the endpoint says why.
            _ => None,
        }
    }

    /// The small files of the directory that nobody has collected yet, in the order of the listing, from the demanded one on.
    async fn others(self: &Arc<Self>, demand: &Demand, window: usize, many: bool) -> Result<Vec<Member>> {
        let endpoint = &demand.path.endpoint;
        let window = if many { window } else { window.min(MOST_FLOWS) } - 1;
        let Some(loaded) = self.tree.load(&demand.directory).await? else {
            return Ok(Vec::new());
        };
        let from = loaded.snapshot.by_identity(demand.node.own).map_or(0, |entry| entry.ordinal);
        let mut bytes = demand.listed.size;
        let mut members = Vec::new();
        for ordinal in (from + 1..loaded.snapshot.len()).chain(0..from) {
            if members.len() >= window || bytes >= BYTES {
                break;
            }
            let Some(entry) = loaded.snapshot.entry(ordinal) else { continue };
            let row = &entry.row;
            let small = row.file_type() == FileType::Regular && (1..=SMALL).contains(&row.size());
            if !small || row.unfetchable() || row.size_unknown() || row.inline().is_some() {
                continue;
            }
            let version = listed_version(row.size(), row.times().modified);
            let held = demand.directory.file(entry.identity).is_some_and(|record| !record.collected.is_empty());
            let Some(path) = demand.path.parent().and_then(|above| above.child(row.name()).ok()) else { continue };
            if held || bytes + row.size() > BYTES {
                continue;
            }
            if !many {
                // Each is a flow, and judged as one.
                let spend = Spend::Collection { bytes: row.size() };
                if self.admission.admit(&demand.call, endpoint, &path.to_string(), &spend).await.is_err() {
                    break;
                }
            }
            let node = Node { kind: NodeKind::File, own: entry.identity, version, ..demand.node };
            if let Some(member) = self.member(demand, node, path, as_listed(&entry, version)) {
                bytes += row.size();
                members.push(member);
            }
        }
        Ok(members)
    }

    /// A file that comes along, unless its collection is under way already.
    fn member(&self, demand: &Demand, node: Node, path: EndpointPath, listed: FileAsListed) -> Option<Member> {
        let (flight, started) = demand.directory.join_collection((node.own, node.version), || {
            let principal = demand.call.principal.name().into();
            Flight::new(path.endpoint.client_id.clone(), path.to_string(), "collect", principal, self.clock.now())
        });
        let demand = || Demand { node, path, listed, ..demand.clone() };
        started.then(|| Member { demand: demand(), _guard: EndOnDrop(flight.clone()), flight })
    }

    async fn fetch_together(
        self: &Arc<Self>,
        demand: &Demand,
        flight: &Arc<Flight>,
        members: &[Member],
        bytes: u64,
    ) -> Result<Vec<Fetched>> {
        if !demand.entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await? {
            return Err(demand.entry.offline_error());
        }
        let spend = Spend::Collection { bytes };
        self.admission.admit(&demand.call, &demand.path.endpoint, &demand.path.to_string(), &spend).await?;
        let _permit = demand.entry.flows.acquire().await;
        let job = self.submit_together(demand, members).await?;
        flight.update(|status| status.job = Some(job.id.clone()));
        for member in members {
            member.flight.update(|status| status.job = Some(job.id.clone()));
        }
        let mut events = self.backend.watch(&job);
        let start_by = tokio::time::Instant::now() + self.settings.start_by;
        let mut fetched = Vec::new();
        let mut heard = false;
        loop {
            match self.next_event(&mut events, &job, &demand.entry, start_by, heard).await? {
                Some(JobEvent::Progress { bytes, .. }) => {
                    heard = true;
                    flight.update(|status| status.bytes = bytes);
                }
                Some(JobEvent::Fetched(file)) => {
                    heard = true;
                    fetched.push(file);
                }
                Some(JobEvent::Delivered | JobEvent::Listed(_)) => {}
                Some(JobEvent::Ended(Outcome::Failed { message, .. })) if fetched.is_empty() => {
                    return Err(Error::backend(message));
                }
                Some(JobEvent::Ended(_)) | None => return Ok(fetched),
            }
        }
    }

    async fn submit_together(&self, demand: &Demand, members: &[Member]) -> Result<Job> {
        let files = std::iter::once(&demand.path).chain(members.iter().map(|member| &member.demand.path));
        let work = Work::Fetch { files: files.cloned().collect() };
        let limits = Limits {
            timeout: TIMEOUT,
            max_rows: 0,
            max_upload_bytes: BYTES.saturating_mul(2).saturating_add(demand.limit),
            cpu_percent: 0,
        };
        let what = format!("collect, with {} more,", members.len());
        self.submit(&demand.call, &demand.entry, &demand.path, work, &what, limits).await
    }

    /// A file that did not come along goes alone if somebody waits for it.
    fn alone(self: &Arc<Self>, member: Member) {
        if member.flight.is_awaited() {
            let inner = self.clone();
            tokio::spawn(async move { super::collect::run(inner, member.demand.clone(), member.flight.clone()).await });
            return;
        }
        member.flight.end(Err(Error::backend("it was not collected together with others; ask again")));
        member.demand.directory.end_collection((member.demand.node.own, member.demand.node.version));
    }
}
