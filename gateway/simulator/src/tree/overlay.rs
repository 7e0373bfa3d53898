//! What happens to an endpoint's files while it runs: paths that are denied, locked or gone, by switch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::System;
use crate::tree::entry::Entry;
use crate::tree::{Failure, FileSystem, Listing, Opened};

/// What was done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The agent may not read it; it is still listed by its parent.
    Denied,
    /// Another process holds it; it is still listed.
    Locked,
    /// It is gone, with everything below.
    Vanished,
}

/// The switches of one endpoint, shared with its handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<BTreeMap<Vec<String>, Trouble>>>);

impl Troubles {
    pub(crate) fn set(&self, path: Vec<String>, trouble: Option<Trouble>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(trouble) => map.insert(path, trouble),
            None => map.remove(&path),
        };
    }

    /// What ails this path, or a directory above it.
    fn find(&self, path: &[String]) -> Option<Trouble> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.is_empty() {
            return None;
        }
        (0..=path.len()).find_map(|length| {
            let trouble = map.get(path.get(..length)?)?;
            let own = length == path.len();
            (own || *trouble != Trouble::Locked).then_some(*trouble)
        })
    }

    fn vanished_below(&self, directory: &[String]) -> BTreeSet<String> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.iter()
            .filter(|(path, trouble)| {
                **trouble == Trouble::Vanished && path.len() == directory.len() + 1 && path.starts_with(directory)
            })
            .filter_map(|(path, _)| path.last().cloned())
            .collect()
    }
}

/// A file system with its troubles.
pub(crate) struct Overlay {
    inner: Arc<dyn FileSystem>,
    system: System,
    troubles: Troubles,
}

impl Overlay {
    pub(crate) fn new(inner: Arc<dyn FileSystem>, system: System, troubles: Troubles) -> Self {
        Self { inner, system, troubles }
    }

    fn check(&self, accessor: &str, path: &[String], reading: bool) -> Result<(), Failure> {
        let shown = || self.inner.display(accessor, path);
        match self.troubles.find(path) {
            Some(Trouble::Vanished) => Err(Failure::absent(self.system, "lstat", &shown())),
            Some(Trouble::Denied) if reading => Err(Failure::denied(self.system, &shown())),
            Some(Trouble::Locked) if reading => Err(Failure::locked(self.system, &shown())),
            _ => Ok(()),
        }
    }
}

impl FileSystem for Overlay {
    fn list(&self, accessor: &str, directory: &[String]) -> Result<Listing, Failure> {
        self.check(accessor, directory, true)?;
        let listing = self.inner.list(accessor, directory)?;
        let gone = self.troubles.vanished_below(directory);
        if gone.is_empty() {
            return Ok(listing);
        }
        Ok(Listing {
            components: listing.components,
            entries: Box::new(listing.entries.filter(move |entry| !gone.contains(&entry.name))),
        })
    }

    fn stat(&self, accessor: &str, path: &[String]) -> Result<Entry, Failure> {
        self.check(accessor, path, false)?;
        // The directory above must be searchable for its entries to be told.
        if let Some((_, parent)) = path.split_last()
            && self.troubles.find(parent) == Some(Trouble::Denied)
        {
            return Err(Failure::denied(self.system, &self.inner.display(accessor, path)));
        }
        self.inner.stat(accessor, path)
    }

    fn open(&self, accessor: &str, path: &[String]) -> Result<Opened, Failure> {
        self.check(accessor, path, true)?;
        self.inner.open(accessor, path)
    }

    fn display(&self, accessor: &str, path: &[String]) -> String {
        self.inner.display(accessor, path)
    }
}
