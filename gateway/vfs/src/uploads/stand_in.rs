//! Uploads that stand in for files of the live tree (D9, D27): what a colleague, a hunt or a triage collection brought to the server is
//! not collected once more, and is there while its endpoint is away.

use std::sync::Arc;
use std::time::Duration;

use super::content::{has_other_components, uploaded};
use super::jobs::{summary, uploads_place};
use crate::attributes::FileType;
use crate::backend::{FetchedContent, Observation};
use crate::content::{as_listed, companions, entry_version, is_as_listed, record_collected};
use crate::endpoint::EndpointId;
use crate::error::Result;
use crate::node::{Identity, Keys, Node};
use crate::path::EndpointPath;
use crate::principal::Call;
use crate::snapshot::{Entry, Row};
use crate::store::{DirectoryKey, Place};
use crate::tree::{COLLECTED, Directory, Loaded};
use crate::vfs::Inner;

/// Jobs that are looked through, the newest first.
const JOBS: usize = 64;
/// Of them so many are asked for at the server: each costs a call or more. The next look asks for the next ones.
const READ: usize = 8;
/// Who wants a file waits so long for a look at the server at most; what it was about to find is known to the next one.
const LOOK: Duration = Duration::from_secs(2);

/// The uploads that are called as the files of one directory, the newest first.
#[derive(Default)]
pub(crate) struct StandIns {
    uploads: Vec<(Arc<Directory>, Arc<Loaded>)>,
}

impl StandIns {
    /// The uploads of the newest job that brought all of `entries` as they are listed now. One that may be of another state stands in for
    /// none, and sets are never mixed from several jobs (D10).
    pub(crate) fn of(&self, entries: &[Entry<'_>], keys: &Keys) -> Option<Vec<(FetchedContent, Observation)>> {
        self.uploads.iter().find_map(|(directory, loaded)| {
            entries.iter().map(|entry| stands_in(directory, loaded, entry, keys)).collect::<Option<Vec<_>>>()
        })
    }
}

fn stands_in(
    directory: &Directory,
    loaded: &Loaded,
    entry: &Entry<'_>,
    keys: &Keys,
) -> Option<(FetchedContent, Observation)> {
    // Not by an alias.
    let upload = loaded.snapshot.by_name(entry.row.name(), keys).filter(|it| it.row.name() == entry.row.name())?;
    let Place::Uploads(place) = &directory.place else { return None };
    let is_file = |row: &Row<'_>| row.file_type() == FileType::Regular;
    if !is_file(&entry.row) || !is_file(&upload.row) || entry.row.size_unknown() || has_other_components(&upload.row) {
        return None;
    }
    let content = uploaded(place, &upload.row).ok()?;
    let observation = directory.state_of(loaded)?.listing.as_ref()?.observation.clone();
    // Seen by the endpoint at some time in its job: not when the list was read.
    let observation = Observation { seen: observation.started, ..observation };
    is_as_listed(entry, &content, &observation).then_some((content, observation))
}

/// The accessors under which the files of `accessor` are found as they are: `auto` reads what `file` can read as `file` does.
fn accessors(accessor: &str) -> impl Iterator<Item = &str> {
    std::iter::once(accessor).chain((accessor == "auto").then_some("file"))
}

impl Inner {
    /// Takes an upload for the file that `node` names, and for those that belong to it, if there is one that is what is listed.
    pub(crate) async fn take_stand_in(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        node: &Node,
        call: &Call,
    ) -> Result<bool> {
        let Place::Endpoint(path) = &directory.place else { return Ok(false) };
        // What was read of a version in ranges has to stay true.
        let is_in_ranges = |own, version| directory.file(own).is_some_and(|record| record.ranges(version).is_some());
        if is_in_ranges(node.own, node.version) {
            return Ok(false);
        }
        if let Ok(looked) = tokio::time::timeout(LOOK, self.look_for_uploads(&path.endpoint, call)).await {
            looked?;
        }
        let Some(loaded) = self.tree.load(directory).await? else { return Ok(false) };
        let entry = loaded.snapshot.by_identity(node.own).filter(|entry| entry_version(entry) == node.version);
        let Some(entry) = entry else { return Ok(false) };
        let mut entries = companions(&loaded.snapshot, entry.row.name());
        entries.push(entry);
        if entries.iter().any(|entry| is_in_ranges(entry.identity, entry_version(entry))) {
            return Ok(false);
        }
        let jobs = self.jobs_of_others(&path.endpoint).await?;
        let Some(found) = self.stand_ins(&jobs, path).await?.of(&entries, &self.keys) else { return Ok(false) };
        for (entry, (content, observation)) in entries.iter().zip(found) {
            let Observation { job, by, .. } = &observation;
            tracing::info!(%path, name = entry.row.name(), flow = %job, %by, "an upload stands in for the file");
            let set = (entries.len() > 1).then(|| job.clone());
            let (version, own) = (entry_version(entry), entry.identity);
            let listed = as_listed(entry, version);
            record_collected(self, directory, own, version, listed, (content, observation), set.as_ref()).await?;
        }
        Ok(true)
    }

