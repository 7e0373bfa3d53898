//! How the content of a file stands: here, under way, refused, or not collected. Looking starts nothing and keeps nothing going.

use std::sync::Arc;

use crate::attributes::FileType;
use crate::content::{Held, entry_version};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::Flight;
use crate::listing::Listing;
use crate::node::{Node, NodeKind};
use crate::principal::Call;
use crate::snapshot::Entry;
use crate::store::{DirectoryKey, Place};
use crate::timestamp::Timestamp;
use crate::tree::{Directory, gone};
use crate::vfs::{Activity, Data, Inner, Vfs};

/// How the content of one version of a file stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// Not collected.
    Uncollected,
    /// Of this version only ranges are here.
    InRanges {
        /// Bytes that are here.
        bytes: u64,
    },
    /// A collection is under way.
    UnderWay {
        /// The job (flow id), once there is one.
        job: Option<Arc<str>>,
        /// The endpoint has it.
        delivered: bool,
        /// Bytes so far.
        bytes: u64,
        /// It waits for the endpoint to take work again, which is expected then.
        waits_until: Option<Timestamp>,
        /// It waits on the server until its endpoint is back, at most until then.
        queued_until: Option<Timestamp>,
    },
    /// Here, whole.
    Collected {
        /// The job (flow id).
        job: Arc<str>,
        /// When it was collected.
        seen: Timestamp,
        /// SHA-256 by the endpoint (D8).
        sha256_endpoint: Option<String>,
        /// SHA-256 over the bytes that the gateway received (D8), once it has them all.
        sha256_gateway: Option<String>,
        /// The endpoint's listing shows another state of the file by now (D5).
        changed_since: bool,
    },
    /// Nothing has to be collected: it came with the listing, is empty, or the server holds it.
    Here,
    /// The endpoint refused it just now.
    Refused {
        /// In words.
        message: String,
    },
    /// Its name was no UTF-8: it cannot be addressed (D7).
    Unfetchable,
    /// It is no regular file.
    NoContent,
}

/// The files of one wish, as [`Vfs::would_collect`] judges them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Price {
    /// Flows that it takes.
    pub flows: u64,
    /// Bytes as listed.
    pub bytes: u64,
    /// Why a rule or a budget would refuse it now.
    pub refused: Option<String>,
}

impl Inner {
    /// How the content of the version that `node` names stands.
    pub(crate) fn standing(&self, directory: &Directory, entry: &Entry<'_>, node: &Node) -> Standing {
        let row = &entry.row;
        if row.file_type() != FileType::Regular {
            return Standing::NoContent;
        }
        if let Some(running) = directory.collection_seen((node.own, node.version)) {
            return under_way(&running);
        }
        let held = Held::of(directory, node);
        if let Some(copy) = held.as_ref().and_then(Held::whole) {
            return Standing::Collected {
                job: copy.observation.job.clone(),
                seen: copy.observation.seen,
                sha256_endpoint: copy.sha256_endpoint.clone(),
                sha256_gateway: copy.digests.as_ref().map(|digests| digests.sha256.clone()),
                changed_since: node.version != entry_version(entry),
            };
        }
        if directory.is_uploads() || row.inline().is_some() || row.size() == 0 && !row.size_unknown() {
            return Standing::Here;
        }
        if row.unfetchable() {
            return Standing::Unfetchable;
        }
        if let Some(error) = self.refusals.get(node, self.clock.now()) {
            return Standing::Refused { message: error.message().to_owned() };
        }
        match held.as_ref().and_then(Held::ranges) {
            Some(ranges) => Standing::InRanges { bytes: ranges.held.iter().map(|range| range.length).sum() },
            None => Standing::Uncollected,
        }
    }
}

fn under_way(flight: &Flight) -> Standing {
    let status = flight.status();
    let status = status.borrow();
    Standing::UnderWay {
        job: status.job.clone(),
        delivered: status.delivered,
        bytes: status.bytes,
        waits_until: status.due,
        queued_until: status.queued_until,
    }
}

