//! What is on disk, and how it differs from what a client was shown.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// An object as the disk has it, or as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// As `find -printf %y` says it: `f d l p s b c`.
    pub kind: char,
    /// Bytes; only for files.
    pub size: Option<u64>,
    /// Modification: seconds since 1970 and nanoseconds.
    pub modified: Option<(i64, u32)>,
    /// Hexadecimal SHA-256 of the content, where it was read.
    pub sha256: Option<String>,
    /// Target of a link.
    pub link: Option<Vec<u8>>,
}

/// Objects by their path from the root of the tree.
pub type Objects = BTreeMap<Vec<u8>, Object>;

/// Everything below `root`. Contents are hashed where `hashed` says so of the path.
pub fn ground_truth(root: &Path, hashed: impl Fn(&[u8]) -> bool) -> Objects {
    let mut objects = Objects::new();
    walk(root, root, &hashed, &mut objects);
    objects
}

fn walk(root: &Path, folder: &Path, hashed: &impl Fn(&[u8]) -> bool, objects: &mut Objects) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let relative = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let mut object = Object {
            kind: match kind {
                _ if kind.is_file() => 'f',
                _ if kind.is_dir() => 'd',
                _ if kind.is_symlink() => 'l',
                _ if kind.is_fifo() => 'p',
                _ if kind.is_socket() => 's',
                _ if kind.is_block_device() => 'b',
                _ => 'c',
            },
            modified: Some((metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap())),
            ..Object::default()
        };
        if kind.is_file() {
            object.size = Some(metadata.len());
            object.sha256 = hashed(&relative).then(|| sha256(&fs::read(&path).unwrap()));
        } else if kind.is_symlink() {
            object.link = Some(fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec());
        }
        objects.insert(relative, object);
        if kind.is_dir() {
            walk(root, &path, hashed, objects);
        }
    }
}

/// Hexadecimal SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a Linux client must see through NFS of what is on disk: D1 (FIFOs are sockets, links never leave the endpoint) and D4
/// (times as they are; NFSv3 has none before 1970; the change stamp of a directory lives below 100 ns).
pub fn through_nfs(disk: &Objects) -> Objects {
    disk.iter()
        .map(|(path, object)| {
            let mut shown = object.clone();
            if shown.kind == 'p' {
                shown.kind = 's';
            }
            shown.link = object.link.as_ref().map(|target| shown_target(path, target));
            (path.clone(), shown)
        })
        .collect()
}

/// Times as NFSv3 can carry them: no directory below 100 ns, nothing before 1970.
pub fn nfs_times(mut objects: Objects) -> Objects {
    for object in objects.values_mut() {
        if let Some((seconds, nanos)) = &mut object.modified {
            if object.kind == 'd' {
                *nanos -= *nanos % 100;
            }
            if *seconds < 0 {
                (*seconds, *nanos) = (0, 0);
            }
        }
    }
    objects
}

/// Links that stay inside are shown as they are, others lead to the endpoint's own root (D1).
fn shown_target(link: &[u8], target: &[u8]) -> Vec<u8> {
    let parent: Vec<&[u8]> = link.split(|byte| *byte == b'/').collect();
    let parent = &parent[..parent.len() - 1];
    let absolute = target.starts_with(b"/");
    let mut at: Vec<&[u8]> = if absolute { Vec::new() } else { parent.to_vec() };
    let mut left = absolute;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => left |= at.pop().is_none(),
            name => at.push(name),
        }
    }
    if !left {
        return target.to_vec();
    }
    let mut shown = b".raptorgate/root".to_vec();
    for part in at {
        shown.push(b'/');
        shown.extend_from_slice(part);
    }
    shown
}

/// Fails the test with every difference, if there is one. What one side does not say is not compared.
#[track_caller]
pub fn assert_same(disk: &Objects, seen: &Objects) {
    let mut differences = Vec::new();
    for path in disk.keys().filter(|path| !seen.contains_key(*path)) {
        differences.push(format!("missing: {}", text(path)));
    }
    for path in seen.keys().filter(|path| !disk.contains_key(*path)) {
        differences.push(format!("invented: {}", text(path)));
    }
    for (path, expected) in disk {
        let Some(actual) = seen.get(path) else {
            continue;
        };
        let mut differ = |what: &str, expected: String, actual: String| {
            differences.push(format!("{}: {what} is {actual}, on disk {expected}", text(path)));
        };
        if expected.kind != actual.kind {
            differ("type", expected.kind.to_string(), actual.kind.to_string());
        }
        compare(&expected.size, &actual.size, |a, b| differ("size", a.to_string(), b.to_string()));
        compare(&expected.modified, &actual.modified, |a, b| differ("mtime", format!("{a:?}"), format!("{b:?}")));
        compare(&expected.sha256, &actual.sha256, |a, b| differ("SHA-256", a.clone(), b.clone()));
        compare(&expected.link, &actual.link, |a, b| differ("target", text(a), text(b)));
    }
    let count = differences.len();
    differences.truncate(40);
    assert!(
        differences.is_empty(),
        "{count} differences between the disk and what the client saw:\n{}",
        differences.join("\n")
    );
}

fn compare<T: PartialEq>(expected: &Option<T>, actual: &Option<T>, mut differ: impl FnMut(&T, &T)) {
    if let (Some(expected), Some(actual)) = (expected, actual)
        && expected != actual
    {
        differ(expected, actual);
    }
}

fn text(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

/// Every file of the disk that a client had to read was read.
#[track_caller]
pub fn assert_contents_were_read(disk: &Objects, seen: &Objects) {
    let unread: Vec<String> = disk
        .iter()
        .filter(|(path, object)| object.sha256.is_some() && seen.get(*path).is_none_or(|seen| seen.sha256.is_none()))
        .map(|(path, _)| text(path))
        .collect();
    assert!(unread.is_empty(), "not read: {unread:#?}");
}
