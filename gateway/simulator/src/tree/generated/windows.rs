//! The Windows-like endpoint: `auto` and `file` through the OS API, `ntfs` by raw parsing, `registry`.

use crate::clock::Clock;
use crate::config::System;
use crate::seeded;
use crate::tree::entry::{Entry, write_string};
use crate::tree::generated::index::Index;
use crate::tree::generated::node::{Guard, Node, What};
use crate::tree::generated::registry;
use crate::tree::generated::volume::{self, Disk, Volume};
use crate::tree::mode::Kind;
use crate::tree::stamp::Stamp;
use crate::tree::{Failure, FileSystem, Listing, Opened, windows_path};

/// NTFS keeps times in steps of 100 ns.
const GRAIN: u32 = 100;

/// A generated Windows machine.
pub(super) struct Windows {
    seed: u64,
    clock: Clock,
    index: Index,
}

/// How an accessor reaches a volume.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The OS API alone.
    Api,
    /// The OS API, and raw parsing where it refuses.
    Fallback,
    /// Raw parsing.
    Raw,
}

impl Windows {
    pub(super) fn new(seed: u64, clock: Clock) -> Self {
        Self { seed, clock, index: Index::default() }
    }

    fn find(&self, volume: Volume, path: &[String], follow: bool) -> Option<(Vec<String>, Node)> {
        volume.find(&Disk { seed: self.seed, clock: &self.clock, index: &self.index }, path, follow)
    }

    fn list_volume(&self, volume: Volume, way: Way, directory: &[String]) -> Result<Listing, Failure> {
        let path = directory.get(1..).unwrap_or_default();
        let shown = windows_path(directory);
        let (real, node) = self.find(volume, path, true).ok_or_else(|| absent(&shown))?;
        let refused = node.guard == Guard::Denied;
        if refused && way == Way::Api {
            return Err(Failure::denied(System::Windows, &shown));
        }
        let raw = way == Way::Raw || refused;
        let mut components = directory.to_vec();
        if refused && way == Way::Fallback {
            // The quirk of the fallback: its children are named by the device (§4.8).
            if let Some(first) = components.first_mut() {
                *first = volume.device();
            }
        }
        let Some(children) = volume.children(self.seed, &self.clock, &real).filter(|_| node.kind() == Kind::Directory)
        else {
            return Ok(Listing { components, entries: Box::new(std::iter::empty()) });
        };
        let hash = volume.path_hash(self.seed, &real);
        let clock = self.clock.clone();
        let at_root = real.is_empty();
        let entries = children
            .filter(move |node| raw || !is_raw_only(&node.name, at_root))
            .map(move |node| if raw { raw_entry(&node, hash, &clock) } else { api_entry(&node, hash, &clock) });
        Ok(Listing { components, entries: Box::new(entries) })
    }

    /// The volume, the way to it and whether there is one, for a path of `auto`, `file` or `ntfs`.
    fn way(accessor: &str, path: &[String]) -> Result<(Volume, Way), Failure> {
        let first = path.first().map(String::as_str).unwrap_or_default();
        let found = match accessor {
            "ntfs" | "lazy_ntfs" => Volume::of_device(first).or_else(|| Volume::of_drive(first)).map(|v| (v, Way::Raw)),
            "file" => Volume::of_drive(first).map(|volume| (volume, Way::Api)),
            _ => Volume::of_drive(first)
                .map(|volume| (volume, Way::Fallback))
                .or_else(|| Volume::of_device(first).map(|volume| (volume, Way::Raw))),
        };
        if found.is_none() && first.starts_with("\\\\") && accessor != "ntfs" {
            let text = format!("CreateFile {}: The network path was not found.", windows_path(path));
            return Err(Failure::new(text));
        }
        found.ok_or_else(|| {
            Failure::new(format!("CreateFile {}: The system cannot find the path specified.", windows_path(path)))
        })
    }
}

impl FileSystem for Windows {
    fn list(&self, accessor: &str, directory: &[String]) -> Result<Listing, Failure> {
        check_accessor(accessor)?;
        if accessor == "registry" {
            let entries = registry::list(self.seed, directory).ok_or_else(|| {
                Failure::new(format!("{}: The system cannot find the file specified.", windows_path(directory)))
            })?;
            return Ok(Listing { components: directory.to_vec(), entries: Box::new(entries.into_iter()) });
        }
        if directory.is_empty() {
            let roots =
                if accessor == "ntfs" || accessor == "lazy_ntfs" { volume::devices() } else { volume::drives() };
            let entries: Vec<Entry> = roots.into_iter().map(root_entry).collect();
            return Ok(Listing { components: Vec::new(), entries: Box::new(entries.into_iter()) });
        }
        let (volume, way) = Self::way(accessor, directory)?;
        self.list_volume(volume, way, directory)
    }

    fn stat(&self, accessor: &str, path: &[String]) -> Result<Entry, Failure> {
        check_accessor(accessor)?;
        let shown = windows_path(path);
        if accessor == "registry" {
            return registry::stat(self.seed, path).ok_or_else(|| absent(&shown));
        }
        let (volume, way) = Self::way(accessor, path)?;
        let (real, node) = self.find(volume, path.get(1..).unwrap_or_default(), false).ok_or_else(|| absent(&shown))?;
        let Some((_, parent)) = real.split_last() else {
            let roots = if way == Way::Raw { volume::devices() } else { volume::drives() };
            let first = path.first().map(String::as_str).unwrap_or_default();
            let root = roots.into_iter().find(|root| root.0.eq_ignore_ascii_case(first));
            return root.map(root_entry).ok_or_else(|| absent(&shown));
        };
        let raw = way == Way::Raw;
        if !raw && is_raw_only(&node.name, parent.is_empty()) {
            return Err(absent(&shown));
        }
        let hash = volume.path_hash(self.seed, parent);
        Ok(if raw { raw_entry(&node, hash, &self.clock) } else { api_entry(&node, hash, &self.clock) })
    }

