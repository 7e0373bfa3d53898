//! A real directory of this machine as an endpoint's `/`: `lstat` for rows, links followed on open and list, and
//! nothing outside the root is ever reached, as if the endpoint's agent ran in a chroot.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::config::System;
use crate::tree::entry::{Entry, name_as_seen, write_string};
use crate::tree::mode::{self, Kind};
use crate::tree::stamp::Stamp;
use crate::tree::{Content, Failure, FileSystem, Listing, Opened, unix_path};

const MAX_LINKS: u32 = 40;

/// An endpoint whose file system is a directory of this machine.
pub(crate) struct RealDirectory {
    root: PathBuf,
    system: System,
    mounts: Arc<FileSystemTypes>,
}

impl RealDirectory {
    pub(crate) fn new(root: &Path, system: System) -> io::Result<Self> {
        let root = root.canonicalize()?;
        Ok(Self { root, system, mounts: Arc::new(FileSystemTypes::of_this_machine()) })
    }

    /// The real path of `path` with all links but the last one followed inside the root.
    fn resolve(&self, path: &[String], follow_last: bool) -> Result<PathBuf, Failure> {
        let mut pending: Vec<OsString> = path.iter().rev().map(OsString::from).collect();
        let mut resolved: Vec<OsString> = Vec::new();
        let mut links = 0u32;
        while let Some(component) = pending.pop() {
            match component.as_bytes() {
                b"" | b"." => continue,
                b".." => {
                    resolved.pop();
                    continue;
                }
                bytes if bytes.contains(&b'/') || bytes.contains(&0) => {
                    return Err(self.failure(io::ErrorKind::NotFound, &resolved, Some(&component)));
                }
                _ => {}
            }
            let here = self.real(&resolved).join(&component);
            let meta = std::fs::symlink_metadata(&here)
                .map_err(|error| self.failure(error.kind(), &resolved, Some(&component)))?;
            if mode::kind(meta.mode()) == Kind::Link && (follow_last || !pending.is_empty()) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Failure::new(format!("lstat {}: too many levels of symbolic links", unix_path(path))));
                }
                let target = std::fs::read_link(&here)
                    .map_err(|error| self.failure(error.kind(), &resolved, Some(&component)))?;
                if target.is_absolute() {
                    resolved.clear();
                }
                pending.extend(
                    target
                        .as_os_str()
                        .as_bytes()
                        .split(|byte| *byte == b'/')
                        .rev()
                        .map(|part| OsString::from_vec(part.to_vec())),
                );
            } else {
                resolved.push(component);
            }
        }
        Ok(self.real(&resolved))
    }

    fn real(&self, resolved: &[OsString]) -> PathBuf {
        resolved.iter().fold(self.root.clone(), |path, component| path.join(component))
    }

    fn failure(&self, kind: io::ErrorKind, parent: &[OsString], last: Option<&OsString>) -> Failure {
        let path: Vec<String> = parent.iter().chain(last).map(|part| name_as_seen(part.as_bytes())).collect();
        self.failure_at(kind, "lstat", &unix_path(&path))
    }

    fn failure_at(&self, kind: io::ErrorKind, operation: &str, path: &str) -> Failure {
        match kind {
            io::ErrorKind::NotFound => Failure::absent(self.system, operation, path),
            io::ErrorKind::PermissionDenied => Failure::denied(self.system, path),
            io::ErrorKind::NotADirectory => Failure::new(format!("{operation} {path}: not a directory")),
            other => Failure::new(format!("{operation} {path}: {other}")),
        }
    }
}

impl FileSystem for RealDirectory {
    fn list(&self, accessor: &str, directory: &[String]) -> Result<Listing, Failure> {
        check_accessor(accessor)?;
        let real = self.resolve(directory, true)?;
        let meta = std::fs::symlink_metadata(&real)
            .map_err(|error| self.failure_at(error.kind(), "lstat", &unix_path(directory)))?;
        if !meta.is_dir() {
            return Ok(Listing { components: directory.to_vec(), entries: Box::new(std::iter::empty()) });
        }
        let reader =
            std::fs::read_dir(&real).map_err(|error| self.failure_at(error.kind(), "open", &unix_path(directory)))?;
        let mounts = Arc::clone(&self.mounts);
        let entries = reader.filter_map(move |entry| {
            let entry = entry.ok()?;
            // An entry that vanishes between readdir and lstat has no row.
            let meta = std::fs::symlink_metadata(entry.path()).ok()?;
            Some(make_entry(&entry.file_name(), &entry.path(), &meta, &mounts))
        });
        Ok(Listing { components: directory.to_vec(), entries: Box::new(entries) })
    }

    fn stat(&self, accessor: &str, path: &[String]) -> Result<Entry, Failure> {
        check_accessor(accessor)?;
        let real = self.resolve(path, false)?;
        let meta = std::fs::symlink_metadata(&real)
            .map_err(|error| self.failure_at(error.kind(), "lstat", &unix_path(path)))?;
        let name = path.last().map(OsString::from).unwrap_or_default();
        Ok(make_entry(&name, &real, &meta, &self.mounts))
    }

    fn open(&self, accessor: &str, path: &[String]) -> Result<Opened, Failure> {
        check_accessor(accessor)?;
        let shown = unix_path(path);
        let real = self.resolve(path, true)?;
        let meta = std::fs::symlink_metadata(&real).map_err(|error| self.failure_at(error.kind(), "lstat", &shown))?;
        match mode::kind(meta.mode()) {
            Kind::Directory => return Err(Failure::directory()),
            Kind::Special => return Err(Failure::special(&shown)),
            Kind::File | Kind::Link => {}
        }
        let file = std::fs::File::open(&real).map_err(|error| self.failure_at(error.kind(), "open", &shown))?;
        Ok(Opened { content: Box::new(RealFile(file)), size: meta.len(), runs: None })
    }

