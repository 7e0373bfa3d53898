//! Sorted views of a listing: a permutation, made once for each generation and kept while people turn pages (D28).

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use vfs::node::Identity;
use vfs::{Listing, NodeKind, Profile};

use crate::exchange::Exchange;

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Column {
    Name,
    Size,
    Modified,
}

/// A column and a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sort {
    pub column: Column,
    pub descending: bool,
}

impl Sort {
    /// From `?sort=` and `?order=`.
    pub(crate) fn of(exchange: &Exchange) -> Sort {
        let column = match exchange.query("sort") {
            Some("size") => Column::Size,
            Some("modified") => Column::Modified,
            _ => Column::Name,
        };
        Sort { column, descending: exchange.query("order") == Some("desc") }
    }

    /// As a query string.
    pub(crate) fn query(self) -> String {
        format!("sort={}&amp;order={}", self.column.word(), if self.descending { "desc" } else { "asc" })
    }
}

impl Column {
    /// As it stands in a query.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Column::Name => "name",
            Column::Size => "size",
            Column::Modified => "modified",
        }
    }
}

/// Permutations kept at most.
const KEPT: usize = 8;
/// Listings larger than this are sorted where it holds nobody up.
const LARGE: u32 = 20_000;

type Key = (Identity, u32, Sort);

/// Permutations in use.
#[derive(Default)]
pub(crate) struct Orders {
    kept: Mutex<VecDeque<(Key, Arc<[u32]>)>>,
}

impl Orders {
    /// The ordinals of `listing` in this order.
    pub(crate) async fn sorted(&self, listing: &Listing, sort: Sort) -> Arc<[u32]> {
        let key = (listing.directory().own, listing.generation(), sort);
        if let Some(found) = self.find(&key) {
            return found;
        }
        let order = if listing.len() > LARGE {
            let copy = listing.clone();
            match tokio::task::spawn_blocking(move || permutation(&copy, sort)).await {
                Ok(order) => order,
                Err(_) => (0..listing.len()).collect(),
            }
        } else {
            permutation(listing, sort)
        };
        let order: Arc<[u32]> = order.into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((key, order.clone()));
        kept.truncate(KEPT);
        order
    }

    fn find(&self, key: &Key) -> Option<Arc<[u32]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(known, _)| known == key)?;
        let entry = kept.remove(index)?;
        let order = entry.1.clone();
        kept.push_front(entry);
        Some(order)
    }
}

/// Directories first, then by the column, then by name.
fn permutation(listing: &Listing, sort: Sort) -> Vec<u32> {
    let mut rows: Vec<(bool, u128, u32)> = (0..listing.len())
        .map(|ordinal| {
            let Some((node, attributes)) = listing.entry(ordinal) else { return (false, 0, ordinal) };
            let key = match sort.column {
                Column::Name => 0,
                Column::Size => attributes.size.map_or(0, |size| u128::from(size) + 1),
                Column::Modified => attributes.modified.map_or(0, |time| {
                    let shifted = i128::from(time.seconds) - i128::from(i64::MIN) + 1;
                    u128::try_from(shifted).unwrap_or(0) * 1_000_000_000 + u128::from(time.nanos)
                }),
            };
            (node.kind != NodeKind::Directory, key, ordinal)
        })
        .collect();
    let by_name = |left: u32, right: u32| {
        let (left_name, right_name) = (listing.name(left, Profile::Posix), listing.name(right, Profile::Posix));
        without_case(&left_name, &right_name).then_with(|| left_name.cmp(&right_name)).then(left.cmp(&right))
    };
    rows.sort_unstable_by(|left, right| {
        let order = left.1.cmp(&right.1).then_with(|| by_name(left.2, right.2));
        left.0.cmp(&right.0).then(if sort.descending { order.reverse() } else { order })
    });
    rows.into_iter().map(|(_, _, ordinal)| ordinal).collect()
}

fn without_case(left: &str, right: &str) -> Ordering {
    let fold = |text: &str| text.bytes().map(|byte| byte.to_ascii_lowercase()).collect::<Vec<u8>>();
    if left.is_ascii() && right.is_ascii() {
        return left
            .bytes()
            .map(|byte| byte.to_ascii_lowercase())
            .cmp(right.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    fold(left).cmp(&fold(right))
}
