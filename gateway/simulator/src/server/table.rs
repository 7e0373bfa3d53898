//! Result tables of flows: one file of JSON lines each, the columns in its first line, rows as arrays.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A table that only grows. Rows are kept on disk; memory holds their offsets.
#[derive(Debug)]
pub(crate) struct Table {
    path: PathBuf,
    columns: Vec<String>,
    offsets: Vec<u64>,
    end: u64,
    file: Option<File>,
}

/// Where some rows of a table lie, to be read without holding the server's lock.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) columns: Vec<String>,
    path: PathBuf,
    start: u64,
    end: u64,
}

/// The file name of a source's table: everything but letters, digits, `.` and `_` as `%XX`.
pub(crate) fn file_name(source: &str) -> String {
    let mut name = String::from("table-");
    for byte in source.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name.push_str(".jsonl");
    name
}

impl Table {
    /// A new table; its file appears with the first rows.
    pub(crate) fn new(folder: &Path, source: &str, columns: &[String]) -> Self {
        Self {
            path: folder.join(file_name(source)),
            columns: columns.to_vec(),
            offsets: Vec::new(),
            end: 0,
            file: None,
        }
    }

    /// Reads the table back from disk. A row that a kill has cut is dropped.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let content = std::fs::read(path).map_err(Error::state(path))?;
        let mut lines = Vec::new();
        let mut start = 0usize;
        for (at, byte) in content.iter().enumerate() {
            if *byte == b'\n' {
                lines.push(start);
                start = at + 1;
            }
        }
        let header_end = lines.get(1).copied().unwrap_or(start);
        let columns = serde_json::from_slice(content.get(..header_end).unwrap_or_default())
            .map_err(|reason| Error::damaged(path, reason))?;
        let offsets = lines.iter().skip(1).map(|offset| *offset as u64).collect();
        if start < content.len() {
            let file = OpenOptions::new().write(true).open(path).map_err(Error::state(path))?;
            file.set_len(start as u64).map_err(Error::state(path))?;
        }
        Ok(Self { path: path.to_path_buf(), columns, offsets, end: start as u64, file: None })
    }

    pub(crate) fn len(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// Appends rows (JSON arrays without line breaks) with one write.
    pub(crate) fn append(&mut self, rows: &[String]) -> std::io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut block = Vec::with_capacity(rows.iter().map(|row| row.len() + 1).sum::<usize>() + 256);
        if self.end == 0 {
            serde_json::to_writer(&mut block, &self.columns)?;
            block.push(b'\n');
        }
        let mut offsets = Vec::with_capacity(rows.len());
        for row in rows {
            offsets.push(self.end + block.len() as u64);
            block.extend_from_slice(row.as_bytes());
            block.push(b'\n');
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().create(true).append(true).open(&self.path)?),
        };
        file.write_all(&block)?;
        self.end += block.len() as u64;
        self.offsets.append(&mut offsets);
        Ok(())
    }

    /// Lets go of the open file: the flow has ended.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// The rows `first .. first + count`, as far as they exist.
    pub(crate) fn slice(&self, first: u64, count: u64) -> Slice {
        let length = self.len();
        let first = first.min(length);
        let last = first.saturating_add(count).min(length);
        let offset =
            |row: u64| usize::try_from(row).ok().and_then(|row| self.offsets.get(row)).copied().unwrap_or(self.end);
        Slice { columns: self.columns.clone(), path: self.path.clone(), start: offset(first), end: offset(last) }
    }
}

impl Slice {
    /// Reads the rows, each a JSON array.
    pub(crate) fn read(&self) -> std::io::Result<Vec<String>> {
        if self.start == self.end {
            return Ok(Vec::new());
        }
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.start))?;
        let mut block = String::new();
        file.take(self.end - self.start).read_to_string(&mut block)?;
        Ok(block.lines().map(str::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_a_kill_in_the_middle_of_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let source = "System.VFS.ListDirectory/Listing";
        let mut table = Table::new(folder.path(), source, &["Name".to_string()]);
        table.append(&["[\"a\"]".to_string(), "[\"b\u{2028}\"]".to_string()]).unwrap();
        let path = folder.path().join(file_name(source));
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"[\"c").unwrap();
        let mut again = Table::open(&path).unwrap();
        assert_eq!(again.len(), 2);
        again.append(&["[\"d\"]".to_string()]).unwrap();
        let slice = again.slice(1, 10);
        assert_eq!(slice.read().unwrap(), ["[\"b\u{2028}\"]", "[\"d\"]"]);
        assert_eq!(slice.columns, ["Name"]);
    }

    #[test]
    fn slices_past_the_end_are_empty() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::new(folder.path(), "log", &["x".to_string()]);
        table.append(&["[1]".to_string()]).unwrap();
        assert!(table.slice(1, 5).read().unwrap().is_empty());
        assert!(table.slice(u64::MAX, u64::MAX).read().unwrap().is_empty());
    }
}