    fn display(&self, _accessor: &str, path: &[String]) -> String {
        unix_path(path)
    }
}

struct RealFile(std::fs::File);

impl Content for RealFile {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
}

fn check_accessor(accessor: &str) -> Result<(), Failure> {
    match accessor {
        "auto" | "file" => Ok(()),
        other => Err(Failure::new(format!("Unknown filesystem accessor {other}"))),
    }
}

fn make_entry(name: &OsString, real: &Path, meta: &Metadata, mounts: &FileSystemTypes) -> Entry {
    let kind = mode::kind(meta.mode());
    let (major, minor) = device_numbers(meta.dev());
    let mut data = String::from("{");
    if kind == Kind::Link {
        let target = std::fs::read_link(real).unwrap_or_default();
        data.push_str("\"Link\":");
        write_string(&mut data, &name_as_seen(target.as_os_str().as_bytes()));
        data.push(',');
    }
    data.push_str(&format!("\"DevMajor\":{major},\"DevMinor\":{minor}"));
    if let Some(name) = mounts.name(major, minor) {
        data.push_str(",\"FSType\":");
        write_string(&mut data, name);
    }
    data.push('}');
    Entry {
        name: name_as_seen(name.as_bytes()),
        data,
        size: meta.len(),
        mode: mode::text(meta.mode()),
        kind,
        mtime: unix_stamp(meta.mtime(), meta.mtime_nsec()),
        atime: unix_stamp(meta.atime(), meta.atime_nsec()),
        ctime: unix_stamp(meta.ctime(), meta.ctime_nsec()),
        btime: meta
            .created()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(Stamp::UNKNOWN, |time| {
                Stamp::new(i64::try_from(time.as_secs()).unwrap_or_default(), time.subsec_nanos())
            }),
    }
}

fn unix_stamp(seconds: i64, nanoseconds: i64) -> Stamp {
    Stamp::new(seconds, u32::try_from(nanoseconds).unwrap_or_default())
}

/// Major and minor number of a Linux `st_dev`.
fn device_numbers(device: u64) -> (u64, u64) {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    (major, minor)
}

/// `FSType` by device number, read once from the kernel's table of mounts.
struct FileSystemTypes(HashMap<(u64, u64), String>);

impl FileSystemTypes {
    fn of_this_machine() -> Self {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut names = HashMap::new();
        for line in table.lines() {
            let device = line.split(' ').nth(2).and_then(|text| {
                let (major, minor) = text.split_once(':')?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            });
            let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
            if let (Some(device), Some(kind)) = (device, kind) {
                // ext3 and ext4 have the magic number of ext2, and go by its name.
                let kind = if kind.starts_with("ext") { "ext2" } else { kind };
                names.insert(device, kind.to_string());
            }
        }
        Self(names)
    }

    fn name(&self, major: u64, minor: u64) -> Option<&str> {
        self.0.get(&(major, minor)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn components(path: &[&str]) -> Vec<String> {
        path.iter().map(ToString::to_string).collect()
    }

    fn read_all(opened: &mut Opened) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let got = opened.content.read(0, &mut buffer).unwrap();
        buffer.truncate(got);
        buffer
    }

    #[test]
    fn links_are_followed_inside_the_root_and_never_outside() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), b"outside").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::fs::write(root.path().join("real/file"), b"inside").unwrap();
        symlink("/real", root.path().join("absolute")).unwrap();
        symlink("../../../../real/file", root.path().join("climbing")).unwrap();
        symlink(outside.path().join("secret"), root.path().join("escape")).unwrap();
        let tree = RealDirectory::new(root.path(), System::Linux).unwrap();
        for path in [vec!["absolute", "file"], vec!["climbing"], vec!["..", "real", "file"]] {
            let mut opened = tree.open("auto", &components(&path)).unwrap();
            assert_eq!(read_all(&mut opened), b"inside");
        }
        assert!(tree.open("auto", &components(&["escape"])).is_err());
        let link = tree.stat("auto", &components(&["absolute"])).unwrap();
        assert_eq!(link.mode, "Lrwxrwxrwx");
        assert!(link.data.contains("\"Link\":\"/real\""));
    }

    #[test]
    fn link_loops_end_with_an_error() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let tree = RealDirectory::new(root.path(), System::Linux).unwrap();
        let failure = tree.list("auto", &components(&["a"])).err().unwrap();
        assert!(failure.text.contains("too many levels"), "{}", failure.text);
    }

    #[test]
    fn a_file_lists_as_an_empty_directory_and_a_missing_path_fails() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), b"x").unwrap();
        let tree = RealDirectory::new(root.path(), System::Linux).unwrap();
        assert_eq!(tree.list("auto", &components(&["file"])).unwrap().entries.count(), 0);
        let failure = tree.list("auto", &components(&["nope"])).err().unwrap();
        assert_eq!(failure.text, "lstat /nope: no such file or directory");
    }

    #[test]
    fn directories_and_special_files_cannot_be_opened() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("adir")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("sock")).unwrap();
        let tree = RealDirectory::new(root.path(), System::Linux).unwrap();
        let text = |name: &str| tree.open("auto", &components(&[name])).err().unwrap().text;
        assert_eq!(text("adir"), "invalid argument: Directories not supported");
        assert_eq!(text("sock"), "Only regular files supported (not /sock)");
    }
}
