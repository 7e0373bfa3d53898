//! The tables of `System.VFS.ListDirectory`: all entries of a directory, then those of its sub-directories, depth first
//! (docs/velociraptor-api.md §4.3, §4.5 (d)).

use std::collections::{HashMap, HashSet};

use velociraptor_proto::proto;
use vfs::snapshot::Rows;
use vfs::{EndpointPath, FileType};

use super::{Overflow, Whole, parent_text};
use crate::row::{self, Columns, Refused};
use crate::table::{self, Field};

/// Rows that must follow a directory before it counts as whole while its own Stats row has not been read.
///
/// An endpoint that runs out of time in the middle of a directory may still send the first rows of the next ones, but not a
/// whole further batch of them.
const PROOF_ROWS: u64 = 1_000;

/// Assembles the directories of one listing flow.
pub(crate) struct Tree {
    root: EndpointPath,
    depth: u32,
    /// Where directories are, by the components that the endpoint reports for them.
    places: HashMap<Vec<String>, Place>,
    /// The table's next row.
    next_row: u64,
    open: Option<Open>,
    /// Rows are missing before the next one.
    gap: bool,
    closed: Vec<Closed>,
    /// Rows of Stats that have been read, and what became of them.
    stats: HashMap<EndpointPath, Span>,
    /// Rows of Stats whose directory is not known yet.
    unplaced: Vec<(Vec<String>, Span)>,
    next_stats_row: u64,
    given: HashSet<EndpointPath>,
}

/// Rows of one directory in the flow's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

enum Place {
    At(EndpointPath),
    /// Two directories are reported by the same components.
    Ambiguous,
}

/// The directory whose rows are being read.
struct Open {
    parent_text: String,
    /// `None`: nobody knows where it is.
    directory: Option<EndpointPath>,
    rows: Rows,
    /// Rows of the table from its first to its last, those without a name too.
    span: Span,
    /// How many of them came.
    count: u64,
    /// A row may be missing at its edge: only its Stats row proves it.
    doubtful: bool,
}

struct Closed {
    whole: Whole,
    span: Span,
    count: u64,
    doubtful: bool,
}

impl Closed {
    fn has_gaps(&self) -> bool {
        self.count != self.span.end - self.span.start
    }
}

impl Tree {
    pub(crate) fn new(root: EndpointPath, depth: u32) -> Tree {
        let reported = root.components.iter().map(ToString::to_string).collect();
        Tree {
            places: HashMap::from([(reported, Place::At(root.clone()))]),
            root,
            depth,
            next_row: 0,
            open: None,
            gap: false,
            closed: Vec::new(),
            stats: HashMap::new(),
            unplaced: Vec::new(),
            next_stats_row: 0,
            given: HashSet::new(),
        }
    }

    /// The first row of the Listing table that has not been read.
    pub(crate) fn next_row(&self) -> u64 {
        self.next_row
    }

    /// The first row of the Stats table that has not been read.
    pub(crate) fn next_stats_row(&self) -> u64 {
        self.next_stats_row
    }

    /// Whether any directory has been given out.
    pub(crate) fn gave(&self) -> bool {
        !self.given.is_empty()
    }

    /// Whether the directory that was asked for has been given out.
    pub(crate) fn root_listed(&self) -> bool {
        self.given.contains(&self.root)
    }

    /// Directories that were met on the way, within the depth, and could not be listed.
    pub(crate) fn unlisted(&self) -> usize {
        let places = self.places.values().filter(|place| match place {
            Place::At(path) => !self.given.contains(path),
            Place::Ambiguous => true,
        });
        places.count()
    }

    /// Takes the rows of the Listing table that begin at [`Tree::next_row`].
    pub(crate) fn listing(&mut self, page: &proto::GetTableResponse) -> Result<(), Overflow> {
        let columns = Columns::of(page);
        for row in &page.rows {
            let Some(fields) = table::fields(row) else {
                self.skip_to(self.next_row + 1);
                continue;
            };
            if let Some(index) = fields.get(columns.index).and_then(Field::unsigned)
                && index != self.next_row
            {
                // The server left rows out that it could not encode.
                self.skip_to(index.max(self.next_row));
            }
            let components = fields.get(columns.components).and_then(Field::array);
            self.enter(components);
            let row_number = self.next_row;
            self.next_row += 1;
            let Some(open) = &mut self.open else { continue };
            open.span.end = self.next_row;
            open.count += 1;
            let Some(directory) = &open.directory else { continue };
            match row::append(&columns, &fields, directory, &mut open.rows) {
                Ok(entry) => {
                    let level = directory.components.len().saturating_sub(self.root.components.len());
                    if entry.file_type == FileType::Directory
                        && u32::try_from(level).is_ok_and(|level| level < self.depth)
                        && let Some(reported) = fields.get(columns.components).and_then(Field::strings)
                        && let Ok(child) = directory.child(&entry.name)
                    {
                        let unclear =
                            entry.name.contains(char::REPLACEMENT_CHARACTER) || self.places.contains_key(&reported);
                        self.places.insert(reported, if unclear { Place::Ambiguous } else { Place::At(child) });
                    }
                }
                Err(Refused::Nameless) => {
                    tracing::debug!(row = row_number, %directory, "a row without a name is passed over")
                }
                Err(Refused::Full) => return Err(Overflow),
            }
        }
        Ok(())
    }

