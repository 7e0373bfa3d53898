//! Names of large generated directories, kept for a while, so that a walk below one of them does not make all of its
//! entries again for each step.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::tree::generated::node::Node;

/// Smaller directories are quickly made, and some of them change with the clock.
const WORTH_KEEPING: usize = 256;
/// Larger ones would take too much memory; only opens of single files in them are slow.
const TOO_LARGE: usize = 20_000;
/// So many directories are kept.
const KEPT: usize = 4;

type Names = HashMap<String, Vec<Node>>;

/// The names of recently used large directories.
#[derive(Default)]
pub(super) struct Index(Mutex<VecDeque<(u64, Arc<Names>)>>);

impl Index {
    /// The child of this name: exactly so if there is one, else without regard to case if `fold` is set. `key` tells
    /// directories apart.
    pub(super) fn child(&self, key: u64, name: &str, fold: bool, children: impl Iterator<Item = Node>) -> Option<Node> {
        let folded = name.to_lowercase();
        let known = self.get(key);
        if let Some(names) = known {
            return choose(names.get(&folded)?.iter(), name, fold);
        }
        let nodes: Vec<Node> = children.collect();
        if nodes.len() < WORTH_KEEPING || nodes.len() > TOO_LARGE {
            return choose(nodes.iter().filter(|node| node.name.to_lowercase() == folded), name, fold);
        }
        let mut names = Names::new();
        for node in nodes {
            names.entry(node.name.to_lowercase()).or_default().push(node);
        }
        let found = names.get(&folded).and_then(|nodes| choose(nodes.iter(), name, fold));
        self.put(key, names);
        found
    }

    fn get(&self, key: u64) -> Option<Arc<Names>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| *known == key).map(|(_, names)| Arc::clone(names))
    }

    fn put(&self, key: u64, names: Names) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((key, Arc::new(names)));
    }
}

fn choose<'a>(alike: impl Iterator<Item = &'a Node> + Clone, name: &str, fold: bool) -> Option<Node> {
    let exact = alike.clone().find(|node| node.name == name);
    exact.or_else(|| alike.clone().next().filter(|_| fold)).cloned()
}
