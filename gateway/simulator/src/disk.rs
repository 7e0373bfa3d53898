//! Files of the state directory: whole files are replaced by rename, journals are appended line by line, and a line
//! that a kill has cut is dropped when the journal is read again.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Replaces a file: readers see the old content or the new one, never a part.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, content).map_err(Error::state(&beside))?;
    std::fs::rename(&beside, path).map_err(Error::state(path))
}

/// Replaces a file that holds a secret: mode 0600 from the start.
pub(crate) fn replace_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(Error::state(&beside))?;
    file.write_all(content).map_err(Error::state(&beside))?;
    std::fs::rename(&beside, path).map_err(Error::state(path))
}

/// Replaces a JSON file.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_vec(value).map_err(|reason| Error::damaged(path, reason))?;
    replace(path, &text)
}

/// Reads a JSON file; `None` when there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|reason| Error::damaged(path, reason)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::state(path)(error)),
    }
}

/// Makes a folder and its parents.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(Error::state(path))
}

/// A file of JSON lines that only grows.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

impl Journal {
    /// Opens a journal and returns what it holds. A cut last line is removed.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>), Error> {
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::state(path)(error)),
        };
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::state(path))?;
        if whole < content.len() {
            file.set_len(whole as u64).map_err(Error::state(path))?;
        }
        let mut records = Vec::new();
        for line in content.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                records.push(serde_json::from_slice(line).map_err(|reason| Error::damaged(path, reason))?);
            }
        }
        Ok((Self { file }, records))
    }

    /// Appends one record with a single write.
    pub(crate) fn append<T: Serialize>(&mut self, record: &T) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_cut_by_a_kill_opens_without_its_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, b"1\n2\n3").unwrap();
        let (mut journal, records) = Journal::open::<u32>(&path).unwrap();
        assert_eq!(records, [1, 2]);
        journal.append(&4).unwrap();
        let (_, records) = Journal::open::<u32>(&path).unwrap();
        assert_eq!(records, [1, 2, 4]);
    }

    #[test]
    fn a_damaged_file_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        std::fs::write(&path, b"{").unwrap();
        let error = read_json::<Vec<u32>>(&path).unwrap_err().to_string();
        assert!(error.contains("users.json") && error.contains("remove it"), "{error}");
    }
}
