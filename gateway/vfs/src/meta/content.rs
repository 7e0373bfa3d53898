//! What stands in the gateway's own files.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;

use super::directory::names;
use crate::error::Result;
use crate::freshness::Freshness;
use crate::node::{Identity, Node};
use crate::path::EndpointPath;
use crate::principal::Call;
use crate::snapshot::Rows;
use crate::store::{DirectoryKey, Place};
use crate::timestamp::Timestamp;
use crate::tree::{Directory, blocking, gone};
use crate::vfs::Inner;

const REFRESH_TEXT: &str = "a new listing of this directory was asked for; dir.json and why.txt tell how it went\n";
/// `refresh` starts at most one listing in this time.
const REFRESH_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

impl Inner {
    /// The content of the own file `own` in `directory`.
    pub(super) async fn make_content(self: &Arc<Self>, directory: &Arc<Directory>, own: Identity) -> Result<String> {
        let of = self.subject(directory).await?;
        if let Place::MetaFiles { .. } = &directory.place {
            let loaded = self.tree.load(&of).await?.ok_or_else(gone)?;
            let named = |name: &str| self.child_identity(directory.node.own, &format!("{name}.json")) == own;
            let entry = loaded.snapshot.entries().find(|entry| named(entry.row.name())).ok_or_else(gone)?;
            let found = self.found(&of, &entry, false);
            return Ok(pretty(&self.provenance(&found.node).await?));
        }
        let name = names(&of).find(|name| self.child_identity(directory.node.own, name) == own).ok_or_else(gone)?;
        Ok(match name {
            "dir.json" => pretty(&self.directory_json(&of)),
            "why.txt" => self.why(&of),
            "refresh" => REFRESH_TEXT.to_owned(),
            "bodyfile" => self.body_file(&of).await?,
            "activity.jsonl" => self.activity_lines(&of),
            "status.json" => pretty(&self.endpoint_json(&of)),
            _ => return Err(gone()),
        })
    }

    /// Somebody began to read an own file: `refresh` acts on it.
    pub(super) async fn meta_opened(self: &Arc<Self>, node: &Node, call: &Call) -> Result<()> {
        if call.frozen || self.child_identity(node.parent, "refresh") != node.own {
            return Ok(());
        }
        let directory = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
        let of = self.subject(&directory).await?;
        let lately = |at: Timestamp| self.clock.now().since(at) < REFRESH_EVERY;
        let state = of.state();
        let listed_lately = state.listing.as_ref().is_some_and(|listing| lately(listing.observation.seen));
        let failed_lately = state.failure.as_ref().is_some_and(|failure| lately(failure.at));
        if listed_lately || failed_lately {
            return Ok(());
        }
        if self.demand_uploads_anew(&of).await?.is_none() && matches!(of.place, Place::Endpoint(_)) {
            self.look_anew(&of, call)?;
        }
        Ok(())
    }

    pub(super) fn directory_json(&self, of: &Directory) -> serde_json::Value {
        let path = match &of.place {
            Place::Endpoint(path) => json!({
                "client_id": path.endpoint.client_id, "org": path.endpoint.org, "accessor": path.accessor, "components": path.components,
            }),
            Place::Accessors(endpoint) | Place::Collected(endpoint) => {
                json!({ "client_id": endpoint.client_id, "org": endpoint.org })
            }
            Place::Uploads(place) => {
                let endpoint = &place.job.endpoint;
                json!({ "client_id": endpoint.client_id, "org": endpoint.org, "flow": place.job.id, "uploaded_as": place.below })
            }
            _ => json!({}),
        };
        let freshness = self.freshness_of(of);
        let age = match &freshness {
            Freshness::Listed { observation, .. } => Some(self.clock.now().since(observation.seen).as_secs()),
            _ => None,
        };
        let queued = match &of.place {
            Place::Endpoint(path) => self.queued_json(path),
            _ => json!(null),
        };
        json!({
            "path": path, "listing": freshness, "age_seconds": age, "generation": of.state().generation,
            "being_listed": of.is_being_listed(), "queued": queued,
        })
    }

    /// The flow that waits for the endpoint's return and brings `path`.
    pub(super) fn queued_json(&self, path: &EndpointPath) -> serde_json::Value {
        self.away.told(path).map_or(json!(null), |(flow, until)| json!({ "flow": flow, "until": until }))
    }

