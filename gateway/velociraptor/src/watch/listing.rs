//! Listing flows: whole directories are told as soon as they are certain (D29).

use std::time::Duration;

use vfs::EndpointPath;
use vfs::backend::{Cause, Failure, JobEvent, Listed, Outcome};
use vfs::snapshot::Rows;

use super::complaint;
use super::pages::{Pages, is_last};
use super::watcher::{Watcher, ended};
use crate::artifacts;
use crate::flow::{FlowState, Kind, Phase};
use crate::listing::{Many, Overflow, Tree, Whole};
use crate::row::{self, Columns};
use crate::server::{CallError, CallResult};
use crate::table;

/// Reads the tables of one listing flow.
pub(super) enum Reader {
    Tree { tree: Box<Tree>, listing: Pages, stats: Pages, directory: EndpointPath },
    Many { many: Many, pages: Pages },
}

/// Pauses for tables that are not yet on the disk of the server although the flow is over.
const LATE: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500)];

impl Reader {
    /// A reader if the task is a listing.
    pub(super) fn new(watcher: &Watcher) -> Option<Reader> {
        let (client_id, flow_id) = (&watcher.job.endpoint.client_id, &watcher.job.id);
        let pages = |source| Pages::of_source(&watcher.shared.server, client_id, flow_id, source);
        match &watcher.task.kind {
            Kind::List { directory, depth } => Some(Reader::Tree {
                tree: Box::new(Tree::new(directory.clone(), *depth)),
                listing: pages(artifacts::LISTING),
                stats: pages(artifacts::STATS),
                directory: directory.clone(),
            }),
            Kind::ListMany { directories } => {
                Some(Reader::Many { many: Many::new(directories), pages: pages(artifacts::LIST_MANY_ROWS) })
            }
            _ => None,
        }
    }

    /// Whether any directory was told.
    pub(super) fn has_told(&self) -> bool {
        match self {
            Reader::Tree { tree, .. } => tree.gave(),
            // Who asked for many at once waits for all of them.
            Reader::Many { many, .. } => many.next_row() > 0,
        }
    }

    /// Reads what is there of a flow that still runs; the number of rows read so far.
    pub(super) async fn read_early(&mut self, watcher: &Watcher, state: &FlowState) -> CallResult<u64> {
        self.read(watcher, state, false).await?;
        Ok(match self {
            Reader::Tree { tree, .. } => tree.next_row(),
            Reader::Many { many, .. } => many.next_row(),
        })
    }

    /// Reads the rest of a flow that is over, and judges it.
    pub(super) async fn finish(&mut self, watcher: &Watcher, state: &FlowState) -> CallResult<Outcome> {
        let (client_id, flow_id) = (&watcher.job.endpoint.client_id, &watcher.job.id);
        if let Reader::Tree { directory, .. } = self
            && state.phase == Phase::Finished
            && state.has_source(artifacts::LIST_DIRECTORY)
        {
            return legacy(watcher, state, &directory.clone()).await;
        }
        // Without the sources no directory was read: there is nothing to look for.
        let expects_rows = match self {
            Reader::Tree { .. } => state.has_source(artifacts::STATS) || state.has_source(artifacts::LISTING),
            Reader::Many { .. } => state.has_source(artifacts::LIST_MANY_ROWS),
        };
        if expects_rows {
            self.read(watcher, state, true).await?;
            for pause in LATE {
                if state.phase != Phase::Finished || self.is_complete() {
                    break;
                }
                tokio::time::sleep(pause).await;
                self.read(watcher, state, true).await?;
            }
        }
        let missing = match self {
            Reader::Tree { tree, .. } => tree.unlisted(),
            Reader::Many { many, .. } => many.unlisted(),
        };
        if state.phase == Phase::Failed {
            // A flow also counts as failed for a line in its log; a single directory that is whole is whole.
            let single = matches!(&watcher.task.kind, Kind::List { depth: 0, .. });
            return Ok(if single && missing == 0 { Outcome::Finished { complaint: None } } else { ended(state) });
        }
        if missing == 0 {
            return Ok(Outcome::Finished { complaint: None });
        }
        if let Reader::Tree { tree, .. } = self
            && !tree.root_listed()
            && state.has_source(artifacts::STATS)
        {
            let message = "the server's tables of this listing do not agree with each other: rows are missing".into();
            return Ok(Outcome::Failed { failure: Failure::Error, message });
        }
        let complaint = complaint::of_listing(&watcher.shared.server, client_id, flow_id, missing).await?;
        Ok(Outcome::Finished { complaint: Some(complaint) })
    }

