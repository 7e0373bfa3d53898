//! LOOKUP: a hit answers from any listing; a miss is "absent" only by a fresh one (D35).

use std::sync::Arc;

use super::{Found, Inner};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::RETRY_AFTER;
use crate::freshness::Visit;
use crate::meta::META;
use crate::name::Profile;
use crate::node::{FROZEN, Identity, Node, NodeKind};
use crate::path::MAX_COMPONENT_BYTES;
use crate::planner::Wish;
use crate::principal::Call;
use crate::snapshot::{Entry, Snapshot};
use crate::store::{DirectoryKey, Place};
use crate::tree::{Directory, FROZEN_ROOT, Loaded, REACHABLE_ACCESSORS, Round};

impl Inner {
    pub(super) fn lookup_now(self: &Arc<Self>, node: &Node, name: &str, call: &Call) -> Option<Result<Found>> {
        if node.kind != NodeKind::Directory {
            return Some(Err(not_a_directory()));
        }
        let directory = self.tree.in_memory(DirectoryKey { export: node.export, own: node.own })?;
        if let Place::Meta { .. } | Place::MetaFiles { .. } = &directory.place {
            return None;
        }
        let loaded = directory.loaded_guard();
        let loaded = loaded.as_ref()?;
        if let Some(entry) = self.entry_called(&directory, &loaded.snapshot, name, call) {
            return Some(Ok(self.found(&directory, &entry, call.frozen)));
        }
        let proven = self.misses_are_proven(&directory, loaded, call) && !self.is_reachable(&directory, name, call);
        proven.then(|| Err(absent(name)))
    }

    pub(super) async fn lookup(self: &Arc<Self>, node: &Node, name: &str, call: &Call) -> Result<Found> {
        if node.kind != NodeKind::Directory {
            return Err(not_a_directory());
        }
        if name.len() > MAX_COMPONENT_BYTES {
            return Err(Error::new(ErrorKind::NameTooLong, "the name is longer than any accessor allows"));
        }
        let directory = self.tree.resolve(node).await?;
        if let Place::Meta { .. } | Place::MetaFiles { .. } = &directory.place {
            return self.meta_lookup(&directory, name, call).await;
        }
        let loaded = match self.tree.load(&directory).await? {
            Some(loaded) => Some(loaded),
            None if name == META => None,
            None => Some(self.listed(&directory, call, Wish::Way).await?),
        };
        if let Some(loaded) = &loaded
            && let Some(found) = self.child_called(&directory, loaded, name, call).await?
        {
            return Ok(found);
        }
        if name == META {
            return self.meta_directory(&directory).await;
        }
        if leads_to_frozen(&directory, name, call) {
            let node = Node { view: FROZEN, ..directory.node };
            return Ok(Found { node, attributes: self.own_attributes(&directory) });
        }
        if self.is_reachable(&directory, name, call) {
            let own = self.keys.child(directory.node.own, name, 0);
            let child = self.tree.child(&directory, name, own)?;
            let attributes = self.directory_attributes(&child).await?;
            return Ok(Found { node: child.node, attributes });
        }
        self.miss(&directory, loaded, name, call).await
    }

    /// The name is not in the listing `searched`: is it proven absent?
    async fn miss(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        mut searched: Option<Arc<Loaded>>,
        name: &str,
        call: &Call,
    ) -> Result<Found> {
        // A newer one may have come in between.
        while let Some(loaded) = &searched
            && directory.state_of(loaded).is_none()
        {
            tokio::task::yield_now().await;
            searched = self.tree.load(directory).await?;
            if let Some(loaded) = &searched
                && let Some(found) = self.child_called(directory, loaded, name, call).await?
            {
                return Ok(found);
            }
        }
        if searched.is_some_and(|loaded| self.misses_are_proven(directory, &loaded, call)) {
            return Err(absent(name));
        }
        match &directory.place {
            Place::Root | Place::ByName | Place::Orgs | Place::Org(_) => {
                self.endpoints.complete(call.hold).await?;
                let loaded = self.tree.load(directory).await?;
                let found = match &loaded {
                    Some(loaded) => self.child_called(directory, loaded, name, call).await?,
                    None => None,
                };
                found.ok_or_else(|| absent(name))
            }
            Place::Endpoint(_) => {
                let entry = self.endpoint_of(directory.node.export)?;
                if !entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await? {
                    return Err(absent(name)); // as of the last listing
                }
                // The listing that was joined may have been under way for long: what it saw must be fresh too.
                for _ in 0..2 {
                    self.demand_listing(directory, call, Wish::Fresh)?.wait(call.hold).await?;
                    let loaded = self.tree.load(directory).await?;
                    let found = match &loaded {
                        Some(loaded) => self.child_called(directory, loaded, name, call).await?,
                        None => None,
                    };
                    if let Some(found) = found {
                        return Ok(found);
                    }
                    if loaded.is_some_and(|loaded| self.misses_are_proven(directory, &loaded, call)) {
                        return Err(absent(name));
                    }
                }
                Err(Error::later(RETRY_AFTER, "the directory is being listed anew; ask again"))
            }
            Place::Collected(_) | Place::Uploads(_) => {
                self.look_at_uploads(directory, call, true).await?;
                let loaded = self.tree.load(directory).await?;
                let found = match &loaded {
                    Some(loaded) => self.child_called(directory, loaded, name, call).await?,
                    None => None,
                };
                found.ok_or_else(|| absent(name))
            }
            Place::Accessors(_) | Place::Meta { .. } | Place::MetaFiles { .. } => Err(absent(name)),
        }
    }

