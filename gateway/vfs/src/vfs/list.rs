//! READDIR and PROPFIND: which listing a reader gets, and what a visit starts (D14, D35).

use std::sync::Arc;

use super::Inner;
use super::lookup::not_a_directory;
use crate::error::{ErrorKind, Result};
use crate::freshness::{Failed, Freshness, Visit};
use crate::listing::Listing;
use crate::node::{Node, NodeKind};
use crate::planner::{Wish, failure_error};
use crate::principal::Call;
use crate::store::{DirectoryKey, FailureRecord, Place};
use crate::tree::{Directory, Loaded, State, gone};

impl Inner {
    pub(super) fn list_now(self: &Arc<Self>, node: &Node, call: &Call) -> Option<Result<Listing>> {
        if node.kind != NodeKind::Directory {
            return Some(Err(not_a_directory()));
        }
        let directory = self.tree.in_memory(DirectoryKey { export: node.export, own: node.own })?;
        let loaded = directory.loaded()?;
        match &directory.place {
            Place::Meta { .. } | Place::MetaFiles { .. } => return None,
            place if place.lists_endpoints() && !self.root_is_complete() => return None,
            Place::Endpoint(_) => {
                match self.visit_of(&directory, &loaded, call)? {
                    Visit::Serve => {}
                    Visit::ServeAndRefresh => self.refresh_in_background(&directory, call),
                    Visit::Wait => return None,
                }
                self.walks.visit(node.export, call.principal.name(), self.clock.now());
            }
            Place::Collected(_) | Place::Uploads(_) if !self.uploads_are_fresh(&directory, call.frozen)? => {
                return None;
            }
            _ => {}
        }
        Some(Ok(Listing::new(self.clone(), directory, loaded)))
    }

    pub(super) async fn list_directory(self: &Arc<Self>, node: &Node, call: &Call) -> Result<Listing> {
        if let Some(listing) = self.list_now(node, call) {
            return listing;
        }
        let directory = self.tree.resolve(node).await?;
        if let Place::Meta { .. } | Place::MetaFiles { .. } = &directory.place {
            return self.meta_listing(&directory).await;
        }
        let loaded = self.listed(&directory, call, Wish::First).await?;
        Ok(Listing::new(self.clone(), directory, loaded))
    }

    /// The listing that a visit of `directory` gets; `wish` for one that was never listed.
    pub(super) async fn listed(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        call: &Call,
        wish: Wish,
    ) -> Result<Arc<Loaded>> {
        if directory.place.lists_endpoints()
            && let Err(error) = self.endpoints.complete(call.hold).await
            && self.endpoints.list().is_empty()
        {
            return Err(error); // endpoints known from the last run are served while the server is away
        }
        if let Place::Collected(_) | Place::Uploads(_) = &directory.place {
            self.look_at_uploads(directory, call, false).await?;
        }
        if !matches!(directory.place, Place::Endpoint(_)) {
            return self.tree.load(directory).await?.ok_or_else(gone);
        }
        let (loaded, visit) = loop {
            let Some(loaded) = self.tree.load(directory).await? else {
                return self.first_listing(directory, call, wish).await;
            };
            match self.visit_of(directory, &loaded, call) {
                Some(visit) => break (loaded, visit),
                None => tokio::task::yield_now().await,
            }
        };
        match visit {
            Visit::Serve => Ok(loaded),
            Visit::ServeAndRefresh => {
                self.refresh_in_background(directory, call);
                Ok(loaded)
            }
            Visit::Wait => {
                for _ in 0..2 {
                    match self.demand_listing(directory, call, Wish::Fresh)?.wait(call.hold).await {
                        Err(error) if matches!(error.kind(), ErrorKind::Later { .. }) => return Err(error),
                        // Offline or failed: what is known stays good, and its age is visible.
                        Err(_) => break,
                        // The listing that was joined may have been under way for long, and be old itself.
                        Ok(()) if self.visit(directory, call) == Visit::Wait => {}
                        Ok(()) => break,
                    }
                }
                self.tree.load(directory).await?.ok_or_else(gone)
            }
        }
    }

    async fn first_listing(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        call: &Call,
        wish: Wish,
    ) -> Result<Arc<Loaded>> {
        if !directory.is_being_listed()
            && let Some(failure) = self.recent_failure(directory)
        {
            return Err(failure_error(&failure));
        }
        self.demand_listing(directory, call, wish)?.wait(call.hold).await?;
        let loaded = self.tree.load(directory).await?.ok_or_else(gone)?;
        if self.visit(directory, call) != Visit::Serve {
            // The server held an older listing: it is shown, and looked at again.
            self.refresh_in_background(directory, call);
        }
        Ok(loaded)
    }

    pub(super) fn list_at_now(self: &Arc<Self>, node: &Node, generation: u32) -> Option<Result<Listing>> {
        let directory = self.tree.in_memory(DirectoryKey { export: node.export, own: node.own })?;
        let loaded = directory.generation_in_memory(generation)?;
        Some(Ok(Listing::new(self.clone(), directory, loaded)))
    }

    pub(super) async fn list_at(self: &Arc<Self>, node: &Node, generation: u32, call: &Call) -> Result<Listing> {
        if let Some(listing) = self.list_at_now(node, generation) {
            return listing;
        }
        let directory = self.tree.resolve(node).await?;
        match self.tree.load_generation(&directory, generation).await? {
            Some(loaded) => Ok(Listing::new(self.clone(), directory, loaded)),
            None => self.list_directory(node, call).await,
        }
    }

    pub(super) async fn freshness(self: &Arc<Self>, node: &Node) -> Result<Freshness> {
        if node.kind != NodeKind::Directory {
            return Err(not_a_directory());
        }
        let directory = self.tree.resolve(node).await?;
        Ok(self.freshness_of(&directory))
    }

    pub(crate) fn freshness_of(&self, directory: &Directory) -> Freshness {
        if !directory.place.is_kept() {
            return Freshness::Own;
        }
        let state = directory.state();
        let failed = state.failure.as_ref().map(|failure| Failed {
            at: failure.at,
            cause: failure.cause,
            message: failure.message.clone(),
        });
        match (&state.listing, failed) {
            (Some(listing), failed_since) => {
                Freshness::Listed { observation: listing.observation.clone(), entries: listing.entries, failed_since }
            }
            (None, Some(failed)) => Freshness::Failed(failed),
            (None, None) => Freshness::Unknown,
        }
    }

    /// What a visit does with the current listing.
    fn visit(&self, directory: &Directory, call: &Call) -> Visit {
        self.visit_by(&directory.state(), call)
    }

    /// What a visit does with the listing `loaded`; `None` if another one has become current.
    fn visit_of(&self, directory: &Directory, loaded: &Loaded, call: &Call) -> Option<Visit> {
        Some(self.visit_by(&*directory.state_of(loaded)?, call))
    }

    fn visit_by(&self, state: &State, call: &Call) -> Visit {
        match &state.listing {
            Some(_) if call.frozen => Visit::Serve,
            Some(listing) => self.settings.freshness.visit(self.clock.now().since(listing.observation.seen)),
            None => Visit::Wait,
        }
    }

    pub(crate) fn recent_failure(&self, directory: &Directory) -> Option<FailureRecord> {
        let state = directory.state();
        let failure = state.failure.as_ref()?;
        (self.clock.now().since(failure.at) < self.settings.freshness.failure_age).then(|| failure.clone())
    }

    fn root_is_complete(&self) -> bool {
        self.endpoints.round() == crate::tree::Round::Complete
    }
}
