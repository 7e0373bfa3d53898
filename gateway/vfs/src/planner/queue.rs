//! What wants to leave for one endpoint, in the order of its importance: persons, then walks, then what nobody waits for; within each,
//! principals in turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::Demand;
use super::leave::Answer;
use super::prefetch::Reach;
use crate::error::Result;
use crate::flight::Flight;

/// How important something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// Somebody waits in front of a screen.
    Person,
    /// A program goes through the tree.
    Walk,
    /// Nobody waits.
    Behind,
}

/// A listing that wants to leave.
pub(super) struct Item {
    pub demand: Demand,
    pub class: Class,
    /// What to list if it leaves by itself.
    pub reach: Reach,
    /// It may leave together with others, without what it takes along.
    pub joins: bool,
    /// In words.
    pub what: &'static str,
    pub flight: Arc<Flight>,
    pub reply: oneshot::Sender<Result<Answer>>,
}

impl Item {
    fn class(&self) -> Class {
        // Somebody may have come to want what was begun behind everybody's back.
        if self.class == Class::Behind && self.flight.is_wanted() { Class::Person } else { self.class }
    }

    fn goes_with(&self, first: &Item) -> bool {
        first.joins && self.joins && self.demand.path.accessor == first.demand.path.accessor
    }
}

/// The queue of one endpoint.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    stirred: Notify,
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    /// When each principal was served last.
    served: HashMap<Arc<str>, u64>,
    turns: u64,
    /// Somebody sees to it that they leave.
    attended: bool,
}

impl State {
    /// Who went away, or was served by a walk, wants nothing any more.
    fn forget_unwanted(&mut self) {
        self.items.retain(|item| !item.reply.is_closed());
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `item`; true if nobody attends to the queue: then the caller must.
    pub(super) fn push(&self, item: Item) -> bool {
        let mut state = self.state();
        state.items.push(item);
        let unattended = !std::mem::replace(&mut state.attended, true);
        drop(state);
        self.stir();
        unattended
    }

    /// Something has changed: what waits may leave now.
    pub(crate) fn stir(&self) {
        self.stirred.notify_one();
    }

    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// How important the most important item is; `None` if there is none, and then nobody attends to the queue any more.
    pub(super) fn most_important(&self) -> Option<Class> {
        let mut state = self.state();
        state.forget_unwanted();
        let first = state.items.iter().map(Item::class).min();
        if first.is_none() {
            *state = State::default();
        }
        first
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state().items.len()
    }

    /// Nobody attends to it any more, for an internal error: those who wait are told.
    pub(super) fn abandon(&self) {
        *self.state() = State::default();
    }

    /// Takes the most important item, and up to `others` that may leave with it.
    pub(super) fn take(&self, others: usize) -> Vec<Item> {
        let mut state = self.state();
        state.forget_unwanted();
        let mut before: HashMap<(Class, Arc<str>), usize> = HashMap::new();
        let mut order: Vec<_> = (state.items.iter().enumerate())
            .map(|(arrival, item)| {
                let principal = item.flight.principal.clone();
                let served = state.served.get(&principal).copied().unwrap_or(0);
                let turn = before.entry((item.class(), principal)).or_default();
                *turn += 1;
                (item.class(), *turn, served, arrival)
            })
            .collect();
        order.sort_unstable();
        let Some((_, _, _, first)) = order.first().copied() else {
            return Vec::new();
        };
        let mut taken = vec![first];
        let with = order[1..].iter().map(|(_, _, _, arrival)| *arrival);
        taken.extend(with.filter(|arrival| state.items[*arrival].goes_with(&state.items[first])).take(others));
        let mut items: Vec<Option<Item>> = std::mem::take(&mut state.items).into_iter().map(Some).collect();
        let batch: Vec<Item> = taken.into_iter().filter_map(|arrival| items[arrival].take()).collect();
        state.items = items.into_iter().flatten().collect();
        for item in &batch {
            state.turns += 1;
            let turn = state.turns;
            state.served.insert(item.flight.principal.clone(), turn);
        }
        batch
    }
}
