//! The Linux-like endpoint: accessors `auto` and `file` over one generated tree, with links followed as Linux does.

use crate::clock::Clock;
use crate::config::System;
use crate::seeded;
use crate::tree::entry::{Entry, write_string};
use crate::tree::generated::index::Index;
use crate::tree::generated::linux_places::{self, Device};
use crate::tree::generated::node::{Guard, Node, What};
use crate::tree::mode::{self, Kind};
use crate::tree::{Failure, FileSystem, Listing, Opened, unix_path};

const MAX_LINKS: u32 = 40;

/// A generated Linux file system.
pub(super) struct Linux {
    seed: u64,
    clock: Clock,
    index: Index,
}

/// The children of a directory.
pub(super) type Children = Box<dyn Iterator<Item = Node> + Send>;

impl Linux {
    pub(super) fn new(seed: u64, clock: Clock) -> Self {
        Self { seed, clock, index: Index::default() }
    }

    fn children(&self, path: &[String]) -> Option<Children> {
        linux_places::children(self.seed, &self.clock, path)
    }

    fn node(&self, path: &[String]) -> Option<Node> {
        let Some((name, parent)) = path.split_last() else {
            return Some(Node::directory("/").mode(0o755));
        };
        // A name with U+FFFD was other bytes on the disk: it can be seen but not addressed (§4.2).
        if name.contains('\u{fffd}') {
            return None;
        }
        self.index.child(seeded::hash_path(self.seed, parent), name, false, self.children(parent)?)
    }

    /// Follows links as an open does. The result has no link in it, but its last part may not exist.
    fn resolve(&self, path: &[String], follow_last: bool) -> Result<(Vec<String>, Node), Failure> {
        let mut pending: Vec<String> = path.iter().rev().cloned().collect();
        let mut resolved: Vec<String> = Vec::new();
        let mut node = Node::directory("/").mode(0o755);
        let mut links = 0;
        while let Some(component) = pending.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    resolved.pop();
                    node = self.node(&resolved).ok_or_else(|| absent(&resolved))?;
                    continue;
                }
                _ => {}
            }
            if node.guard == Guard::Denied {
                let mut denied = resolved.clone();
                denied.push(component);
                return Err(Failure::new(format!("lstat {}: permission denied", unix_path(&denied))));
            }
            resolved.push(component);
            let found = self.node(&resolved).ok_or_else(|| absent(&resolved))?;
            if let What::Link(target) = &found.what
                && (follow_last || !pending.is_empty())
            {
                links += 1;
                if links > MAX_LINKS {
                    let text = format!("lstat {}: too many levels of symbolic links", unix_path(path));
                    return Err(Failure::new(text));
                }
                resolved.pop();
                if target.starts_with('/') {
                    resolved.clear();
                }
                pending.extend(target.split('/').rev().map(str::to_string));
                node = self.node(&resolved).ok_or_else(|| absent(&resolved))?;
                continue;
            }
            if found.kind() != Kind::Directory && !pending.is_empty() {
                let text = format!("lstat {}: not a directory", unix_path(path));
                return Err(Failure::new(text));
            }
            node = found;
        }
        Ok((resolved, node))
    }
}

impl FileSystem for Linux {
    fn list(&self, accessor: &str, directory: &[String]) -> Result<Listing, Failure> {
        check_accessor(accessor)?;
        let (real, node) = self.resolve(directory, true)?;
        if node.guard == Guard::Denied {
            return Err(Failure::denied(System::Linux, &unix_path(directory)));
        }
        let components = directory.to_vec();
        let Some(children) = self.children(&real).filter(|_| node.kind() == Kind::Directory) else {
            return Ok(Listing { components, entries: Box::new(std::iter::empty()) });
        };
        let device = linux_places::device(&real);
        let hash = seeded::hash_path(self.seed, &real);
        let clock = self.clock.clone();
        let at_root = real.is_empty();
        let entries = children.map(move |node| {
            // A mount point shows the device of what is mounted on it.
            let own = if at_root { linux_places::device(std::slice::from_ref(&node.name)) } else { device };
            make_entry(&node, own, hash, &clock)
        });
        Ok(Listing { components, entries: Box::new(entries) })
    }

    fn stat(&self, accessor: &str, path: &[String]) -> Result<Entry, Failure> {
        check_accessor(accessor)?;
        let (real, node) = self.resolve(path, false)?;
        let parent = real.split_last().map(|(_, parent)| parent).unwrap_or_default();
        Ok(make_entry(&node, linux_places::device(&real), seeded::hash_path(self.seed, parent), &self.clock))
    }

    fn open(&self, accessor: &str, path: &[String]) -> Result<Opened, Failure> {
        check_accessor(accessor)?;
        let shown = unix_path(path);
        let (_, node) = self.resolve(path, true)?;
        match (&node.what, node.guard) {
            (_, Guard::Denied) => Err(Failure::denied(System::Linux, &shown)),
            (_, Guard::Locked) => Err(Failure::locked(System::Linux, &shown)),
            (What::File(source), Guard::Open) => Ok(source.open(self.clock.clone())),
            (What::Directory, _) => Err(Failure::directory()),
            (What::Special(_) | What::Irregular(_) | What::Link(_), _) => Err(Failure::special(&shown)),
        }
    }

    fn display(&self, _accessor: &str, path: &[String]) -> String {
        unix_path(path)
    }
}

fn absent(path: &[String]) -> Failure {
    Failure::absent(System::Linux, "lstat", &unix_path(path))
}

fn check_accessor(accessor: &str) -> Result<(), Failure> {
    match accessor {
        "auto" | "file" => Ok(()),
        other => Err(Failure::new(format!("Unknown filesystem accessor {other}"))),
    }
}

fn make_entry(node: &Node, device: Device, path_hash: u64, clock: &Clock) -> Entry {
    let mut data = String::from("{");
    if let What::Link(target) = &node.what {
        data.push_str("\"Link\":");
        write_string(&mut data, target);
        data.push(',');
    }
    data.push_str(&format!(
        "\"DevMajor\":{},\"DevMinor\":{},\"FSType\":\"{}\"}}",
        device.major, device.minor, device.kind
    ));
    let (kind, ordinary) = match &node.what {
        What::Directory => (0o040_000, 0o755),
        What::File(_) | What::Irregular(_) => (0o100_000, 0o644),
        What::Link(_) => (0o120_000, 0o777),
        What::Special(kind) => (*kind, 0o644),
    };
    let [mtime, atime, ctime, btime] = node.times(path_hash, 1);
    Entry {
        name: node.name.clone(),
        data,
        size: node.size(clock),
        mode: mode::text(kind | node.permissions.unwrap_or(ordinary)),
        kind: node.kind(),
        mtime,
        atime,
        ctime,
        btime,
    }
}