    /// Takes the rows of the Stats table that begin at [`Tree::next_stats_row`].
    pub(crate) fn statistics(&mut self, page: &proto::GetTableResponse) {
        let (components, stats) = (table::column(page, "Components"), table::column(page, "Stats"));
        for row in &page.rows {
            self.next_stats_row += 1;
            let Some(fields) = table::fields(row) else { continue };
            let Some(span) = fields.get(stats).and_then(Field::object).and_then(span) else { continue };
            // At the accessor's own root the components are null.
            let reported = fields.get(components).and_then(Field::strings).unwrap_or_default();
            self.unplaced.push((reported, span));
        }
    }

    /// Directories that are whole by now, each once.
    pub(crate) fn whole(&mut self) -> Vec<Whole> {
        self.place_statistics();
        let proven = self.open.as_ref().is_some_and(|open| {
            let span = open.directory.as_ref().and_then(|directory| self.stats.get(directory));
            span == Some(&open.span)
        });
        if proven {
            self.close();
        }
        let (mut ready, mut waiting) = (Vec::new(), Vec::new());
        for closed in std::mem::take(&mut self.closed) {
            match self.stats.get(&closed.whole.directory) {
                Some(span) if *span == closed.span && !closed.has_gaps() => ready.push(closed.whole),
                Some(span) => tracing::warn!(
                    directory = %closed.whole.directory, ?span, rows = ?closed.span,
                    "the server's table lacks rows of this directory: it does not count as listed"
                ),
                None if !closed.doubtful && !closed.has_gaps() && self.next_row >= closed.span.end + PROOF_ROWS => {
                    ready.push(closed.whole)
                }
                None => waiting.push(closed),
            }
        }
        self.closed = waiting;
        for (directory, span) in &self.stats {
            if span.start == span.end && !self.given.contains(directory) {
                ready.push(Whole { directory: directory.clone(), rows: Rows::new(), first_row: span.start });
            }
        }
        ready.retain(|whole| self.given.insert(whole.directory.clone()));
        ready
    }

    fn place_statistics(&mut self) {
        for (reported, span) in std::mem::take(&mut self.unplaced) {
            match self.place(&reported) {
                Some(directory) => {
                    self.stats.insert(directory, span);
                }
                None => self.unplaced.push((reported, span)),
            }
        }
    }

    /// Goes over to the directory of a row, if it is another than that of the row before.
    fn enter(&mut self, components: Option<&str>) {
        // With depth 0 all rows are of the asked directory, whatever the endpoint calls it (§4.8, Windows fallback).
        let text = if self.depth == 0 { "" } else { components.map(parent_text).unwrap_or_default() };
        if self.open.as_ref().is_some_and(|open| open.parent_text == text) {
            return;
        }
        let first = self.open.is_none();
        self.close();
        let directory = if self.depth == 0 {
            Some(self.root.clone())
        } else {
            let mut reported: Vec<String> =
                components.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            reported.pop();
            if first && self.next_row == 0 && reported.len() == self.root.components.len() {
                // The first rows are those of the asked directory, even if the endpoint reports them by a device name.
                self.places.insert(reported, Place::At(self.root.clone()));
                Some(self.root.clone())
            } else {
                self.place(&reported)
            }
        };
        let span = Span { start: self.next_row, end: self.next_row };
        let doubtful = std::mem::take(&mut self.gap);
        self.open = Some(Open { parent_text: text.to_owned(), directory, rows: Rows::new(), span, count: 0, doubtful });
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let Open { span, count, doubtful, .. } = open;
        let Some(directory) = open.directory else {
            tracing::debug!(rows = ?span, "rows of a directory that nobody asked for are passed over");
            return;
        };
        let whole = Whole { directory, rows: open.rows, first_row: span.start };
        self.closed.push(Closed { whole, span, count, doubtful });
    }

    /// Rows are missing before row `next`: what is open and what follows must be proven by Stats.
    fn skip_to(&mut self, next: u64) {
        tracing::warn!(from = self.next_row, to = next, "the server left out rows of a listing");
        self.next_row = next;
        self.gap = true;
        if let Some(open) = &mut self.open {
            open.doubtful = true;
        }
    }

    /// Where the directory reported as `components` is. Raw NTFS parsing reports `\\.\C:` for the drive `C:` (§4.8).
    fn place(&self, components: &[String]) -> Option<EndpointPath> {
        let known = |components: &[String]| match self.places.get(components) {
            Some(Place::At(path)) => Some(path.clone()),
            _ => None,
        };
        known(components).or_else(|| {
            let (drive, rest) = components.split_first()?;
            let other = match drive.strip_prefix(r"\\.\") {
                Some(letter) => letter.to_owned(),
                None => format!(r"\\.\{drive}"),
            };
            let mut spelled = vec![other];
            spelled.extend_from_slice(rest);
            known(&spelled)
        })
    }
}

fn span(stats: &str) -> Option<Span> {
    #[derive(serde::Deserialize)]
    struct Stats {
        #[serde(default)]
        start_idx: u64,
        #[serde(default)]
        end_idx: u64,
    }
    let stats: Stats = serde_json::from_str(stats).ok()?;
    (stats.start_idx <= stats.end_idx).then_some(Span { start: stats.start_idx, end: stats.end_idx })
}