    /// The child called `name` of a listing, with its attributes as GETATTR would give them.
    async fn child_called(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        loaded: &Arc<Loaded>,
        name: &str,
        call: &Call,
    ) -> Result<Option<Found>> {
        let Some(entry) = self.entry_called(directory, &loaded.snapshot, name, call) else {
            return Ok(None);
        };
        let mut found = self.found(directory, &entry, call.frozen);
        if found.node.kind == NodeKind::Directory {
            // Its generation may be known to the store alone.
            if let Ok(child) = self.tree.resolve(&found.node).await {
                found.attributes = self.directory_attributes(&child).await?;
            }
        }
        Ok(Some(found))
    }

    fn entry_called<'a>(
        &self,
        directory: &Directory,
        snapshot: &'a Snapshot,
        name: &str,
        call: &Call,
    ) -> Option<Entry<'a>> {
        let component = call.profile.read(name);
        if let Some(twin) = snapshot.by_marked_name(&component, call.profile) {
            return Some(twin);
        }
        // The exact name may be that of another entry than the one which this client means.
        if call.profile == Profile::Mac && !component.is_ascii() {
            return snapshot.by_composed_name(&component).or_else(|| snapshot.by_shortened_name(name));
        }
        snapshot
            .by_name(&component, &self.keys)
            .or_else(|| if component == name { None } else { snapshot.by_name(name, &self.keys) })
            .or_else(|| snapshot.by_shortened_name(name))
            .or_else(|| {
                let folds = matches!(directory.place, Place::Endpoint(_) | Place::Uploads(_))
                    && self.system_of(directory.node.export).ignores_case();
                if folds { snapshot.by_folded_name(&component) } else { None }
            })
    }

    /// Whether a name that is not in the listing `loaded` is proven absent without asking anybody.
    fn misses_are_proven(&self, directory: &Directory, loaded: &Loaded, call: &Call) -> bool {
        match &directory.place {
            Place::Root | Place::ByName | Place::Orgs | Place::Org(_) => self.endpoints.round() == Round::Complete,
            Place::Accessors(_) => true,
            Place::Collected(_) | Place::Uploads(_) => {
                directory.state_of(loaded).is_some() && self.uploads_are_fresh(directory, call.frozen) == Some(true)
            }
            Place::Meta { .. } | Place::MetaFiles { .. } => false,
            Place::Endpoint(_) => {
                let state = directory.state_of(loaded);
                state.as_ref().and_then(|state| state.listing.as_ref()).is_some_and(|listing| {
                    call.frozen
                        || self.settings.freshness.visit(self.clock.now().since(listing.observation.seen))
                            == Visit::Serve
                })
            }
        }
    }

    /// `.raptorgate` everywhere (D20), and accessors that are not listed (D2).
    fn is_reachable(&self, directory: &Directory, name: &str, call: &Call) -> bool {
        name == META
            || leads_to_frozen(directory, name, call)
            || matches!(directory.place, Place::Accessors(_)) && REACHABLE_ACCESSORS.contains(&name)
    }

    /// The identity of a child of a directory.
    pub(crate) fn child_identity(&self, parent: Identity, name: &str) -> Identity {
        self.keys.child(parent, name, 0)
    }
}

/// `/frozen` is `/` once more (D11), and not below itself.
fn leads_to_frozen(directory: &Directory, name: &str, call: &Call) -> bool {
    directory.place == Place::Root && name == FROZEN_ROOT && !call.frozen
}

fn absent(name: &str) -> Error {
    Error::absent(format!("there is no {name:?} in this directory"))
}

pub(super) fn not_a_directory() -> Error {
    Error::new(ErrorKind::NotDirectory, "this is not a directory")
}
