//! An even tree of any size, for benches: so many directories below `/`, so many empty files in each. Nothing is stored.

use crate::config::System;
use crate::tree::entry::Entry;
use crate::tree::mode::Kind;
use crate::tree::stamp::Stamp;
use crate::tree::{Content, Failure, FileSystem, Listing, Opened, unix_path};

/// See [`crate::Tree::Even`].
pub(crate) struct Even {
    directories: u32,
    files: u32,
}

/// 2024-01-01, for everything.
const MADE: i64 = 1_704_067_200;

impl Even {
    pub(crate) fn new(directories: u32, files: u32) -> Self {
        Self { directories, files }
    }

    /// What `path` names, if it is there.
    fn kind(&self, path: &[String]) -> Option<Kind> {
        let is = |name: &String, letter: char, below: u32| {
            let number = name.strip_prefix(letter).and_then(|digits| digits.parse::<u32>().ok());
            number.is_some_and(|number| number < below && *name == self::name(letter, number))
        };
        match path {
            [] => Some(Kind::Directory),
            [directory] => is(directory, 'd', self.directories).then_some(Kind::Directory),
            [directory, file] => {
                (is(directory, 'd', self.directories) && is(file, 'f', self.files)).then_some(Kind::File)
            }
            _ => None,
        }
    }

    fn absent(operation: &str, path: &[String]) -> Failure {
        Failure::absent(System::Linux, operation, &unix_path(path))
    }
}

impl FileSystem for Even {
    fn list(&self, _accessor: &str, directory: &[String]) -> Result<Listing, Failure> {
        let kind = self.kind(directory).ok_or_else(|| Self::absent("lstat", directory))?;
        let (letter, count, kind) = match (kind, directory) {
            (Kind::Directory, []) => ('d', self.directories, Kind::Directory),
            (Kind::Directory, _) => ('f', self.files, Kind::File),
            _ => ('f', 0, Kind::File),
        };
        let entries = (0..count).map(move |number| entry(name(letter, number), kind));
        Ok(Listing { components: directory.to_vec(), entries: Box::new(entries) })
    }

    fn stat(&self, _accessor: &str, path: &[String]) -> Result<Entry, Failure> {
        let kind = self.kind(path).ok_or_else(|| Self::absent("lstat", path))?;
        Ok(entry(path.last().cloned().unwrap_or_default(), kind))
    }

    fn open(&self, _accessor: &str, path: &[String]) -> Result<Opened, Failure> {
        match self.kind(path) {
            Some(Kind::File) => Ok(Opened { content: Box::new(Empty), size: 0, runs: None }),
            Some(_) => Err(Failure::directory()),
            None => Err(Self::absent("open", path)),
        }
    }

    fn display(&self, _accessor: &str, path: &[String]) -> String {
        unix_path(path)
    }
}

fn name(letter: char, number: u32) -> String {
    format!("{letter}{number:07}")
}

fn entry(name: String, kind: Kind) -> Entry {
    let made = Stamp::new(MADE, 0);
    let mode = if kind == Kind::Directory { "drwxr-xr-x" } else { "-rw-r--r--" };
    Entry {
        name,
        data: r#"{"DevMajor":254,"DevMinor":0,"FSType":"ext2"}"#.to_string(),
        size: 0,
        mode: mode.to_string(),
        kind,
        mtime: made,
        atime: made,
        ctime: made,
        btime: made,
    }
}

struct Empty;

impl Content for Empty {
    fn read(&mut self, _offset: u64, _buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_there_and_nothing_else() {
        let tree = Even::new(3, 2);
        let path = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let names = |at: &[&str]| -> Vec<String> {
            tree.list("auto", &path(at)).unwrap().entries.map(|entry| entry.name).collect()
        };
        assert_eq!(names(&[]), ["d0000000", "d0000001", "d0000002"]);
        assert_eq!(names(&["d0000002"]), ["f0000000", "f0000001"]);
        assert!(names(&["d0000002", "f0000001"]).is_empty(), "a file lists as empty");
        assert_eq!(tree.stat("auto", &path(&["d0000001"])).unwrap().kind, Kind::Directory);
        assert_eq!(tree.stat("auto", &path(&["d0000001", "f0000000"])).unwrap().kind, Kind::File);
        for absent in [&["d0000003"][..], &["d1"], &["x"], &["d0000000", "f0000002"], &["d0000000", "f0000000", "x"]] {
            assert!(tree.stat("auto", &path(absent)).is_err(), "{absent:?}");
            assert!(tree.list("auto", &path(absent)).is_err(), "{absent:?}");
        }
    }
}
