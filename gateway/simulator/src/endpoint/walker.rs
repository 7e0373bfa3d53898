//! `vfs_ls`: the walk over a directory and, to a depth, the real directories below (§4.3).

use std::sync::Arc;

use crate::tree::FileSystem;
use crate::tree::entry::Entry;
use crate::tree::mode::Kind;
use crate::tree::stamp::Stamp;

/// What the walk comes across, in order: a directory's entries, then its Stats, then its sub-directories.
#[derive(Debug)]
pub(super) enum Step {
    Entry {
        directory: Arc<Vec<String>>,
        entry: Box<Entry>,
        index: u64,
    },
    Stats {
        directory: Arc<Vec<String>>,
        start: u64,
        end: u64,
    },
    /// A directory that cannot be read has no Stats, only a log line.
    Failed(String),
}

/// A walk under way.
pub(super) struct Walker {
    files: Arc<dyn FileSystem>,
    accessor: String,
    pending: Vec<(Vec<String>, u64)>,
    current: Option<Current>,
    index: u64,
    nameless: bool,
}

struct Current {
    directory: Arc<Vec<String>>,
    entries: Box<dyn Iterator<Item = Entry> + Send>,
    sub_directories: Vec<String>,
    depth_left: u64,
    start: u64,
}

impl Walker {
    pub(super) fn new(files: Arc<dyn FileSystem>, accessor: &str, directory: Vec<String>, depth: u64) -> Self {
        Self {
            files,
            accessor: accessor.to_string(),
            pending: vec![(directory, depth)],
            current: None,
            index: 0,
            nameless: false,
        }
    }

    /// Every directory begins with a row that has no name.
    pub(super) fn with_nameless_rows(mut self, on: bool) -> Self {
        self.nameless = on;
        self
    }

    /// Up to `limit` further steps; none means that the walk is over.
    pub(super) fn next(&mut self, limit: usize) -> Vec<Step> {
        let mut steps = Vec::with_capacity(limit.min(1024));
        while steps.len() < limit {
            let Some(current) = self.current.as_mut() else {
                let Some((directory, depth_left)) = self.pending.pop() else {
                    break;
                };
                match self.files.list(&self.accessor, &directory) {
                    Ok(listing) => {
                        self.current = Some(Current {
                            directory: Arc::new(listing.components),
                            entries: listing.entries,
                            sub_directories: Vec::new(),
                            depth_left,
                            start: self.index,
                        });
                        if self.nameless {
                            steps.push(self.nameless_row());
                        }
                    }
                    Err(failure) => steps.push(Step::Failed(format!("vfs_ls: {}\n", failure.text))),
                }
                continue;
            };
            match current.entries.next() {
                Some(entry) => {
                    if entry.kind == Kind::Directory && current.depth_left > 0 {
                        current.sub_directories.push(entry.name.clone());
                    }
                    steps.push(Step::Entry {
                        directory: Arc::clone(&current.directory),
                        entry: Box::new(entry),
                        index: self.index,
                    });
                    self.index += 1;
                }
                None => {
                    steps.push(Step::Stats {
                        directory: Arc::clone(&current.directory),
                        start: current.start,
                        end: self.index,
                    });
                    // Depth first, in listing order.
                    for name in current.sub_directories.drain(..).rev() {
                        let mut below = current.directory.to_vec();
                        below.push(name);
                        self.pending.push((below, current.depth_left - 1));
                    }
                    self.current = None;
                }
            }
        }
        steps
    }

    fn nameless_row(&mut self) -> Step {
        let directory = self.current.as_ref().map(|current| Arc::clone(&current.directory)).unwrap_or_default();
        let entry = Box::new(Entry {
            name: String::new(),
            data: "{}".to_string(),
            size: 0,
            mode: "-rw-r--r--".to_string(),
            kind: Kind::Special,
            mtime: Stamp::UNKNOWN,
            atime: Stamp::UNKNOWN,
            ctime: Stamp::UNKNOWN,
            btime: Stamp::UNKNOWN,
        });
        let step = Step::Entry { directory, entry, index: self.index };
        self.index += 1;
        step
    }
}
