//! Who reads small files one after another, and where: a directory file by file, or a tree directory by directory.

use std::collections::VecDeque;

use dashmap::DashMap;

use super::order::{self, Order};
use crate::node::{Identity, Node};
use crate::pace::Pace;
use crate::path::EndpointPath;
use crate::principal::Call;
use crate::store::DirectoryKey;
use crate::timestamp::Timestamp;
use crate::tree::Directory;

/// So many files of a directory in a row, then its others come along; two if the second is the one after the first and comes at once.
const IN_A_ROW: u32 = 3;
/// So many directories in a row whose small files were all read, then those of the next ones come along.
const DIRECTORIES_IN_A_ROW: u32 = 2;
/// Files that leave together at first, and at most; each time so many times as many.
const FIRST: usize = 128;
const GROWTH: usize = 8;
const MOST: usize = 512;
/// Directories remembered of each reader.
const TRAIL: usize = 3;
const READERS_KEPT: usize = 10_000;

/// Who reads which endpoints file by file: by export and principal.
#[derive(Default)]
pub(crate) struct Readers {
    readers: DashMap<(u64, u64), Reader>,
}

struct Reader {
    pace: Pace,
    /// Files in a row of the directory where he is.
    files: u32,
    /// Directories in a row that he left with all their small files read.
    complete: u32,
    /// The directories where he was, the present one last.
    trail: VecDeque<(DirectoryKey, EndpointPath)>,
    /// The file that he read last, and the order in which he seems to read.
    last: Option<Identity>,
    order: Option<Order>,
    window: usize,
    /// Files of the last delivery, and those that he read since it left.
    sent: usize,
    read: usize,
}

/// What should come along.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// So many files, the one that was opened among them.
    pub files: usize,
    /// In the order in which he reads, if one is seen.
    pub order: Option<Order>,
    /// He reads a tree: those of the directories after this one too, below this place.
    pub below: Option<EndpointPath>,
}

fn key(directory: &Directory, call: &Call) -> (u64, u64) {
    (directory.node.export, xxhash_rust::xxh3::xxh3_64(call.principal.name().as_bytes()))
}

impl Readers {
    /// Notes that the small file `node` at `path` is to be collected for a reader; what should come along. `is_complete` says whether all
    /// small files of a directory are here.
    pub(super) fn begin(
        &self,
        (directory, node): (&Directory, &Node),
        path: &EndpointPath,
        call: &Call,
        now: Timestamp,
        is_complete: impl FnOnce(DirectoryKey) -> bool,
    ) -> Window {
        if self.readers.len() > READERS_KEPT {
            self.readers.retain(|_, reader| reader.pace.goes_on(now));
        }
        let mut reader = self.readers.entry(key(directory, call)).or_insert_with(|| Reader::new(Pace::new(now)));
        if !reader.pace.goes_on(now) {
            *reader = Reader::new(reader.pace);
        }
        let at_once = reader.pace.goes_on_at_once(now);
        reader.pace.ask();
        reader.comes_to(directory.key(), path, is_complete);
        reader.files += 1;
        reader.comes_after_last(directory, node);
        let reads_tree = reader.complete >= DIRECTORIES_IN_A_ROW;
        let reads_on = reader.files >= IN_A_ROW || reader.files > 1 && at_once && reader.order.is_some();
        if !reads_on && !reads_tree {
            return Window::default();
        }
        reader.next_window()
    }

    /// Notes that something is on its way to him before he asks.
    pub(super) fn ask(&self, directory: &Directory, call: &Call) {
        if let Some(mut reader) = self.readers.get_mut(&key(directory, call)) {
            reader.pace.ask();
        }
    }

    /// Notes that so many files leave together for him.
    pub(super) fn sent(&self, directory: &Directory, call: &Call, files: usize) {
        if let Some(mut reader) = self.readers.get_mut(&key(directory, call)) {
            (reader.sent, reader.read) = (files, 0);
        }
    }

    /// Notes that he got it, or not.
    pub(super) fn end(&self, directory: &Directory, call: &Call, now: Timestamp) {
        if let Some(mut reader) = self.readers.get_mut(&key(directory, call)) {
            reader.pace.answer(now);
        }
    }

    /// Notes that a reader got a file that was brought before; what should leave now, so that he finds it when he is through with what came.
    pub(super) fn goes_on(&self, directory: &Directory, node: &Node, call: &Call, now: Timestamp) -> Option<Window> {
        if self.readers.is_empty() {
            return None;
        }
        let mut reader = self.readers.get_mut(&key(directory, call))?;
        reader.pace.answer_at_once(now);
        if !reader.pace.goes_on(now) || reader.last == Some(node.own) {
            return None;
        }
        reader.last = Some(node.own);
        reader.read += 1;
        (reader.sent > 0 && reader.read * 2 >= reader.sent).then(|| {
            reader.sent = 0;
            reader.next_window()
        })
    }
}

impl Reader {
    fn new(pace: Pace) -> Reader {
        let (files, complete, window, sent, read) = (0, 0, 0, 0, 0);
        Reader { pace, files, complete, trail: VecDeque::new(), last: None, order: None, window, sent, read }
    }

    /// Notes the file, and in which order it is the next one.
    fn comes_after_last(&mut self, directory: &Directory, node: &Node) {
        if self.files > 1
            && self.order.is_none()
            && let (Some(last), Some(loaded)) = (self.last, directory.loaded())
        {
            self.order = order::of_neighbours(&loaded.snapshot, last, node);
        }
        self.last = Some(node.own);
    }

    fn next_window(&mut self) -> Window {
        self.window = (self.window * GROWTH).clamp(FIRST, MOST);
        let below = if self.complete >= DIRECTORIES_IN_A_ROW { self.common() } else { None };
        Window { files: self.window, order: self.order, below }
    }

    fn comes_to(&mut self, here: DirectoryKey, path: &EndpointPath, is_complete: impl FnOnce(DirectoryKey) -> bool) {
        let before = self.trail.back().map(|(key, _)| *key);
        if before == Some(here) {
            return;
        }
        if let Some(before) = before {
            self.complete = if is_complete(before) { self.complete + 1 } else { 0 };
        }
        if self.complete == 0 {
            self.window = 0;
        }
        self.files = 0;
        if let Some(directory) = path.parent() {
            self.trail.push_back((here, directory));
        }
        while self.trail.len() > TRAIL {
            self.trail.pop_front();
        }
    }

    /// The place that holds all directories where he was lately.
    fn common(&self) -> Option<EndpointPath> {
        let mut paths = self.trail.iter().map(|(_, path)| path);
        let first = paths.next()?.clone();
        paths.try_fold(first, |common, path| {
            if common.accessor != path.accessor {
                return None;
            }
            let same = common.components.iter().zip(path.components.iter()).take_while(|(one, other)| one == other);
            let count = same.count();
            Some(EndpointPath { components: common.components.get(..count)?.into(), ..common })
        })
    }
}
