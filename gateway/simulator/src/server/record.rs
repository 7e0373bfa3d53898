//! Directory records and download logs: what the server's VFS remembers of an endpoint (§4.4, §5.2).

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::Journal;
use crate::error::Error;

/// The last listing of one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Seconds since 1970, time of the completion event.
    pub(crate) timestamp: u64,
    pub(crate) flow_id: String,
    /// Empty after a failed refresh.
    pub(crate) artifact: String,
    pub(crate) start_idx: u64,
    pub(crate) end_idx: u64,
}

/// One row of a directory's download log, with the names that the wire uses; zero members are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Download {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) size: u64,
    /// Microseconds since 1970 of the download, not of the file.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) mtime: u64,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) sparse: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) components: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) flow_id: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) in_flight: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_false(value: &bool) -> bool {
    !*value
}

/// The server's VFS of one endpoint, by exact component strings, accessor first.
#[derive(Debug)]
pub(crate) struct Records {
    records: HashMap<Vec<String>, Record>,
    downloads: HashMap<Vec<String>, Vec<Download>>,
    journal: Journal,
}

#[derive(Serialize, Deserialize)]
enum Line {
    Record { directory: Vec<String>, record: Record },
    Download { directory: Vec<String>, download: Download },
}

impl Records {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (journal, lines) = Journal::open::<Line>(path)?;
        let mut this = Self { records: HashMap::new(), downloads: HashMap::new(), journal };
        for line in lines {
            this.apply(line);
        }
        Ok(this)
    }

    pub(crate) fn get(&self, directory: &[String]) -> Option<&Record> {
        self.records.get(directory)
    }

    /// Rows ever appended to the directory's download log.
    pub(crate) fn download_version(&self, directory: &[String]) -> u64 {
        self.downloads.get(directory).map_or(0, |rows| rows.len() as u64)
    }

    /// The last row of each name.
    pub(crate) fn downloads(&self, directory: &[String]) -> HashMap<String, Download> {
        let rows = self.downloads.get(directory).map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(|row| (row.name.clone(), row.clone())).collect()
    }

    /// Whether the outcome of a download is in the directory's log already.
    pub(crate) fn knows_download(&self, directory: &[String], flow_id: &str) -> bool {
        self.downloads.get(directory).is_some_and(|rows| rows.iter().any(|row| row.flow_id == flow_id))
    }

    pub(crate) fn set(&mut self, directory: Vec<String>, record: Record) {
        self.write(Line::Record { directory, record });
    }

    pub(crate) fn log_download(&mut self, directory: Vec<String>, download: Download) {
        self.write(Line::Download { directory, download });
    }

    fn write(&mut self, line: Line) {
        if let Err(error) = self.journal.append(&line) {
            tracing::error!(%error, "the directory records cannot be written");
        }
        self.apply(line);
    }

    fn apply(&mut self, line: Line) {
        match line {
            Line::Record { directory, record } => {
                self.records.insert(directory, record);
            }
            Line::Download { directory, download } => {
                self.downloads.entry(directory).or_default().push(download);
            }
        }
    }
}
