//! What a fake endpoint does with its jobs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{FakeBackend, FakeEntry, Place, place_of};
use crate::attributes::FileType;
use crate::backend::{
    Cause, Complaint, ContentLocation, Failure, Fetched, FetchedContent, FetchedRange, FileState, Job, JobEvent,
    Listed, Observation, Outcome, Work,
};
use crate::clock::Clock;
use crate::path::EndpointPath;
use crate::snapshot::{EntryFields, Rows, Times};

impl FakeBackend {
    fn observation(&self, job: &Arc<str>, by: &Arc<str>) -> Observation {
        let now = self.clock.now();
        let started = self.with(|state| state.submitted.get(job).copied()).unwrap_or(now);
        Observation { job: job.clone(), by: by.clone(), started, seen: now, first_row: 0 }
    }

    pub(super) fn rows(&self, place: &Place) -> Option<Rows> {
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
    pub(super) fn run(&self, job: &Job) -> Vec<JobEvent> {
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
            Work::Fetch { files } => {
                let stray = self.with(|state| state.stray.clone());
                events.extend(stray.iter().chain(files).filter_map(|file| self.fetch(file, &job.id, &by)));
            }
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