    /// Whether all that the endpoint read is here.
    fn is_complete(&self) -> bool {
        match self {
            Reader::Tree { tree, .. } => tree.root_listed(),
            Reader::Many { .. } => true,
        }
    }

    async fn read(&mut self, watcher: &Watcher, state: &FlowState, over: bool) -> CallResult<()> {
        match self {
            Reader::Tree { tree, listing, stats, .. } => {
                let mut read_stats = async |tree: &mut Tree, page: Option<_>| -> CallResult<()> {
                    let mut page = page;
                    loop {
                        let current = match page.take() {
                            Some(page) => page,
                            None => stats.page(tree.next_stats_row()).await?,
                        };
                        tree.statistics(&current);
                        if is_last(&current, tree.next_stats_row()) {
                            return Ok(());
                        }
                    }
                };
                if over {
                    // Both first pages at once: a small flow has no others.
                    let (first_rows, first_stats) = tokio::join!(
                        listing.page(tree.next_row()),
                        watcher.shared.server.table(first_stats(watcher, tree))
                    );
                    let mut page = first_rows?;
                    read_stats(tree, first_stats.ok()).await?;
                    loop {
                        tree.listing(&page).map_err(overflow)?;
                        tell(watcher, state, tree.whole()).await;
                        if is_last(&page, tree.next_row()) {
                            break;
                        }
                        page = listing.page(tree.next_row()).await?;
                    }
                } else {
                    loop {
                        let page = listing.page(tree.next_row()).await?;
                        tree.listing(&page).map_err(overflow)?;
                        tell(watcher, state, tree.whole()).await;
                        if is_last(&page, tree.next_row()) {
                            break;
                        }
                    }
                    read_stats(tree, None).await?;
                    tell(watcher, state, tree.whole()).await;
                }
            }
            Reader::Many { many, pages } => loop {
                let page = pages.page(many.next_row()).await?;
                let whole = many.listing(&page).map_err(overflow)?;
                tell(watcher, state, whole).await;
                if is_last(&page, many.next_row()) {
                    break;
                }
            },
        }
        Ok(())
    }
}

fn first_stats(watcher: &Watcher, tree: &Tree) -> velociraptor_proto::proto::GetTableRequest {
    velociraptor_proto::proto::GetTableRequest {
        client_id: watcher.job.endpoint.client_id.to_string(),
        flow_id: watcher.job.id.to_string(),
        artifact: artifacts::STATS.to_owned(),
        start_row: tree.next_stats_row(),
        rows: 1_000,
        ..Default::default()
    }
}

fn overflow(_: Overflow) -> CallError {
    CallError::Invalid("a directory has more than 4 GiB of names".into())
}

async fn tell(watcher: &Watcher, state: &FlowState, whole: Vec<Whole>) {
    for Whole { directory, rows, first_row } in whole {
        let observation = watcher.observation(state, first_row);
        watcher.tell(JobEvent::Listed(Listed { directory, rows, observation, collected: Vec::new() })).await;
    }
}

/// Agents before 0.6.8 list by glob: one table, no Stats, no components (§4.3). Only depth 0, and never "empty", can be told from it.
async fn legacy(watcher: &Watcher, state: &FlowState, directory: &EndpointPath) -> CallResult<Outcome> {
    if !matches!(watcher.task.kind, Kind::List { depth: 0, .. }) {
        let message = "the endpoint's agent is too old for listings of several levels".into();
        return Ok(Outcome::Failed { failure: Failure::Error, message });
    }
    let (client_id, flow_id) = (&watcher.job.endpoint.client_id, &watcher.job.id);
    let mut pages = Pages::of_source(&watcher.shared.server, client_id, flow_id, artifacts::LIST_DIRECTORY);
    let mut rows = Rows::new();
    let mut next = 0;
    loop {
        let page = pages.page(next).await?;
        next += page.rows.len() as u64;
        let columns = Columns::of(&page);
        for row in &page.rows {
            let Some(fields) = table::fields(row) else { continue };
            if row::append(&columns, &fields, directory, &mut rows).is_err_and(|error| error == row::Refused::Full) {
                return Err(overflow(Overflow));
            }
        }
        if is_last(&page, next) {
            break;
        }
    }
    if rows.is_empty() {
        let message = "the endpoint's agent is too old to tell an empty directory from one that cannot be read".into();
        return Ok(Outcome::Finished { complaint: Some(vfs::backend::Complaint { cause: Cause::Unknown, message }) });
    }
    tell(watcher, state, vec![Whole { directory: directory.clone(), rows, first_row: 0 }]).await;
    Ok(Outcome::Finished { complaint: None })
}