    fn open(&self, accessor: &str, path: &[String]) -> Result<Opened, Failure> {
        check_accessor(accessor)?;
        let shown = windows_path(path);
        if accessor == "registry" {
            return registry::open(self.seed, path).ok_or_else(|| absent(&shown))?;
        }
        let (volume, way) = Self::way(accessor, path)?;
        let (_, node) = self.find(volume, path.get(1..).unwrap_or_default(), true).ok_or_else(|| absent(&shown))?;
        match (&node.what, node.guard) {
            (_, Guard::Denied) if way == Way::Api => Err(Failure::denied(System::Windows, &shown)),
            (_, Guard::Locked) if way == Way::Api => Err(Failure::locked(System::Windows, &shown)),
            (What::File(source), _) => {
                let mut opened = source.open(self.clock.clone());
                if way != Way::Raw {
                    // Only raw access knows about holes.
                    opened.runs = None;
                }
                Ok(opened)
            }
            (What::Directory, _) => Err(Failure::directory()),
            (What::Irregular(_), _) => {
                Err(Failure::new(format!("open {shown}: The cloud operation was unsuccessful.")))
            }
            (What::Link(_) | What::Special(_), _) => Err(Failure::special(&shown)),
        }
    }

    fn display(&self, _accessor: &str, path: &[String]) -> String {
        windows_path(path)
    }
}

fn absent(path: &str) -> Failure {
    Failure::absent(System::Windows, "CreateFile", path)
}

fn check_accessor(accessor: &str) -> Result<(), Failure> {
    match accessor {
        "auto" | "file" | "ntfs" | "lazy_ntfs" | "registry" => Ok(()),
        other => Err(Failure::new(format!("Unknown filesystem accessor {other}"))),
    }
}

/// Metadata files and named streams: the OS API does not list them.
fn is_raw_only(name: &str, at_root: bool) -> bool {
    name.contains(':') || (at_root && name.starts_with('$') && name != "$Recycle.Bin")
}

fn root_entry((name, size, data): (String, u64, String)) -> Entry {
    Entry {
        name,
        data,
        size,
        mode: "drwxr-xr-x".to_string(),
        kind: Kind::Directory,
        mtime: Stamp::UNKNOWN,
        atime: Stamp::UNKNOWN,
        ctime: Stamp::UNKNOWN,
        btime: Stamp::UNKNOWN,
    }
}

/// A row of the OS API: `ctime` is `mtime`, the mode tells directory and read-only.
fn api_entry(node: &Node, path_hash: u64, clock: &Clock) -> Entry {
    let [mtime, atime, _, btime] = node.times(path_hash, GRAIN);
    let mut data = String::from("{");
    let read_only = node.permissions.is_some_and(|mode| mode & 0o200 == 0);
    let mode = match &node.what {
        What::Directory => "drwxrwxrwx",
        What::Link(target) => {
            data.push_str("\"Link\":");
            write_string(&mut data, target);
            "Lrw-rw-rw-"
        }
        What::Irregular(_) | What::Special(_) => "?rw-rw-rw-",
        What::File(_) if read_only => "-r--r--r--",
        What::File(_) => "-rw-rw-rw-",
    };
    data.push('}');
    Entry {
        name: node.name.clone(),
        data,
        size: if node.kind() == Kind::Link { 0 } else { node.size(clock) },
        mode: mode.to_string(),
        kind: node.kind(),
        mtime,
        atime,
        ctime: mtime,
        btime,
    }
}

/// A row of raw parsing: record number, the times of $FILE_NAME, and a change time of its own.
fn raw_entry(node: &Node, path_hash: u64, clock: &Clock) -> Entry {
    let [mtime, atime, ctime, btime] = node.times(path_hash, GRAIN);
    let hash = seeded::hash(path_hash ^ 0x4d46_5421, node.name.as_bytes());
    let is_directory = node.kind() == Kind::Directory;
    // One file in 50 was given other times than its name's: $STANDARD_INFORMATION differs from $FILE_NAME.
    let (fn_mtime, fn_btime) = if hash.is_multiple_of(50) { (ctime, ctime) } else { (btime, btime) };
    let record = 64 + hash % 1_500_000;
    let attribute = if is_directory { "144" } else { "128" };
    let name_type = if node.name.len() > 12 || node.name.contains(' ') { "Win32" } else { "DOS+Win32" };
    let mut data = format!(
        "{{\"mft\":\"{record}-{attribute}-{}\",\"name_type\":\"{name_type}\",\"fn_btime\":\"{fn_btime}\",\
         \"fn_mtime\":\"{fn_mtime}\"",
        1 + hash % 6
    );
    if name_type == "Win32" && !node.name.contains(':') {
        let stem: String = node.name.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
        data.push_str(",\"extra_names\":[");
        write_string(&mut data, &format!("{}~1", stem.to_uppercase()));
        data.push(']');
    }
    data.push('}');
    Entry {
        name: node.name.clone(),
        data,
        size: if is_directory { 0 } else { node.size(clock) },
        mode: if is_directory { "drwxr-xr-x" } else { "-rwxr-xr-x" }.to_string(),
        kind: if is_directory { Kind::Directory } else { Kind::File },
        mtime,
        atime,
        ctime,
        btime,
    }
}