impl Vfs {
    /// What time the model has.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The listing of a directory that is under way, if one is.
    pub fn being_listed(&self, directory: &Node) -> Option<Activity> {
        let key = DirectoryKey { export: directory.export, own: directory.own };
        Some(self.inner.tree.in_memory(key)?.flight_seen()?.activity())
    }

    /// The listing of a directory if there is one, of any age. Asks nobody, starts nothing, and is no visit.
    ///
    /// # Errors
    /// `Stale` if the directory is gone for good, `Backend` if the store cannot be read.
    pub async fn known_listing(&self, directory: &Node) -> Result<Option<Listing>> {
        if directory.kind != NodeKind::Directory {
            return Ok(None);
        }
        let found = self.inner.tree.resolve(directory).await?;
        let loaded = self.inner.tree.load(&found).await?;
        Ok(loaded.map(|loaded| Listing::new(self.inner.clone(), found, loaded).seen_from(directory)))
    }

    /// How the content of a file stands.
    ///
    /// # Errors
    /// `Stale` if the file is gone for good.
    pub async fn standing(&self, file: &Node) -> Result<Standing> {
        if file.kind != NodeKind::File {
            return Ok(Standing::NoContent);
        }
        let inner = &self.inner;
        let directory = inner.tree.resolve_key(DirectoryKey { export: file.export, own: file.parent }).await?;
        let loaded = inner.tree.load(&directory).await?.ok_or_else(gone)?;
        let entry = loaded.snapshot.by_identity(file.own).ok_or_else(gone)?;
        Ok(inner.standing(&directory, &entry, file))
    }

    /// Content that is here. Never collects anything.
    ///
    /// # Errors
    /// `Uncollected` if it is not here whole; else as [`Vfs::read`].
    pub async fn read_collected(&self, file: &Node, offset: u64, length: u32, call: &Call) -> Result<Data> {
        // A version binds to its content for ever (D6): what is here now is here at the read.
        match self.standing(file).await? {
            Standing::Collected { .. } | Standing::Here => self.read(file, offset, length, call).await,
            _ => Err(Error::new(ErrorKind::Uncollected, "this file was not collected")),
        }
    }

    /// Starts the collection of those of these files, all of one endpoint, that can leave together. [`Vfs::collect`] of each of them
    /// then joins it, and collects what goes alone.
    ///
    /// # Errors
    /// `Stale` if the endpoint is gone, `Backend` if the server cannot be asked.
    pub async fn collect_together(&self, files: &[Node], call: &Call) -> Result<()> {
        let call = Call { explicit: true, ..call.clone() };
        for delivery in self.inner.deliveries(files).await?.iter().filter(|delivery| delivery.len() > 1) {
            self.inner.collect_wanted(delivery, &call).await?;
        }
        Ok(())
    }

    /// What collecting these files, all of one endpoint and `bytes` bytes as listed, costs, and whether it would be refused now. Spends
    /// nothing.
    ///
    /// # Errors
    /// `Stale` if the endpoint is gone, `Backend` if the server cannot be asked.
    pub async fn would_collect(&self, files: &[Node], bytes: u64, call: &Call) -> Result<Price> {
        let inner = &self.inner;
        let flows = inner.deliveries(files).await?.len() as u64;
        let mut price = Price { flows, bytes, refused: None };
        let Some(first) = files.first() else { return Ok(price) };
        let entry = inner.endpoint_of(first.export)?;
        if !entry.is_online(&*inner.backend, &*inner.clock, inner.settings.offline_after).await? {
            price.refused = Some(entry.offline_error().message().to_owned());
            return Ok(price);
        }
        let endpoint = entry.endpoint().id.clone();
        price.refused = inner
            .admission
            .would_admit(call, &endpoint, flows, bytes)
            .await
            .err()
            .map(|error| error.message().to_owned());
        Ok(price)
    }

    /// Whether an endpoint is asked for what lies in this directory: else everything in it is the gateway's or the server's.
    ///
    /// # Errors
    /// `Stale` if it is gone for good.
    pub async fn is_on_endpoint(&self, directory: &Node) -> Result<bool> {
        Ok(matches!(self.inner.tree.resolve(directory).await?.place, Place::Endpoint(_)))
    }
}