    fn why(&self, of: &Directory) -> String {
        let mut text = match self.freshness_of(of) {
            Freshness::Own => "This directory is the gateway's own; it is always up to date.\n".to_owned(),
            Freshness::Unknown => "This directory was never listed.\n".to_owned(),
            Freshness::Failed(failed) => {
                format!(
                    "This directory was never listed. The last attempt, at {}, failed: {}\n",
                    time(failed.at),
                    failed.message
                )
            }
            Freshness::Listed { observation, entries, failed_since } => {
                let (seen, job, by) = (time(observation.seen), &observation.job, &observation.by);
                let mut text = match &of.place {
                    Place::Collected(_) => format!(
                        "The server was asked at {seen}: {entries} flows on this endpoint have ended and uploaded something. Those under way are not here yet.\n"
                    ),
                    Place::Uploads(_) => format!(
                        "What flow {job} (started by {by}) uploaded, as the server had it at {seen}: {entries} entries here. The endpoint was not asked.\n"
                    ),
                    _ => format!("Listed at {seen} by flow {job} (started by {by}): {entries} entries.\n"),
                };
                if let Some(failed) = failed_since {
                    let _infallible = writeln!(text, "A refresh at {} failed: {}", time(failed.at), failed.message);
                }
                text
            }
        };
        if of.is_being_listed() {
            text.push_str("A new listing is under way.\n");
        }
        if let Place::Endpoint(path) = &of.place {
            for (what, job, until) in self.away.told_in(path) {
                let _infallible = writeln!(
                    text,
                    "Flow {job} for {what} waits on the server until {}; it runs when the endpoint is back.",
                    time(until)
                );
            }
        }
        if let Place::Endpoint(path) = &of.place
            && let Some(due) = self.activities.due_on(&path.endpoint.client_id)
        {
            let _infallible = writeln!(
                text,
                "The endpoint takes work at intervals and has taken what it can for now; what waits leaves at about {}. It is not offline.",
                time(due)
            );
        }
        if let Some(entry) = self.endpoints.get(of.node.export) {
            let endpoint = entry.endpoint();
            let online = entry.seems_online(self.clock.now(), self.settings.offline_after);
            let seen = endpoint.last_seen.map_or_else(|| "never".to_owned(), time);
            let state = if online { "online" } else { "offline" };
            let _infallible = writeln!(
                text,
                "Endpoint {} ({}) is {state}; the server last heard of it at {seen}.",
                endpoint.id, endpoint.hostname
            );
            let failures = self.activities.list().into_iter().filter(|work| *work.endpoint == *endpoint.id.client_id);
            for work in failures.filter(|work| work.ended.as_ref().is_some_and(|ended| &**ended != "done")).take(10) {
                let _infallible = writeln!(
                    text,
                    "{} {} for {}: {}",
                    work.work,
                    work.path,
                    work.principal,
                    work.ended.as_deref().unwrap_or_default()
                );
            }
        }
        text
    }

    fn activity_lines(&self, of: &Directory) -> String {
        let Place::Accessors(endpoint) = &of.place else {
            return String::new();
        };
        let works = self.activities.list().into_iter().filter(|work| *work.endpoint == *endpoint.client_id);
        works.filter_map(|work| serde_json::to_string(&work).ok()).fold(String::new(), |mut text, line| {
            text.push_str(&line);
            text.push('\n');
            text
        })
    }

    fn endpoint_json(&self, of: &Directory) -> serde_json::Value {
        let Some(entry) = self.endpoints.get(of.node.export) else {
            return json!({});
        };
        let endpoint = entry.endpoint();
        json!({
            "endpoint": *endpoint,
            "online": entry.seems_online(self.clock.now(), self.settings.offline_after),
            "jobs": self.activities.running_on(&endpoint.id.client_id),
            "takes_work_at": self.activities.due_on(&endpoint.id.client_id),
            "budget": entry.budget(self.clock.now()),
        })
    }

    /// All cached listings in the body format that `mactime` reads (one line an entry, times in whole seconds).
    async fn body_file(self: &Arc<Self>, of: &Arc<Directory>) -> Result<String> {
        let store = self.store.clone();
        let export = of.node.export;
        blocking(move || {
            let (mut listed, mut lines, mut failed) = (0_u64, String::new(), None);
            store.each_directory(export, &mut |key, record| {
                let Place::Endpoint(path) = &record.place else { return true };
                match store.rows(key, record.generation) {
                    Ok(Some(bytes)) => {
                        if let Ok(rows) = Rows::decode(&bytes) {
                            listed += 1;
                            body_lines(&mut lines, &path.to_string(), &rows);
                        }
                        true
                    }
                    Ok(None) => true,
                    Err(error) => {
                        failed = Some(error);
                        false
                    }
                }
            })?;
            match failed {
                Some(error) => Err(error),
                None => {
                    Ok(format!("# cached listings of {listed} directories; what was never listed is not here\n{lines}"))
                }
            }
        })
        .await
    }
}

fn body_lines(out: &mut String, directory: &str, rows: &Rows) {
    let seconds = |time: Option<Timestamp>| time.map_or(0, |time| time.seconds);
    for row in rows.iter() {
        let times = row.times();
        let name = row.name().replace('|', "%7C").replace('\n', "%0A");
        let _infallible = writeln!(
            out,
            "0|{directory}/{name}|0|{:?}/{:04o}|0|0|{}|{}|{}|{}|{}",
            row.file_type(),
            row.mode(),
            row.size(),
            seconds(times.accessed),
            seconds(times.modified),
            seconds(times.changed),
            seconds(times.born)
        );
    }
}

fn time(time: Timestamp) -> String {
    time.to_rfc3339()
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
