//! The list of an endpoint's jobs: which of them have a directory in `collected`, and reading no more of the list than is new.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use dashmap::{DashMap, DashSet};
use futures_util::StreamExt as _;

use super::SETTLES;
use crate::attributes::FileType;
use crate::backend::{Job, JobSummary, Observation};
use crate::endpoint::EndpointId;
use crate::error::{Error, Result};
use crate::snapshot::{EntryFields, Row, Rows, Times};
use crate::store::{ListingRecord, Place, UploadsPlace};
use crate::timestamp::Timestamp;
use crate::tree::{Directory, Loaded, State};
use crate::vfs::Inner;

/// What was read of the lists of jobs lately, by endpoint.
#[derive(Default)]
pub(crate) struct KnownJobs {
    endpoints: DashMap<u64, Known>,
    /// Jobs that this process queued: whatever they bring is kept when it comes.
    own: DashSet<Arc<str>>,
}

/// The jobs of one endpoint, whether they uploaded anything or not.
struct Known {
    /// When the list was read to its end.
    whole: Timestamp,
    ids: HashSet<Arc<str>>,
    /// Those that may still change.
    open: HashSet<Arc<str>>,
}

/// The list is read to its end at least so often.
const WHOLE: Duration = Duration::from_secs(300);
/// More jobs than one endpoint can have run.
const MOST_JOBS: usize = 1_000_000;
const ENDPOINTS_KEPT: usize = 64;
const OWN_KEPT: usize = 100_000;
/// Bytes of a name in a job's directory at most.
const MOST_OF_A_NAME: usize = 100;

impl KnownJobs {
    /// Remembers a job that this process queued.
    pub(crate) fn add_own(&self, id: &Arc<str>) {
        if self.own.len() >= OWN_KEPT {
            self.own.clear();
        }
        self.own.insert(id.clone());
    }

    /// Whether this process queued the job.
    pub(super) fn is_own(&self, id: &Arc<str>) -> bool {
        self.own.contains(id)
    }
}

impl Inner {
    /// Reads the list of jobs as far as it may have changed, and publishes it.
    pub(super) async fn read_jobs(self: &Arc<Self>, directory: &Arc<Directory>, endpoint: &EndpointId) -> Result<()> {
        let now = self.clock.now();
        let before = self.tree.load(directory).await.unwrap_or(None);
        // Forgotten until this has succeeded.
        let known = self.known_jobs.endpoints.remove(&directory.node.export).map(|(_, known)| known);
        let known = known.filter(|known| before.is_some() && now.since(known.whole) < WHOLE);
        let mut waited_for = known.as_ref().map(|known| known.open.clone()).unwrap_or_default();
        let (mut ids, mut open, mut fresh) = (HashSet::new(), HashSet::new(), 0);
        let mut listed = BTreeMap::new();
        let mut whole = true;
        let mut pages = self.backend.jobs(endpoint);
        while let Some(page) = pages.next().await {
            let page = page?;
            for job in page.jobs {
                if !ids.insert(job.id.clone()) {
                    continue;
                }
                fresh += usize::from(known.as_ref().is_some_and(|known| !known.ids.contains(&job.id)));
                waited_for.remove(&job.id);
                if job.ended.is_none_or(|ended| now.since(ended) < SETTLES) {
                    open.insert(job.id.clone());
                }
                if job.ended.is_some() && job.files > 0 {
                    listed.insert(job_name(&job), job);
                }
            }
            if ids.len() > MOST_JOBS {
                return Err(Error::backend(format!(
                    "the server remembers more than {MOST_JOBS} flows of this endpoint"
                )));
            }
            // The order of the list is not certain: what is new is all here if there are as many as there should be.
            if let Some(known) = &known
                && waited_for.is_empty()
                && page.total == (known.ids.len() + fresh) as u64
            {
                whole = false;
                break;
            }
        }
        drop(pages);
        let old = before.as_ref().map(jobs_of).unwrap_or_default();
        if !whole {
            for (name, job) in &old {
                if !ids.contains(&job.id) {
                    listed.insert(name.clone(), job.clone());
                }
            }
        }
        self.unsettle(directory, &old, &listed).await?;
        let observation = Observation { job: "".into(), by: "".into(), started: now, seen: now, first_row: 0 };
        self.publish_rows(directory, rows_of(&listed)?, observation, false).await?;
        let whole_at = known.as_ref().filter(|_| !whole).map_or(now, |known| known.whole);
        if let Some(known) = known.filter(|_| !whole) {
            ids.extend(known.ids);
        }
        if self.known_jobs.endpoints.len() >= ENDPOINTS_KEPT {
            self.known_jobs.endpoints.clear();
        }
        self.known_jobs.endpoints.insert(directory.node.export, Known { whole: whole_at, ids, open });
        Ok(())
    }

    /// The uploads of jobs of which the server says something new are read again, even if they were thought to be complete.
    async fn unsettle(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        old: &BTreeMap<String, JobSummary>,
        new: &BTreeMap<String, JobSummary>,
    ) -> Result<()> {
        let Place::Collected(endpoint) = &directory.place else { return Ok(()) };
        for (name, job) in new {
            if old.get(name).is_none_or(|known| known == job) {
                continue;
            }
            let own = self.keys.child(directory.node.own, name, 0);
            let place = Place::Uploads(uploads_place(endpoint, name, &job.id));
            let uploads = self.tree.known(directory.node.export, directory.node.own, own, place).await?;
            let _turn = uploads.publishing.lock().await;
            let state = State::clone(&uploads.state());
            if let Some(listing) = &state.listing
                && listing.settled
            {
                let listing = Some(ListingRecord { settled: false, ..listing.clone() });
                self.save_state(&uploads, State { listing, ..state }).await?;
            }
        }
        Ok(())
    }

