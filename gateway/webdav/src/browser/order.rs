//! Views of a listing: filtered, sorted, cut into pages. The rows of a view are a permutation, made once for each generation and kept
//! while people turn pages (D28), so that a page of a million entries costs what a page of a thousand does.

#[cfg(test)]
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use vfs::node::Identity;
use vfs::{Attributes, Listing, NodeKind, Timestamp};

use super::filter::Filter;
use crate::exchange::Exchange;
use crate::path::encode;

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Column {
    /// As the endpoint listed them.
    Listed,
    Name,
    Size,
    Modified,
    Accessed,
    Changed,
    Born,
}

/// The columns that have a heading.
pub(crate) const COLUMNS: [Column; 6] =
    [Column::Name, Column::Size, Column::Modified, Column::Accessed, Column::Changed, Column::Born];

/// A column and a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sort {
    pub column: Column,
    pub descending: bool,
}

/// What somebody wants to see of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `None`: as suits the listing.
    pub sort: Option<Sort>,
    pub filter: String,
    pub page: usize,
}

/// Larger listings are shown as the endpoint gave them unless an order is asked for: sorting a million names takes a tenth of a second.
const SORTED_UNASKED: u32 = 100_000;
/// Rows of one page.
pub(crate) const ROWS: usize = 1_000;
/// Characters of a filter.
const FILTER: usize = 1_000;

impl Column {
    /// As it stands in a query.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Column::Listed => "listed",
            Column::Name => "name",
            Column::Size => "size",
            Column::Modified => "modified",
            Column::Accessed => "accessed",
            Column::Changed => "changed",
            Column::Born => "born",
        }
    }

    fn from_word(word: &str) -> Option<Column> {
        COLUMNS.into_iter().chain([Column::Listed]).find(|column| column.word() == word)
    }
}

impl Wanted {
    /// From `?sort=`, `?order=`, `?q=` and `?page=`.
    pub(crate) fn of(exchange: &Exchange) -> Wanted {
        let column = exchange.query("sort").and_then(Column::from_word);
        let filter = exchange.query_text("q").unwrap_or_default();
        Wanted {
            sort: column.map(|column| Sort { column, descending: exchange.query("order") == Some("desc") }),
            filter: filter.chars().take(FILTER).collect(),
            page: exchange.query("page").and_then(|page| page.parse().ok()).unwrap_or(1),
        }
    }

    /// The order in which a listing of this many entries is shown.
    pub(crate) fn sort(&self, entries: u32) -> Sort {
        let column = if entries > SORTED_UNASKED { Column::Listed } else { Column::Name };
        self.sort.unwrap_or(Sort { column, descending: false })
    }

    /// As a query string without `?`, percent-encoded and not escaped; empty if nothing is asked for.
    pub(crate) fn query(&self) -> String {
        let mut parts = Vec::new();
        if let Some(Sort { column, descending }) = self.sort {
            parts.push(format!("sort={}&order={}", column.word(), if descending { "desc" } else { "asc" }));
        }
        if !self.filter.is_empty() {
            parts.push(format!("q={}", encode(&self.filter)));
        }
        if self.page > 1 {
            parts.push(format!("page={}", self.page));
        }
        parts.join("&")
    }
}

/// The rows of one view, in order.
#[derive(Clone)]
pub(crate) enum Order {
    /// All of them, as listed.
    Listed(u32),
    /// These.
    Some(Arc<[u32]>),
}

impl Order {
    pub(crate) fn len(&self) -> usize {
        match self {
            Order::Listed(count) => *count as usize,
            Order::Some(rows) => rows.len(),
        }
    }

    /// The ordinal at a place in the view.
    pub(crate) fn get(&self, index: usize) -> Option<u32> {
        match self {
            Order::Listed(count) => u32::try_from(index).ok().filter(|index| index < count),
            Order::Some(rows) => rows.get(index).copied(),
        }
    }

    /// The page of this number, or the nearest that there is.
    pub(crate) fn page(&self, wanted: usize) -> View {
        let pages = self.len().div_ceil(ROWS).max(1);
        let number = wanted.clamp(1, pages);
        View { number, pages, from: (number - 1) * ROWS, to: (number * ROWS).min(self.len()) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// One page of an order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub number: usize,
    pub pages: usize,
    /// Its places in the order.
    pub from: usize,
    pub to: usize,
}

/// Permutations kept at most.
const KEPT: usize = 64;
/// Rows of all of them: 64 MiB.
const KEPT_ROWS: usize = 16 << 20;
/// Listings larger than this are sorted where it holds nobody up.
const LARGE: u32 = 5_000;
/// So many at the same time.
const SORTERS: usize = 2;

type Key = (Identity, u32, Sort, String);

/// Permutations in use.
pub(crate) struct Orders {
    kept: Mutex<VecDeque<(Key, Arc<[u32]>)>>,
    sorters: Arc<Semaphore>,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders { kept: Mutex::default(), sorters: Arc::new(Semaphore::new(SORTERS)) }
    }
}

impl Orders {
    /// The rows of `listing` that are wanted, in the wanted order.
    pub(crate) async fn of(&self, listing: &Listing, wanted: &Wanted) -> Order {
        let sort = wanted.sort(listing.len());
        if sort == (Sort { column: Column::Listed, descending: false }) && wanted.filter.is_empty() {
            return Order::Listed(listing.len());
        }
        let key = (listing.directory().own, listing.generation(), sort, wanted.filter.clone());
        if let Some(found) = self.find(&key) {
            return Order::Some(found);
        }
        let filter = Filter::new(&wanted.filter);
        let rows = if listing.len() > LARGE {
            let _turn = self.sorters.clone().acquire_owned().await;
            if let Some(found) = self.find(&key) {
                return Order::Some(found);
            }
            let copy = listing.clone();
            match tokio::task::spawn_blocking(move || permutation(&copy, sort, &filter)).await {
                Ok(rows) => rows,
                Err(_) => return Order::Listed(listing.len()),
            }
        } else {
            permutation(listing, sort, &filter)
        };
        let rows: Arc<[u32]> = rows.into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((key, rows.clone()));
        while kept.len() > KEPT || kept.len() > 1 && kept.iter().map(|(_, rows)| rows.len()).sum::<usize>() > KEPT_ROWS
        {
            kept.pop_back();
        }
        Order::Some(rows)
    }