    /// Asks the server for jobs and their uploads that are not known yet.
    async fn look_for_uploads(self: &Arc<Self>, endpoint: &EndpointId, call: &Call) -> Result<()> {
        let list = self.list_of_jobs(endpoint).await?;
        self.look_at_uploads(&list, call, false).await?;
        let mut read = 0;
        for job in self.jobs_of_others(endpoint).await? {
            if !self.is_fresh(&job, true) && read < READ {
                read += 1;
                self.look_at_uploads(&job, call, false).await?;
            }
        }
        Ok(())
    }

    /// What is known by now of the uploads of these jobs that are called as the files of the directory at `path`.
    pub(crate) async fn stand_ins(self: &Arc<Self>, jobs: &[Arc<Directory>], path: &EndpointPath) -> Result<StandIns> {
        let mut uploads = Vec::new();
        for job in jobs {
            for accessor in accessors(&path.accessor) {
                let names = std::iter::once(accessor).chain(path.components.iter().map(|name| &**name));
                let own = names.fold(job.node.own, |parent: Identity, name| self.keys.child(parent, name, 0));
                let key = DirectoryKey { export: job.node.export, own };
                // Most jobs uploaded nothing from there.
                let Ok(directory) = self.tree.resolve_key(key).await else { continue };
                if let Some(loaded) = self.tree.load(&directory).await? {
                    uploads.push((directory, loaded));
                }
            }
        }
        Ok(StandIns { uploads })
    }

    async fn list_of_jobs(self: &Arc<Self>, endpoint: &EndpointId) -> Result<Arc<Directory>> {
        let client = self.keys.child(Identity::ROOT, &endpoint.client_id, 0);
        let own = self.keys.child(client, COLLECTED, 0);
        self.tree.known(self.keys.export(endpoint), client, own, Place::Collected(endpoint.clone())).await
    }

    /// The directories of the newest jobs that are known and may have uploads which this gateway did not see coming, the newest first.
    pub(crate) async fn jobs_of_others(self: &Arc<Self>, endpoint: &EndpointId) -> Result<Vec<Arc<Directory>>> {
        let list = self.list_of_jobs(endpoint).await?;
        let Some(loaded) = self.tree.load(&list).await? else { return Ok(Vec::new()) };
        // There may be thousands: only those that are taken are read.
        let mut jobs: Vec<_> = loaded.snapshot.entries().map(|entry| (entry.row.times().born, entry)).collect();
        jobs.sort_by_key(|(started, _)| std::cmp::Reverse(*started));
        let of_others = |entry: Entry<'_>| {
            let job = summary(&entry.row).filter(|job| !self.known_jobs.is_own(&job.id))?;
            Some((entry.identity, Place::Uploads(uploads_place(endpoint, entry.row.name(), &job.id))))
        };
        let jobs: Vec<_> = jobs.into_iter().filter_map(|(_, entry)| of_others(entry)).take(JOBS).collect();
        let mut directories = Vec::with_capacity(jobs.len());
        for (own, place) in jobs {
            directories.push(self.tree.known(list.node.export, list.node.own, own, place).await?);
        }
        Ok(directories)
    }
}