    /// What the list of jobs says of the job whose directory this is.
    pub(super) async fn job_of(self: &Arc<Self>, directory: &Directory) -> Result<JobSummary> {
        let key = crate::store::DirectoryKey { export: directory.node.export, own: directory.node.parent };
        let list = self.tree.resolve_key(key).await?;
        let loaded = self.tree.load(&list).await?;
        let entry = loaded.as_ref().and_then(|loaded| loaded.snapshot.by_identity(directory.node.own));
        entry.and_then(|entry| summary(&entry.row)).ok_or_else(|| {
            Error::stale("the server does not remember this flow any more; what was read of it can still be read")
        })
    }
}

/// The place of the directory that an entry of the list of jobs stands for; `None` in every other directory.
pub(crate) fn job_place(parent: &Place, row: &Row<'_>) -> Option<Place> {
    let Place::Collected(endpoint) = parent else { return None };
    Some(Place::Uploads(uploads_place(endpoint, row.name(), &summary(row)?.id)))
}

pub(super) fn uploads_place(endpoint: &EndpointId, name: &str, job: &Arc<str>) -> UploadsPlace {
    let job = Job { endpoint: endpoint.clone(), id: job.clone() };
    UploadsPlace { job, name: name.into(), below: Vec::new(), stored: None }
}

pub(super) fn summary(row: &Row<'_>) -> Option<JobSummary> {
    serde_json::from_str(row.details()?).ok()
}

fn jobs_of(loaded: &Arc<Loaded>) -> BTreeMap<String, JobSummary> {
    let rows = loaded.snapshot.rows().iter();
    rows.filter_map(|row| Some((row.name().to_owned(), summary(&row)?))).collect()
}

fn rows_of(jobs: &BTreeMap<String, JobSummary>) -> Result<Rows> {
    let mut rows = Rows::new();
    for (name, job) in jobs {
        let details = serde_json::to_string(job).unwrap_or_default();
        let fits = rows.push(&EntryFields {
            name,
            shown: None,
            file_type: FileType::Directory,
            mode: 0o555,
            size: 0,
            size_unknown: false,
            unfetchable: false,
            times: Times { modified: job.ended, accessed: job.ended, changed: job.ended, born: Some(job.started) },
            link: None,
            inline: None,
            details: Some(&details),
        });
        if !fits {
            return Err(Error::backend("the list of flows is longer than a listing can be"));
        }
    }
    Ok(rows)
}

/// The name of a job's directory: when it was started, what was run, and its id, so that names sort by time and are good everywhere.
fn job_name(job: &JobSummary) -> String {
    let text = Timestamp { seconds: job.started.seconds, nanos: 0 }.to_rfc3339();
    let mut named = job.named.first().map_or_else(|| "unknown".to_owned(), |first| plain(first));
    if job.named.len() > 1 {
        named.push_str(&format!("+{}", job.named.len() - 1));
    }
    format!("{}-{named}-{}", text.replace(':', ""), plain(&job.id))
}

/// Letters, digits and a few others that every client takes in a name.
fn plain(text: &str) -> String {
    let good = |character: char| character.is_ascii_alphanumeric() || "._+".contains(character);
    let kept = text.chars().take(MOST_OF_A_NAME);
    kept.map(|character| if good(character) { character } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job(id: &str, named: &[&str], seconds: i64) -> JobSummary {
        JobSummary {
            id: id.into(),
            named: named.iter().map(|name| (*name).to_owned()).collect(),
            by: "analyst".into(),
            started: Timestamp::new(seconds, 123),
            ended: Some(Timestamp::new(seconds + 1, 0)),
            failed: None,
            files: 1,
            bytes: 1,
        }
    }

    #[test]
    fn a_name_tells_when_what_and_which() {
        let name = |named: &[&str]| job_name(&job("F.DC4RQK81M77F2.H", named, 1_795_797_701));
        assert_eq!(name(&["Triage.Targets"]), "2026-11-27T164141Z-Triage.Targets-F.DC4RQK81M77F2.H");
        assert_eq!(name(&["A", "B", "C"]), "2026-11-27T164141Z-A+2-F.DC4RQK81M77F2.H");
        assert_eq!(name(&[]), "2026-11-27T164141Z-unknown-F.DC4RQK81M77F2.H");
    }

    proptest! {
        #[test]
        fn every_name_is_good_everywhere_and_keeps_the_job_apart(id in "\\PC{0,300}", named in "\\PC{0,300}", seconds: i64) {
            let name = job_name(&job(&id, &[&named], seconds));
            prop_assert!(name.len() <= 255 && !name.is_empty());
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-@".contains(&byte)), "{}", name);
        }

        #[test]
        fn an_entry_says_all_of_its_job(id in "\\PC{0,20}", by in "\\PC{0,20}", seconds in 0i64..4_000_000_000) {
            let job = JobSummary { by: by.as_str().into(), failed: Some("text".into()), ..job(&id, &["A"], seconds) };
            let rows = rows_of(&BTreeMap::from([(job_name(&job), job.clone())])).unwrap();
            prop_assert_eq!(summary(&rows.row(0).unwrap()), Some(job));
        }
    }
}
