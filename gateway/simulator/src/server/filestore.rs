//! The server's file store: what flows have uploaded, as far as it has arrived (§5.4).
//!
//! Content of real files lies in files beside the flow; generated content is kept as its recipe and costs nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tree::{Content, Recipe, Run};

/// One stored upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The file store path below `…/uploads`: accessor, then the raw client components.
    pub(crate) components: Vec<String>,
    /// Where its bytes are.
    pub(crate) body: Body,
    /// Bytes that have arrived so far.
    pub(crate) arrived: u64,
    /// Whether the upload is complete.
    pub(crate) complete: bool,
    /// The layout of a sparse file.
    pub(crate) runs: Option<Vec<StoredRun>>,
}

/// Where the bytes of an object are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Body {
    /// In a file of this name in the flow's folder of uploads.
    File(String),
    /// Made anew on each read.
    Generated(Recipe),
    /// Small content, kept here.
    Inline(Vec<u8>),
}

/// One range of a sparse file's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRun {
    pub(crate) file_offset: u64,
    pub(crate) original_offset: u64,
    pub(crate) file_length: u64,
    pub(crate) length: u64,
}

/// The index of a sparse upload as stored: data runs lie back to back.
pub(crate) fn stored_runs(runs: &[Run]) -> Vec<StoredRun> {
    let mut file_offset = 0;
    runs.iter()
        .map(|run| {
            let file_length = if run.hole { 0 } else { run.length };
            let stored = StoredRun { file_offset, original_offset: run.offset, file_length, length: run.length };
            file_offset += file_length;
            stored
        })
        .collect()
}

/// The text of `<name>.idx`: JSON with zero members left out.
pub(crate) fn index_text(runs: &[StoredRun]) -> Vec<u8> {
    let mut text = String::from("{\n \"ranges\": [");
    for (place, run) in runs.iter().enumerate() {
        let members: Vec<String> = [
            ("file_offset", run.file_offset),
            ("original_offset", run.original_offset),
            ("file_length", run.file_length),
            ("length", run.length),
        ]
        .iter()
        .filter(|(_, value)| *value != 0)
        .map(|(key, value)| format!("\n   \"{key}\": {value}"))
        .collect();
        text.push_str(if place == 0 { "\n  {" } else { ",\n  {" });
        text.push_str(&members.join(","));
        text.push_str("\n  }");
    }
    text.push_str("\n ]\n}");
    text.into_bytes()
}

/// How to read an object without the server's lock.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) body: Body,
    pub(crate) folder: PathBuf,
    pub(crate) arrived: u64,
    pub(crate) runs: Option<Vec<StoredRun>>,
}

impl Reader {
    /// Reads up to `length` bytes at `offset`. `padding` expands a sparse file to its original layout; a read never
    /// crosses from one run into the next when `stop_at_runs` is set.
    pub(crate) fn read(
        &self,
        offset: u64,
        length: usize,
        padding: bool,
        stop_at_runs: bool,
    ) -> std::io::Result<Vec<u8>> {
        match (&self.runs, padding) {
            (Some(runs), true) => self.read_expanded(runs, offset, length, stop_at_runs),
            _ => self.read_stored(offset, length),
        }
    }

    fn read_expanded(
        &self,
        runs: &[StoredRun],
        mut offset: u64,
        length: usize,
        stop_at_runs: bool,
    ) -> std::io::Result<Vec<u8>> {
        let mut data = Vec::new();
        for run in runs {
            let end = run.original_offset + run.length;
            if offset < run.original_offset || offset >= end {
                continue;
            }
            let inside = offset - run.original_offset;
            let wanted = usize::try_from(run.length - inside).unwrap_or(usize::MAX).min(length - data.len());
            if run.file_length == 0 {
                data.resize(data.len() + wanted, 0);
                offset += wanted as u64;
            } else {
                let part = self.read_stored(run.file_offset + inside, wanted)?;
                let short = part.len() < wanted;
                offset += part.len() as u64;
                data.extend_from_slice(&part);
                if short {
                    break;
                }
            }
            if stop_at_runs || data.len() >= length {
                break;
            }
        }
        Ok(data)
    }

    fn read_stored(&self, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
        if offset >= self.arrived {
            return Ok(Vec::new());
        }
        let available = usize::try_from(self.arrived - offset).unwrap_or(usize::MAX);
        let mut data = vec![0; length.min(available)];
        match &self.body {
            Body::File(name) => {
                File::open(self.folder.join(name))?.read_exact_at(&mut data, offset)?;
            }
            Body::Generated(recipe) => {
                let mut content = crate::tree::content::Generated::new(*recipe);
                let mut filled = 0;
                while filled < data.len() {
                    let rest = data.get_mut(filled..).unwrap_or_default();
                    let got = content.read(offset + filled as u64, rest)?;
                    if got == 0 {
                        break;
                    }
                    filled += got;
                }
                data.truncate(filled);
            }
            Body::Inline(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                data = bytes.get(start..).unwrap_or_default().iter().take(length).copied().collect();
            }
        }
        Ok(data)
    }
}

/// The folder of a flow's uploaded files.
pub(crate) fn uploads_folder(flow_folder: &Path) -> PathBuf {
    flow_folder.join("uploads")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse() -> Reader {
        let runs = stored_runs(&[
            Run { offset: 0, length: 100, hole: true },
            Run { offset: 100, length: 4, hole: false },
            Run { offset: 104, length: 6, hole: true },
            Run { offset: 110, length: 3, hole: false },
        ]);
        Reader { body: Body::Inline(b"abcdefg".to_vec()), folder: PathBuf::new(), arrived: 7, runs: Some(runs) }
    }

    #[test]
    fn a_sparse_file_expands_to_its_original_layout_and_packs_without_padding() {
        let reader = sparse();
        let expanded = reader.read(98, 100, true, false).unwrap();
        assert_eq!(expanded, b"\0\0abcd\0\0\0\0\0\0efg");
        assert_eq!(reader.read(0, 100, false, false).unwrap(), b"abcdefg");
        assert_eq!(reader.read(113, 100, true, false).unwrap(), b"");
    }

    #[test]
    fn reads_can_be_made_to_end_at_runs() {
        let reader = sparse();
        assert_eq!(reader.read(102, 100, true, true).unwrap(), b"cd");
        assert_eq!(reader.read(104, 100, true, true).unwrap(), [0; 6]);
    }

    #[test]
    fn the_index_leaves_out_zero_members_as_measured() {
        let runs =
            stored_runs(&[Run { offset: 0, length: 100, hole: true }, Run { offset: 100, length: 64, hole: false }]);
        let text = String::from_utf8(index_text(&runs)).unwrap();
        assert_eq!(
            text,
            "{\n \"ranges\": [\n  {\n   \"length\": 100\n  },\n  {\n   \"original_offset\": 100,\n   \
             \"file_length\": 64,\n   \"length\": 64\n  }\n ]\n}"
        );
    }
}