    fn find(&self, key: &Key) -> Option<Arc<[u32]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(known, _)| known == key)?;
        let entry = kept.remove(index)?;
        let rows = entry.1.clone();
        kept.push_front(entry);
        Some(rows)
    }
}

/// What is compared before names are.
struct Keyed {
    is_file: bool,
    key: u128,
    ordinal: u32,
}

/// Directories first, then by the column, then by name.
fn permutation(listing: &Listing, sort: Sort, filter: &Filter) -> Vec<u32> {
    let shown = |ordinal: u32| listing.row(ordinal).map_or("", |row| row.shown());
    let wanted = (0..listing.len()).filter(|ordinal| filter.takes(shown(*ordinal)));
    if sort.column == Column::Listed {
        let mut rows: Vec<u32> = wanted.collect();
        if sort.descending {
            rows.reverse();
        }
        return rows;
    }
    let mut rows: Vec<Keyed> = wanted.map(|ordinal| keyed(listing, sort.column, ordinal)).collect();
    let by_name = |left: u32, right: u32| {
        let (left_name, right_name) = (shown(left), shown(right));
        folded(left_name).cmp(folded(right_name)).then_with(|| left_name.cmp(right_name)).then(left.cmp(&right))
    };
    rows.sort_unstable_by(|left, right| {
        let order = left.key.cmp(&right.key).then_with(|| by_name(left.ordinal, right.ordinal));
        left.is_file.cmp(&right.is_file).then(if sort.descending { order.reverse() } else { order })
    });
    rows.into_iter().map(|row| row.ordinal).collect()
}

fn keyed(listing: &Listing, column: Column, ordinal: u32) -> Keyed {
    let Some(row) = listing.row(ordinal) else { return Keyed { is_file: true, key: 0, ordinal } };
    let is_file = row.file_type().node_kind() != NodeKind::Directory;
    let attributes = |of: fn(&Attributes) -> u128| listing.entry(ordinal).map_or(0, |(_, attributes)| of(&attributes));
    let key = match column {
        Column::Listed => 0,
        Column::Name => first_letters(row.shown()),
        Column::Size if !is_file => 0,
        Column::Size => attributes(|known| known.size.map_or(0, |size| u128::from(size) + 1)),
        Column::Modified => attributes(|known| moment(known.modified)),
        Column::Accessed => attributes(|known| moment(known.accessed)),
        Column::Changed => listing.entry(ordinal).map_or(0, |(_, known)| moment(listing.changed(ordinal, &known))),
        Column::Born => attributes(|known| moment(known.born)),
    };
    Keyed { is_file, key, ordinal }
}

/// What is not known comes before everything that is.
fn moment(time: Option<Timestamp>) -> u128 {
    let Some(time) = time else { return 0 };
    let shifted = i128::from(time.seconds) - i128::from(i64::MIN) + 1;
    u128::try_from(shifted).unwrap_or(0) * 1_000_000_000 + u128::from(time.nanos)
}

fn folded(name: &str) -> impl Iterator<Item = u8> + '_ {
    name.bytes().map(|byte| byte.to_ascii_lowercase())
}

/// The first sixteen bytes decide for most names.
fn first_letters(name: &str) -> u128 {
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().zip(folded(name)) {
        *place = byte;
    }
    u128::from_be_bytes(bytes)
}

/// The order of two names in a listing that is sorted by name.
#[cfg(test)]
fn compare(left: &str, right: &str) -> Ordering {
    first_letters(left).cmp(&first_letters(right)).then_with(|| folded(left).cmp(folded(right)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_letters_never_contradict_the_whole_name(left in "\\PC{0,24}", right in "\\PC{0,24}") {
            // A name cannot contain a zero byte, so that a short one never ties with a longer one by padding.
            prop_assert_eq!(compare(&left, &right), folded(&left).cmp(folded(&right)));
        }
    }

    #[test]
    fn a_view_is_written_as_the_query_that_asks_for_it() {
        let wanted =
            Wanted { sort: Some(Sort { column: Column::Size, descending: true }), filter: "a&b *.exe".into(), page: 3 };
        assert_eq!(wanted.query(), "sort=size&order=desc&q=a%26b%20%2A.exe&page=3");
        assert_eq!(Wanted { sort: None, filter: String::new(), page: 1 }.query(), "");
    }
}
